"""Fetch the regions that come next, so that the panel shows them at once.

While a person looks at a region, a thread reads the next ones from the database and draws the first
of them. A step then reads nothing: the queue is read again only when what was fetched runs short.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from pam_labeling.errors import InputError
from pam_labeling.media import read_image

from ..labels.regions import LabelRegion, regions_of
from .region_image import data_address, draw_region

if TYPE_CHECKING:
    from .queue import Item, Place, ReviewQueue

_READ = 32  # regions at a time
_LOW = 16  # regions left when the next are read
_DRAWN = 4  # regions whose images are drawn before they are shown
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="pam-review")


class Picture(NamedTuple):
    """A close-up of a region as a `data:` address, or the reason why there is none."""

    image: str | None
    problem: str | None


class Ahead:
    """The regions of a queue in turn, some of them fetched before they are asked for.

    Args:
        queue: the queue; its filters are applied when regions are fetched.
    """

    def __init__(self, queue: ReviewQueue) -> None:
        self._queue = queue
        self._shown: Item | None = None
        self._following: list[Item] = []  # the regions after the one that is shown
        self._reading: Future[list[Item]] | None = None  # those after them
        self._ended = False  # whether none follow those
        self._pictures: dict[Place, Future[Picture]] = {}

    def after(self, place: Place | None) -> Item | None:
        """The region after a place, as `ReviewQueue.after` says; it counts as shown."""
        if self._shown is None or place != self._shown.place:
            self._forget()
        if not self._following:
            self._take_what_was_read()
        if self._following:
            return self._show(self._following.pop(0))
        # At its end the queue begins anew.
        self._forget()
        return self._show(self._queue.after(place))

    def at(self, place: Place) -> Item:
        """The region at a place, as it is now; it counts as shown."""
        self._forget()
        item = self._queue.at(place)
        self._show(item)
        return item

    def shown(self, place: Place) -> Item:
        """The region at a place as it was shown, which a person decides on."""
        known = self._shown is not None and self._shown.place == place
        return self._shown if self._shown is not None and known else self._queue.at(place)

    def picture(self, item: Item) -> Picture:
        """A region's image: usually it is drawn already."""
        drawn = self._pictures.get(item.place)
        return draw(item) if drawn is None else drawn.result()

    def _forget(self) -> None:
        self._following, self._reading, self._ended = [], None, False

    def _take_what_was_read(self) -> None:
        if self._reading is not None:
            read = self._reading.result()
            self._following += read
            self._reading, self._ended = None, len(read) < _READ

    def _show(self, item: Item | None) -> Item | None:
        """Note the region that is shown, and fetch what follows it."""
        self._shown = item
        if item is None:
            return None
        if self._reading is not None and self._reading.done():
            self._take_what_was_read()
        if len(self._following) < _LOW and self._reading is None and not self._ended:
            last = self._following[-1] if self._following else item
            self._reading = _THREADS.submit(self._queue.ahead, last.place, _READ)
        self._pictures = {
            one.place: self._pictures.get(one.place) or _THREADS.submit(draw, one)
            for one in (item, *self._following[:_DRAWN])
        }
        return item


def draw(item: Item) -> Picture:
    """Draw a close-up of a region."""
    try:
        pixels = read_image(item.filepath).pixels
        region, *_ = regions_of(item.label, (pixels.shape[1], pixels.shape[0]))
    except InputError as error:
        return Picture(None, str(error))
    if not isinstance(region, LabelRegion):
        return Picture(None, region.reason)
    return Picture(data_address(draw_region(pixels, region.prompt)), None)
