"""Decode answers token by token, with growing shapes or, on a CUDA GPU, with fixed ones.

A step of a few rows is thousands of small kernels, and the GPU waits for Python to launch them.
With fixed shapes, a step is recorded once as a CUDA graph and launched as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, Qwen2ForCausalLM

MOST_FIXED_ROWS = 32
"""The most rows that a recorded graph decodes; more rows keep a GPU busy without one."""

_POSITIONS = 256  # the size of a fixed cache is a multiple of this
_GRAPHS = 4  # recorded graphs that are kept


class Decoder(Protocol):
    """Rows of text that grow by a token a step."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens, int64 `(rows,)`; return the next logits, float32 `(rows, vocabulary)`."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only: int64 `(rows',)`, indices into the rows of the last step."""


class DynamicDecoder:
    """Decodes with a cache that grows with each step. Rows that have ended leave it.

    Args:
        qwen2: the language model.
        cache: what the model has read; the decoder adds to it.
        mask: the cache's, int64 `(rows, positions)`, 0 at padding.
    """

    def __init__(self, qwen2: Qwen2ForCausalLM, cache: DynamicCache, mask: Tensor) -> None:
        self._qwen2 = qwen2
        self._cache = cache
        self._mask = mask

    def step(self, tokens: Tensor) -> Tensor:
        self._mask = F.pad(self._mask, (0, 1), value=1)
        return forward_tokens(self._qwen2, tokens[:, None], self._mask, self._cache)

    def keep(self, rows: Tensor) -> None:
        self._cache.batch_select_indices(rows)
        self._mask = self._mask[rows]


class CudaGraphDecoder:
    """Decodes with a cache of a fixed size. Rows that have ended stay in it and are ignored.

    Call `load` to begin an answer. The model takes this object for transformers' cache, and calls
    only its `update`.

    Args:
        qwen2: the language model, with `sdpa` attention.
        rows: the number of texts at once.
        positions: the number of positions that the cache has room for.
    """

    def __init__(self, qwen2: Qwen2ForCausalLM, rows: int, positions: int) -> None:
        config, device, dtype = qwen2.config, qwen2.device, qwen2.dtype
        heads = config.num_key_value_heads or config.num_attention_heads
        width = qwen2.model.layers[0].self_attn.head_dim
        shape = (config.num_hidden_layers, 2, rows, heads, positions, width)
        self._qwen2: Any = qwen2
        self._cached = torch.zeros(shape, device=device, dtype=dtype)
        self._blocked = torch.zeros(rows, 1, 1, positions, device=device, dtype=dtype)
        self._tokens = torch.zeros(rows, 1, device=device, dtype=torch.long)
        self._position = torch.zeros(rows, 1, device=device, dtype=torch.long)
        self._slot = torch.zeros(1, device=device, dtype=torch.long)
        self._logits = torch.zeros(rows, config.vocab_size, device=device)
        self._active = torch.arange(rows, device=device)
        self._graph = record(self._compute) if device.type == "cuda" else None

    def load(self, cache: DynamicCache, mask: Tensor) -> None:
        """Begin where `cache` ends.

        Args:
            cache: what the model has read, with at most this decoder's rows; it is copied.
            mask: the cache's, int64 `(rows, positions)`, 0 at padding.
        """
        rows, length = mask.shape
        self._cached[..., length:, :] = 0  # blocked values are multiplied by 0, and 0 * NaN is NaN
        for layer, (keys, values, *_) in enumerate(cache):
            self._cached[layer, 0, :rows, :, :length] = keys
            self._cached[layer, 1, :rows, :, :length] = values
        self._blocked.fill_(torch.finfo(self._blocked.dtype).min)
        self._blocked[:rows, 0, 0, :length].masked_fill_(mask.bool(), 0)
        self._blocked[rows:, ..., :length] = 0
        self._position.zero_()
        self._position[:rows, 0] = mask.sum(dim=1)
        self._slot.fill_(length)
        self._active = torch.arange(rows, device=mask.device)

    def step(self, tokens: Tensor) -> Tensor:
        self._tokens[self._active, 0] = tokens
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()
        return self._logits[self._active]

    def keep(self, rows: Tensor) -> None:
        self._active = self._active[rows]

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Take the keys and values of a step, as transformers' attention hands them over.

        Args:
            keys: `(rows, key/value heads, 1, head width)`.
            values: likewise.
            layer: the layer's index, from 0.

        Returns:
            All keys and values of the layer, each `(rows, key/value heads, positions, head width)`.
        """
        self._cached[layer, 0].index_copy_(2, self._slot, keys)
        self._cached[layer, 1].index_copy_(2, self._slot, values)
        return self._cached[layer, 0], self._cached[layer, 1]

    def _compute(self) -> None:
        self._blocked.index_fill_(3, self._slot, 0)
        hidden = self._qwen2.model(
            input_ids=self._tokens,
            attention_mask=self._blocked,
            position_ids=self._position,
            past_key_values=self,
            use_cache=True,
        ).last_hidden_state
        self._logits.copy_(self._qwen2.lm_head(hidden[:, -1]))
        self._position.add_(1)
        self._slot.add_(1)


class CudaGraphDecoders:
    """The recorded decoders of a model by shape; the most recently used ones are kept."""

    def __init__(self, qwen2: Qwen2ForCausalLM) -> None:
        self._qwen2 = qwen2
        self._free: list[tuple[tuple[int, int], CudaGraphDecoder]] = []  # least recently used first

    def supports(self, mask: Tensor) -> bool:
        """Whether a recorded graph is faster for rows with this mask, `(rows, positions)`."""
        recordable = mask.is_cuda and self._qwen2.config._attn_implementation == "sdpa"
        return recordable and len(mask) <= MOST_FIXED_ROWS

    @contextmanager
    def lease(self, rows: int, positions: int) -> Iterator[CudaGraphDecoder]:
        """Lend a decoder with room for at least this many rows and positions.

        An answer may pause for another of the same shape, so each has a decoder to itself.
        """
        shape = 1 << (rows - 1).bit_length(), -(-positions // _POSITIONS) * _POSITIONS
        for index, (known, _) in enumerate(self._free):
            if known == shape:
                decoder = self._free.pop(index)[1]
                break
        else:
            del self._free[: max(0, len(self._free) - _GRAPHS + 1)]
            decoder = CudaGraphDecoder(self._qwen2, *shape)
        try:
            yield decoder
        finally:
            self._free.append((shape, decoder))


def record(compute: Callable[[], None], *, warm_ups: int = 1) -> torch.cuda.CUDAGraph:
    """Record what a function does on the GPU, to replay it as a whole.

    Args:
        compute: the function; it must not wait for the GPU.
        warm_ups: how many calls come before the recording, because libraries set themselves up,
            and kernels are chosen and compiled, in the first ones.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(warm_ups):
            compute()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        compute()
    return graph


def forward_tokens(
    qwen2: Qwen2ForCausalLM, ids: Tensor, mask: Tensor, cache: DynamicCache
) -> Tensor:
    """Read more ids; return the logits of the next token, float32 `(rows, vocabulary)`.

    Args:
        qwen2: the language model.
        ids: int64 `(rows, new)`; shorter rows are padded on the left.
        mask: int64 `(rows, cached + new)`, 0 at padding.
        cache: what the model has read; it grows by the new positions.
    """
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    hidden = qwen2.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return cast("Tensor", qwen2.lm_head(hidden[:, -1]).float())
