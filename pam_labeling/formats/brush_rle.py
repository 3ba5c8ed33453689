"""Read and write Label Studio's run lengths of brush masks, as whole arrays.

The format is that of thi.ng's rle-pack. A stream of bits, most significant first, has a header:

    32 bits   number of words, 4 for each pixel: red, green, blue, alpha, row by row
     5 bits   bits of a word, less 1
    4 x 4     the four widths that a length may have in bits, each less 1

Blocks follow until they fill the number of words, and then zeros up to the end of a byte:

     1 bit    1: one word that is repeated; 0: as many words as the length says
     2 bits   which of the four widths the length has
     width    length, less 1
     8 bits   the word, or each of the words

A pixel is in the mask if its alpha is above 0, as on Label Studio's screen. No array here holds
four values for a pixel: words are counted, and only those of alpha are read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pam_labeling.formats.brush_rle_blocks import (
    HEADER,
    PADDING,
    WORD,
    Bits,
    Blocks,
    Header,
    Mask,
    RLEError,
    bits_at,
    read_blocks,
)
from pam_labeling.media import MAX_PIXELS

_CHANNELS = 4
_WIDTHS = (3, 4, 8, 16)  # of a length, as Label Studio writes them
_LONGEST_RUN = 2 ** _WIDTHS[-1] // _CHANNELS  # pixels in one block
_MOST = 2**28 - 1  # bytes, so that an offset in bits fits an int32


def pixels(rle: object) -> int:
    """The number of pixels that the header of run lengths declares.

    Args:
        rle: a list of ints from 0 to 255, as in a result's `value.rle`.

    Raises:
        RLEError: it is not a list or too short for a header, or Label Studio writes no such header.
    """
    header = rle[: -(-HEADER // 8)] if isinstance(rle, list) else rle
    return _read_header(_to_bytes(header)).words // _CHANNELS


# --- writing ---------------------------------------------------------------------------------


def encode(mask: Mask) -> list[int]:
    """Turn a mask into Label Studio's run lengths; its pixels have the value 255 in all channels.

    label_studio_sdk writes the same numbers for the same mask.

    Args:
        mask: bool `(height, width)` in pixels of the upright image.

    Raises:
        RLEError: it is not a two-dimensional bool array, or has no pixels or too many.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise RLEError(
            f"a mask must be a bool array (height, width), not {mask.dtype} {mask.shape}"
        )
    if not 1 <= mask.size <= MAX_PIXELS:
        raise RLEError(f"a mask must have from 1 to {MAX_PIXELS:,} pixels, not {mask.size:,}")
    flat = np.ravel(mask)
    # Runs of equal pixels: their lengths, and whether they are in the mask, both [N].
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size).astype(np.int32)
    lengths = np.diff(ends, prepend=np.int32(0))
    codes, widths = _code_blocks(lengths, flat[ends - 1])
    return list(_pack(codes, widths, _CHANNELS * flat.size))


def _code_blocks(
    lengths: npt.NDArray[np.int32], values: Mask
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The bits of the runs' blocks, and their number (at most 27)."""
    # Short runs are looked up in a table; longer ones differ only in their length.
    short = 2 ** _WIDTHS[-2] // _CHANNELS  # pixels
    table = [(0, 0), *(_code_block(_CHANNELS * length) for length in range(1, short + 2))]
    codes, widths = np.array(table, dtype=np.int32).T
    entry = np.minimum(lengths, short + 1)
    if lengths.max() > _LONGEST_RUN:  # its last block keeps the width, however short it is
        blocks = (lengths + _LONGEST_RUN - 1) // _LONGEST_RUN
        last = np.cumsum(blocks) - 1
        split = np.full(last[-1] + 1, _LONGEST_RUN, dtype=np.int32)
        split[last] = lengths - (blocks - 1) * _LONGEST_RUN  # the rest
        lengths, values, entry = split, np.repeat(values, blocks), np.repeat(entry, blocks)
    code = codes[entry]
    long = np.flatnonzero(entry > short)
    code[long] += (lengths[long] - (short + 1)) * (_CHANNELS << WORD)
    code[values] |= 2**WORD - 1
    return code, widths[entry]


def _code_block(words: int) -> tuple[int, int]:
    """The bits of a block that repeats 0, and their number."""
    index, width = next(one for one in enumerate(_WIDTHS) if words <= 2 ** one[1])
    return ((4 | index) << width | words - 1) << WORD, 3 + width + WORD


def _pack(codes: npt.NDArray[np.int32], widths: npt.NDArray[np.int32], words: int) -> bytes:
    """A header and all codes in a row, with 1 to 8 zeros at the end."""
    ends = np.cumsum(widths, dtype=np.int64)
    ends += HEADER
    total = int(ends[-1])
    ends -= 1  # the last bit of each code
    # A code has at most 27 bits, so it lies in two 32-bit cells: that of its last bit, and the one
    # before. No two codes share a bit, so the sum of the codes in a cell is exact in a double.
    shift = 31 - (ends & 31)
    cell = ends >> 5
    cells = total // 32 + 2
    moved = codes.astype(np.uint64) << shift.astype(np.uint64)
    stream = np.bincount(cell, (moved & np.uint64(2**32 - 1)).astype(np.float64), cells)
    stream += np.bincount(cell - 1, (moved >> np.uint64(32)).astype(np.float64), cells)
    header = words << HEADER - 32 | WORD - 1 << 16
    header |= sum(width - 1 << 4 * (3 - index) for index, width in enumerate(_WIDTHS))
    header <<= 64 - HEADER
    stream[0] += header >> 32
    stream[1] += header & 2**32 - 1
    return stream.astype(">u4").tobytes()[: total // 8 + 1]


# --- reading ---------------------------------------------------------------------------------


def decode(rle: object, *, size: tuple[int, int]) -> Mask:
    """Turn Label Studio's run lengths into a mask: the pixels whose alpha is above 0.

    Args:
        rle: a list of ints from 0 to 255, as in a result's `value.rle`; untrusted.
        size: `(width, height)` of the upright image, in pixels.

    Returns:
        Bool `(height, width)`.

    Raises:
        RLEError: it is not such a list, not for an image of this size, cut off, or too long. No
            array of the declared size is made before the runs are known to fill it.
    """
    width, height = size
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise RLEError(f"a mask must have from 1 to {MAX_PIXELS:,} pixels, not {width} x {height}")
    stream = _to_bytes(rle)
    header = _read_header(stream)
    if header.words != _CHANNELS * width * height:
        raise RLEError(
            f"the run lengths are for {header.words / _CHANNELS:,.10g} pixels, but the image has "
            f"{width} x {height}; are original_width and original_height those of this mask?"
        )
    data = np.frombuffer(stream + bytes(PADDING), dtype=np.uint8)
    blocks = read_blocks(data, header)
    _check_end(stream, blocks)
    return _paint(data, blocks).reshape(height, width)


def _to_bytes(rle: object) -> bytes:
    if not isinstance(rle, list | bytes):
        raise RLEError(
            f"run lengths must be a list of ints from 0 to 255, not {type(rle).__name__}"
        )
    if len(rle) > _MOST:
        raise RLEError(f"run lengths must have at most {_MOST:,} bytes, not {len(rle):,}")
    try:
        return bytes(rle)
    except (TypeError, ValueError) as error:
        raise RLEError(f"run lengths must be a list of ints from 0 to 255: {error}") from error


def _read_header(stream: bytes) -> Header:
    if 8 * len(stream) < HEADER:
        raise RLEError(f"run lengths of {len(stream)} bytes are cut off within their header")
    bits = int.from_bytes(stream[:7], "big") >> (56 - HEADER)
    word = (bits >> 16 & 31) + 1
    if word != WORD:
        raise RLEError(f"run lengths must have words of {WORD} bits, not {word}")
    words = bits >> 21
    if words == 0 or words % _CHANNELS:
        raise RLEError(f"run lengths must have 4 values for each RGBA pixel, not {words} in all")
    return Header(words, tuple((bits >> shift & 15) + 1 for shift in (12, 8, 4, 0)))


def _check_end(stream: bytes, blocks: Blocks) -> None:
    """Raise RLEError unless the last block ends in the stream, and only zeros follow it."""
    left = 8 * len(stream) - int(blocks.stops[-1])
    if left < 0:
        raise RLEError("the run lengths are cut off within their last block")
    if left > 8:
        raise RLEError(f"the run lengths are followed by {left // 8} extra bytes")
    if stream[-1] & 2 ** min(left, 8) - 1:
        raise RLEError("the run lengths are followed by bits that are not zero")


def _paint(data: npt.NDArray[np.uint8], blocks: Blocks) -> Mask:
    """Whether alpha is above 0 in each of the blocks' pixels, bool `(pixels,)`."""
    # The alpha of pixel i is in word 4 i + 3, the last of the words below 4 i + 4.
    ends = np.cumsum(blocks.lengths)
    counts = np.diff(ends // _CHANNELS, prepend=0)
    mask: Mask = np.repeat(bits_at(data, blocks.values, WORD) > 0, counts)
    _paint_words(data, mask, blocks, ends, np.flatnonzero(~blocks.repeats & (counts > 0)))
    return mask


def _paint_words(
    data: npt.NDArray[np.uint8], mask: Mask, blocks: Blocks, ends: Bits, apart: Bits
) -> None:
    """Set the pixels of the blocks with many words, `apart`, in `mask`."""
    first = (ends[apart] - blocks.lengths[apart]) // _CHANNELS
    last = ends[apart] // _CHANNELS
    to_alpha = _CHANNELS - 1 - (ends[apart] - blocks.lengths[apart])
    origin = blocks.values[apart] + WORD * to_alpha
    total = np.cumsum(last - first)
    step = max(1, int(np.searchsorted(total, 2**20)))
    for some in range(0, apart.size, step):  # some million pixels at a time
        span = slice(some, some + step)
        counts = last[span] - first[span]
        before = np.cumsum(counts) - counts
        pixel = np.arange(counts.sum()) + np.repeat(first[span] - before, counts)
        offset = np.repeat(origin[span], counts) + WORD * _CHANNELS * pixel
        mask[pixel] = bits_at(data, offset, WORD) > 0
