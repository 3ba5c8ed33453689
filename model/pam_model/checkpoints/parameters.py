"""Parameters into modules: all of them, only them, and never twice in memory."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from pam_model.checkpoints.tensor_files import listed
from pam_model.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_building = threading.RLock()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Give modules that are built inside parameters without memory; their buffers are real.

    Buffers that no checkpoint holds, such as rotary frequencies, so keep the values they are
    built with, which the meta device would lose. Modules of other threads are left alone; a second
    thread that wants the same waits, since torch keeps such hooks for the whole process.
    """
    builder = threading.get_ident()

    def forget(_: nn.Module, __: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        # A parameter that is shared comes again, and must stay the same one.
        if parameter is None or parameter.is_meta or threading.get_ident() != builder:
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    with _building:
        # torch types the hook as one that returns nothing, and takes what it returns.
        handle = register_module_parameter_registration_hook(forget)  # type: ignore[arg-type]
        try:
            yield
        finally:
            handle.remove()


def load_parameters(
    parts: nn.Module | Sequence[tuple[str, nn.Module]],
    tensors: Mapping[str, Tensor],
    *,
    source: str = "the checkpoint",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    float32: tuple[str, ...] = (),
) -> None:
    """Put tensors into modules: every parameter and persistent buffer gets one, and none is left.

    Tensors that already have the dtype and device are taken as they are, without a copy.
    Parameters that are shared inside a part (a tied head) need one of their names only.

    Args:
        parts: one module, or (prefix, module) pairs whose prefixed names are those in `tensors`.
        tensors: by name.
        source: what to call it in messages.
        dtype: of the parameters; None leaves the dtype of each tensor. Buffers keep their own.
        device: to put them on; None leaves them where they are.
        float32: parameters whose names start like this are float32 whatever `dtype` says.

    Raises:
        CheckpointError: tensors are missing, unexpected, of another shape or no plain
            floating-point numbers: all are named, and nothing has been changed.
    """
    pairs = [("", parts)] if isinstance(parts, nn.Module) else list(parts)
    wanted = {
        prefix + name: value
        for prefix, module in pairs
        for name, value in module.state_dict(keep_vars=True).items()
    }
    given = _share(wanted, tensors)
    _refuse_differences(wanted, given, source)
    for prefix, module in pairs:
        replaced: dict[int, nn.Parameter | Tensor] = {}
        for name, old in module.state_dict(keep_vars=True).items():
            if id(old) not in replaced:
                kept = torch.float32 if (prefix + name).startswith(float32) else dtype
                replaced[id(old)] = _like(old, given[prefix + name], kept, device)
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, replaced[id(old)])


def _share(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the other names of parameters that have several."""
    by_identity = {id(wanted[name]): tensor for name, tensor in tensors.items() if name in wanted}
    shared = {name: by_identity[id(old)] for name, old in wanted.items() if id(old) in by_identity}
    return {**shared, **tensors}


def _refuse_differences(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str
) -> None:
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} (is {tuple(given[name].shape)}, must be {tuple(old.shape)})"
        for name, old in wanted.items()
        if name in given and given[name].shape != old.shape
    ]
    strange = [
        f"{name} ({tensor.dtype}, {tensor.layout})"
        for name, tensor in given.items()
        if name in wanted and not _is_plain(tensor)
    ]
    faults = [
        f"{len(names)} {kind}: {listed(names)}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
            ("not plain floating-point numbers", strange),
        )
        if names
    ]
    if faults:
        raise CheckpointError(f"{source}: tensors do not fit the model; " + "; ".join(faults))


def _is_plain(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    return plain and tensor.is_floating_point()


def _like(
    old: Tensor, new: Tensor, dtype: torch.dtype | None, device: torch.device | str | None
) -> nn.Parameter | Tensor:
    if not isinstance(old, nn.Parameter):
        return new.to(device=device, dtype=old.dtype)
    return nn.Parameter(new.to(device=device, dtype=dtype), requires_grad=old.requires_grad)
