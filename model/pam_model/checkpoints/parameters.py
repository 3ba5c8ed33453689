"""Load tensors into modules; refuse missing and unexpected ones, and make no second copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from pam_model.checkpoints.tensor_files import listed
from pam_model.errors import CheckpointError

_building = threading.RLock()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Inside this context, new modules get parameters without memory; their buffers are real.

    Buffers that no checkpoint holds, such as rotary frequencies, keep the values they are built
    with; `torch.device("meta")` would lose them. Modules that other threads build are not changed.
    Only one thread can be inside at a time, because torch's hook is for the whole process.
    """
    builder = threading.get_ident()

    def forget(_: nn.Module, __: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        # A shared parameter is registered twice, but must stay the same object.
        if parameter is None or parameter.is_meta or threading.get_ident() != builder:
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    with _building:
        # torch's type says that the hook returns nothing, but its result is used.
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
    """Put a tensor into every parameter and persistent buffer of modules; none may be left over.

    Tensors that already have the dtype and device are used as they are, without a copy.
    A parameter that is shared inside a part (a tied head) needs a tensor under one name only.

    Args:
        parts: one module, or (prefix, module) pairs whose prefixed names are those in `tensors`.
        tensors: the tensors by name.
        source: what messages call the tensors' origin.
        dtype: the parameters' dtype; None keeps that of each tensor. Buffers keep their own.
        device: where the tensors go; None leaves them where they are.
        float32: prefixes of parameters that are float32 whatever `dtype` says.

    Raises:
        CheckpointError: tensors are missing, unexpected, of another shape or not plain
            floating-point numbers: all are named, and nothing has been changed. Or a tensor holds
            NaN or infinity, in its file or after the conversion to `dtype`.
    """
    pairs = [("", parts)] if isinstance(parts, nn.Module) else list(parts)
    wanted = {
        prefix + name: value
        for prefix, module in pairs
        for name, value in module.state_dict(keep_vars=True).items()
    }
    # Give shared parameters a tensor under each of their names.
    by_identity = {id(wanted[name]): tensor for name, tensor in tensors.items() if name in wanted}
    given = {name: by_identity[id(old)] for name, old in wanted.items() if id(old) in by_identity}
    given.update(tensors)
    _refuse_differences(wanted, given, source)
    for prefix, module in pairs:
        replaced: dict[int, nn.Parameter | Tensor] = {}
        for name, old in module.state_dict(keep_vars=True).items():
            if id(old) not in replaced:
                kept = torch.float32 if (prefix + name).startswith(float32) else dtype
                loaded = _like(old, given[prefix + name], kept, device)
                if not _is_finite(loaded):
                    raise CheckpointError(
                        f"{source}: {prefix + name} holds NaN or infinity: the checkpoint is "
                        f"damaged, or {loaded.dtype} is too small for it"
                    )
                replaced[id(old)] = loaded
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, replaced[id(old)])


def _refuse_differences(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str
) -> None:
    faults = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} (is {tuple(given[name].shape)}, must be {tuple(old.shape)})"
            for name, old in wanted.items()
            if name in given and given[name].shape != old.shape
        ],
        "not plain floating-point numbers": [
            f"{name} ({tensor.dtype}, {tensor.layout})"
            for name, tensor in given.items()
            if name in wanted
            and (
                tensor.layout != torch.strided
                or tensor.is_quantized
                or not tensor.is_floating_point()
            )
        ],
    }
    found = [f"{len(names)} {kind}: {listed(names)}" for kind, names in faults.items() if names]
    if found:
        raise CheckpointError(f"{source}: tensors do not fit the model; " + "; ".join(found))


def _is_finite(tensor: Tensor) -> bool:
    # A sum is not finite if a term is not, and takes half the time of isfinite.
    return tensor.is_meta or bool(tensor.detach().sum(dtype=torch.float32).isfinite())


def _like(
    old: Tensor, new: Tensor, dtype: torch.dtype | None, device: torch.device | str | None
) -> nn.Parameter | Tensor:
    if not isinstance(old, nn.Parameter):
        return new.to(device=device, dtype=old.dtype)
    return nn.Parameter(new.to(device=device, dtype=dtype), requires_grad=old.requires_grad)
