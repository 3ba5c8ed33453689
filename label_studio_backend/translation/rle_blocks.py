"""Find the blocks of Label Studio's run lengths, with NumPy instead of a loop over blocks.

Only the blocks before a block tell where it starts, so a plain reader must go through them one by
one. But Label Studio and `rle` write blocks of repeated words, which are short: of any 27 bits in a
row, one is the start of a block. So the stream is cut into lanes. Ahead of each lane, 27 walkers
set out from 27 neighbouring bits, one of them right; within a few blocks most of them meet. Where a
walker leaves its lane is looked up among the walkers that enter the next one. This links the walker
that began at the header to one walker of every lane, and these have read the right blocks. A stream
that also has blocks of many different words is read window by window from the first of these on.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pam_labeling.errors import MaskError

Mask: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[np.int64]  # offsets in the stream, or numbers read from it

WORD = 8  # bits
HEADER = 32 + 5 + 4 * 4  # bits
PADDING = 16  # bytes of zeros after the stream, so that whatever is read lies inside
_LONGEST = 1 + 2 + 16 + WORD  # bits of a block that repeats a word, at any widths
_HEAD = 1 + 2 + 16  # bits that are enough to know where a block ends
_WINDOW = 2**16  # bits
_WARM_UP = 512  # bits after which most walkers that began wrongly have met the right one


class RLEError(MaskError):
    """Run lengths that Label Studio cannot have written, or not for this image."""


class Header(NamedTuple):
    """What a stream says of itself: the number of words, and four widths of a length in bits."""

    words: int
    widths: tuple[int, ...]


class Blocks(NamedTuple):
    """Blocks in the order of the stream, arrays `(N,)`.

    Attributes:
        starts: bits from the beginning of the stream.
        repeats: whether one word is repeated, or there are many.
        lengths: words.
        values: bits from the beginning of the stream to the first word.
    """

    starts: Bits
    repeats: Mask
    lengths: Bits
    values: Bits


def read_blocks(data: npt.NDArray[np.uint8], header: Header) -> Blocks:
    """The blocks from the header on that together have as many words as the header says.

    Raises:
        RLEError: the stream ends before, or a block has more words than are left.
    """
    starts, stop = _starts_of_repeats(data, header)
    blocks = _read_heads(data, starts, header)
    if blocks.lengths.sum() < header.words:
        more = _starts_of_any(data, stop, header.words - int(blocks.lengths.sum()), header)
        blocks = _read_heads(data, np.concatenate([starts, more]), header)
    ends = np.cumsum(blocks.lengths)
    used = int(np.searchsorted(ends, header.words)) + 1
    if used > ends.size:
        raise RLEError("the run lengths are cut off: they end before the image does")
    if ends[used - 1] > header.words:
        raise RLEError("the run lengths go on after the image's last pixel")
    return Blocks(
        blocks.starts[:used], blocks.repeats[:used], blocks.lengths[:used], blocks.values[:used]
    )


def bits_at(data: npt.NDArray[np.uint8], offsets: Bits, width: int) -> Bits:
    """`width` bits, at most 25, from each of `offsets`."""
    byte = offsets >> 3
    four: npt.NDArray[np.uint32] = data[byte].astype(np.uint32)
    for _ in range(3):
        byte += 1
        four <<= np.uint32(8)
        four |= data[byte]
    four <<= (offsets & 7).astype(np.uint32)
    four >>= np.uint32(32 - width)
    return four.astype(np.int64)


def _read_heads(data: npt.NDArray[np.uint8], starts: Bits, header: Header) -> Blocks:
    """What the blocks at `starts` say of themselves."""
    # 1 bit: repeated or not; 2 bits: which width; then the length, read as 16 bits and cut.
    head = bits_at(data, starts, _HEAD)
    width = np.array(header.widths, dtype=np.int64)[head >> 16 & 3]
    lengths = ((head & 2**16 - 1) >> 16 - width) + 1
    return Blocks(starts, head >= 2**18, lengths, starts + 3 + width)


def _starts_of_repeats(data: npt.NDArray[np.uint8], header: Header) -> tuple[Bits, int]:
    """The starts of all blocks up to the first that has many words, and where that one is.

    The zeros after the last block look like one of many words.
    """
    steps = _steps(data, header)
    bits = 8 * (data.size - PADDING)
    lane = 2 ** max(8, int(2 * bits**0.5).bit_length())
    entries = _entries(steps, lane, bits)
    stops = HEADER + ((entries - HEADER) // lane + 1) * lane
    exits = _walk(steps, entries, stops)
    # Each entry jumps to the entry of the next lane where its walker arrives, or to itself if there
    # is none. Doubling the jumps follows the walker from the header, entry 0, in few steps.
    found = np.minimum(np.searchsorted(entries, exits), entries.size - 1)
    here = np.arange(entries.size)
    jump = np.where(entries[found] == exits, found, here)
    path: Bits = np.zeros(1, dtype=np.int64)
    while jump[path[-1]] != path[-1]:
        path = np.concatenate([path, jump[path]])
        jump = jump[jump]
    path = np.unique(path)
    # The walkers of the path once more: all blocks that they meet, in the stream's order.
    met: list[Bits] = [np.full(path.size, -1)]
    _walk(steps, entries[path], stops[path], met)
    starts = np.stack(met, axis=1).ravel()
    return starts[starts >= 0], int(exits[path[-1]])


def _steps(data: npt.NDArray[np.uint8], header: Header) -> npt.NDArray[np.uint8]:
    """How many bits from each bit to the next block if one starts there; 0 if it has many words."""
    # A table of all 10 bits gives the steps of 8 neighbouring bits at once, as 8 bytes of a uint64.
    three = np.arange(2**10)[:, None] >> np.arange(7, -1, -1)  # the first three bits, of 10, at 8
    width = np.array(header.widths)[three & 3]
    table = np.where(three & 4, 3 + width + WORD, 0).astype(np.uint8)
    ten: npt.NDArray[np.uint16] = data[:-1].astype(np.uint16)
    ten <<= np.uint16(2)
    ten |= data[1:] >> np.uint8(6)
    steps: npt.NDArray[np.uint64] = table.view(np.uint64)[ten, 0]
    return steps.view(np.uint8)


def _entries(steps: npt.NDArray[np.uint8], lane: int, bits: int) -> Bits:
    """The header's end, and where walkers may enter the lanes after the first, in order."""
    borders = np.arange(HEADER + lane, bits, lane)
    ahead = borders - min(lane // 2, _WARM_UP)
    walkers = np.repeat(ahead, _LONGEST) + np.tile(np.arange(_LONGEST), ahead.size)
    arrived = _walk(steps, walkers, np.repeat(borders, _LONGEST))
    entries: Bits = np.unique(np.append(arrived[steps[arrived] > 0], HEADER))
    return entries


def _walk(
    steps: npt.NDArray[np.uint8], starts: Bits, stops: Bits, met: list[Bits] | None = None
) -> Bits:
    """Where walkers are first at or behind their `stops`, or at a block of many words.

    Args:
        steps: from each bit to the next block, in bits.
        starts: where the walkers set out.
        stops: where each of them stops.
        met: takes, for each step, the blocks that the walkers leave, -1 for those that stand.
    """
    # All walkers step together; those that have arrived step by 0.
    walkers = starts.copy()
    while True:
        step = steps[walkers] * (walkers < stops)
        if not step.any():
            return walkers
        if met is not None:
            met.append(np.where(step > 0, walkers, -1))
        walkers += step


def _starts_of_any(data: npt.NDArray[np.uint8], first: int, words: int, header: Header) -> Bits:
    """The starts of blocks of any kind from `first` on, until `words` words or the end are reached.

    In windows of bits: each bit knows the next block. With every doubling, each bit knows the block
    twice as far away.
    """
    bits = 8 * (data.size - PADDING)
    starts: list[Bits] = [np.zeros(0, dtype=np.int64)]
    while first < bits and words > 0:
        window = min(_WINDOW, bits - first)
        here = np.arange(first, first + window)
        blocks = _read_heads(data, here, header)
        many = np.where(blocks.repeats, 1, blocks.lengths)
        after = blocks.values + WORD * many
        jump = np.append(np.minimum(after - first, window), window)
        path: Bits = np.zeros(1, dtype=np.int64)
        while path[-1] < window:
            path = np.concatenate([path, jump[path]])
            jump = jump[jump]
        path = path[path < window]
        starts.append(here[path])
        words -= int(blocks.lengths[path].sum())
        first = int(after[path[-1]])
    return np.concatenate(starts)
