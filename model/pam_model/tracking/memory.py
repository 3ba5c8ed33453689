"""What a tracker keeps of an object, and what of it a frame recalls: the authors' rule, bounded.

Of a frame that somebody prompted, the memory stays. Of tracked frames, the memory stays for the
last few frames only, and the object's pointer for some more. C are the channels of the image
embedding of h x w cells, M those of a memory; in SAM 2.1-large, C = 256, M = 64 and h = w = 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class MemoryLimits(NamedTuple):
    """How much is kept of each object, whatever the length of the clip.

    Attributes:
        prompted: the number of prompted frames.
        recent: the number of tracked frames before the present one whose memory is recalled.
        pointers: the number of frames, with the present one, whose pointers are recalled.
    """

    prompted: int = 8
    recent: int = 6
    pointers: int = 16


@dataclass(frozen=True, eq=False)
class FrameMemory:
    """The memory of one object in one frame.

    Attributes:
        map: the encoded frame and mask, `(M, h, w)`: bfloat16 if the frame was prompted, else the
            model's dtype.
        pointer: the object pointer, `(C,)`.
        mask_logits: the mask in the frame of the square image, float32 `(4 h, 4 w)`; a correction
            begins with it.
        recalled: whether other frames' memory was used to find the mask.
    """

    map: Tensor
    pointer: Tensor
    mask_logits: Tensor
    recalled: bool


class Recall(NamedTuple):
    """What one object recalls in a frame.

    Attributes:
        offsets: how many frames ago, in the direction of tracking, each map is; 0 if prompted.
        maps: T memories, each `(M, h, w)`.
        distances: how many frames ago each pointer is.
        pointers: P pointers, each `(C,)`.
    """

    offsets: list[int]
    maps: list[Tensor]
    distances: list[int]
    pointers: list[Tensor]


class ObjectMemory:
    """All that is kept of one object.

    Args:
        limits: how much is kept.

    Attributes:
        prompted: the memories of prompted frames, by frame.
        tracked: the memories of the last tracked frames, by frame.
        pointers: the pointers of tracked frames, `(C,)`, by frame.
    """

    def __init__(self, limits: MemoryLimits) -> None:
        self._limits = limits
        self.prompted: dict[int, FrameMemory] = {}
        self.tracked: dict[int, FrameMemory] = {}
        self.pointers: dict[int, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        memories = [*self.prompted.values(), *self.tracked.values()]
        held = [part for memory in memories for part in (memory.map, memory.mask_logits)]
        held += [memory.pointer for memory in self.prompted.values()]
        return sum(part.nbytes for part in (*held, *self.pointers.values()))

    def at(self, frame: int) -> FrameMemory | None:
        """The memory of a frame, if there is one still."""
        return self.prompted.get(frame) or self.tracked.get(frame)

    def add_prompted(self, frame: int, memory: FrameMemory) -> None:
        """Keep the memory of a prompted frame.

        Beyond the limit, the frame farthest from this one is forgotten, but never the first one.
        """
        self.tracked.pop(frame, None)
        self.pointers.pop(frame, None)
        self.prompted[frame] = memory
        if len(self.prompted) > self._limits.prompted:
            _, *others = self.prompted
            del self.prompted[max(others, key=lambda other: abs(other - frame))]

    def add_tracked(self, frame: int, memory: FrameMemory) -> None:
        """Keep the memory of a tracked frame, and forget the frames that are too far from it."""
        self.tracked[frame] = memory
        self.pointers[frame] = memory.pointer
        self.prune(frame)

    def prune(self, frame: int) -> None:
        """Forget tracked frames so far from `frame` that neither it nor the next recalls them."""
        for other in [key for key in self.tracked if abs(key - frame) > self._limits.recent]:
            del self.tracked[other]
        for other in [key for key in self.pointers if abs(key - frame) >= self._limits.pointers]:
            del self.pointers[other]

    def forget_tracked(self) -> None:
        """Keep the prompted frames only."""
        self.tracked.clear()
        self.pointers.clear()

    def recall(self, frame: int, *, reverse: bool, pointers: int) -> Recall | None:
        """What the object recalls in a frame, or None if it was prompted in later frames only.

        Args:
            frame: the frame's number.
            reverse: whether the clip is tracked backwards, so that "later" is a smaller number.
            pointers: the limit of pointers, which in a short clip is the number of frames.
        """
        sign = -1 if reverse else 1
        prompted = {key: memory for key, memory in self.prompted.items() if key != frame}
        ago = {key: sign * (frame - key) for key in prompted}
        past = [key for key in prompted if ago[key] > 0]
        if not past:
            return None
        before = {offset: frame - sign * offset for offset in range(1, self._limits.pointers)}
        recent = [
            offset for offset in range(self._limits.recent, 0, -1) if before[offset] in self.tracked
        ]
        pointed = [offset for offset in range(1, pointers) if before[offset] in self.pointers]
        return Recall(
            offsets=[0] * len(prompted) + recent,
            maps=[
                *(memory.map for memory in prompted.values()),
                *(self.tracked[before[offset]].map for offset in recent),
            ],
            distances=[*(ago[key] for key in past), *pointed],
            pointers=[
                *(prompted[key].pointer for key in past),
                *(self.pointers[before[offset]] for offset in pointed),
            ],
        )
