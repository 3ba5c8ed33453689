from __future__ import annotations

import gc
import weakref

from label_studio_backend.server.collector import collector_rests, keep_what_is_there


class Cycle:
    def __init__(self):
        self.me = self


def test_of_several_that_let_it_rest_the_last_one_ends_it():
    outer, inner = collector_rests(), collector_rests()
    with outer:
        with inner:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_is_there_is_left_out_of_collections():
    cycle = Cycle()
    seen = weakref.ref(cycle)
    gc.collect()
    try:
        keep_what_is_there()
        del cycle
        gc.collect()
        assert seen() is not None
    finally:
        gc.unfreeze()
    gc.collect()
    assert seen() is None
