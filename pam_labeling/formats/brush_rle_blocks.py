"""Find the blocks of Label Studio's run lengths, with NumPy instead of a loop over blocks.

A block's start follows only from the blocks before it, so a simple reader must read them one by
one. But Label Studio and `rle` write blocks of repeated words, which are short: a block starts
within any 27 bits in a row. So the stream is cut into lanes. Ahead of each lane, 27 walkers start
at 27 neighbouring bits, one of them the right one; within a few blocks most of them meet. The place
where a walker leaves its lane is looked up among the walkers that enter the next one. This links
the walker that began at the header to one walker of every lane, and these have read the right
blocks. If a stream also has blocks of many different words, it is read window by window from the
first of these on.
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
PADDING = 16  # bytes of zeros after the stream, so that every read stays inside
_LONGEST = 1 + 2 + 16 + WORD  # bits of a block that repeats a word, at any widths
_HEAD = 1 + 2 + 16  # bits that are enough to know where a block ends
_WINDOW = 2**16  # bits
_WARM_UP = 512  # bits after which most walkers that began wrongly have met the right one


class RLEError(MaskError):
    """Run lengths that Label Studio cannot have written for this image."""


class Header(NamedTuple):
    """The header of a stream: the number of words, and four widths of a length in bits."""

    words: int
    widths: tuple[int, ...]


class Blocks(NamedTuple):
    """Blocks in the order of the stream, arrays `(N,)`.

    Attributes:
        repeats: whether a block repeats one word; else it has many.
        lengths: in words.
        values: bits from the beginning of the stream to the first word.
    """

    repeats: Mask
    lengths: Bits
    values: Bits

    @property
    def stops(self) -> Bits:
        """Bits from the beginning of the stream to the end of each block."""
        words: Bits = np.where(self.repeats, 1, self.lengths)
        return self.values + WORD * words


def read_blocks(data: npt.NDArray[np.uint8], header: Header) -> Blocks:
    """Find the blocks after the header that together have the header's number of words.

    Raises:
        RLEError: the stream ends too early, or a block has more words than are left.
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
    return Blocks(blocks.repeats[:used], blocks.lengths[:used], blocks.values[:used])


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
    """Read the heads of the blocks at `starts`."""
    # 1 bit: repeated or not; 2 bits: which width; then the length, read as 16 bits and cut.
    head = bits_at(data, starts, _HEAD)
    width = np.array(header.widths, dtype=np.int64)[head >> 16 & 3]
    lengths = ((head & 2**16 - 1) >> 16 - width) + 1
    return Blocks(head >= 2**18, lengths, starts + 3 + width)


def _starts_of_repeats(data: npt.NDArray[np.uint8], header: Header) -> tuple[Bits, int]:
    """The starts of all blocks up to the first that has many words, and the start of that one.

    The zeros after the last block look like one of many words.
    """
    steps = _steps(data, header)
    bits = 8 * (data.size - PADDING)
    lane = 2 ** max(8, int(2 * bits**0.5).bit_length())
    entries = _entries(steps, lane, bits)
    stops = HEADER + ((entries - HEADER) // lane + 1) * lane
    exits = _walk(steps, entries, stops)
    # Each entry jumps to the entry where its walker arrives in the next lane, or to itself if there
    # is none. The walker from the header is entry 0.
    found = np.minimum(np.searchsorted(entries, exits), entries.size - 1)
    here = np.arange(entries.size)
    path = _path(np.where(entries[found] == exits, found, here))
    # Walk the path again, and collect all blocks on it in the stream's order.
    met: list[Bits] = [np.full(path.size, -1)]
    _walk(steps, entries[path], stops[path], met)
    starts = np.stack(met, axis=1).ravel()
    return starts[starts >= 0], int(exits[path[-1]])


def _steps(data: npt.NDArray[np.uint8], header: Header) -> npt.NDArray[np.uint8]:
    """Bits from each bit to the next block if a block starts there; 0 if it has many words."""
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
    """The header's end, and the bits where walkers may enter the later lanes, in order."""
    borders = np.arange(HEADER + lane, bits, lane)
    ahead = borders - min(lane // 2, _WARM_UP)
    walkers = np.repeat(ahead, _LONGEST) + np.tile(np.arange(_LONGEST), ahead.size)
    arrived = _walk(steps, walkers, np.repeat(borders, _LONGEST))
    entries: Bits = np.unique(np.append(arrived[steps[arrived] > 0], HEADER))
    return entries


def _walk(
    steps: npt.NDArray[np.uint8], starts: Bits, stops: Bits, met: list[Bits] | None = None
) -> Bits:
    """The bits where walkers first reach or pass their `stops`, or meet a block of many words.

    Args:
        steps: from each bit to the next block, in bits.
        starts: where the walkers start.
        stops: where each of them stops.
        met: collects, for each step, the blocks that the walkers leave; -1 for those that stand.
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

    It reads windows of bits, where each bit knows the next block.
    """
    bits = 8 * (data.size - PADDING)
    starts: list[Bits] = [np.zeros(0, dtype=np.int64)]
    while first < bits and words > 0:
        window = min(_WINDOW, bits - first)
        here = np.arange(first, first + window)
        blocks = _read_heads(data, here, header)
        stops = blocks.stops
        path = _path(np.append(np.minimum(stops - first, window), window))[:-1]
        starts.append(here[path])
        words -= int(blocks.lengths[path].sum())
        first = int(stops[path[-1]])
    return np.concatenate(starts)


def _path(jump: Bits) -> Bits:
    """The places on the way from place 0 to one that jumps to itself, ascending.

    Args:
        jump: the next place for each place, never a lower one. With every doubling, each place
            knows the one twice as far away.
    """
    path: Bits = np.zeros(1, dtype=np.int64)
    while jump[path[-1]] != path[-1]:
        path = np.concatenate([path, jump[path]])
        jump = jump[jump]
    return np.unique(path)
