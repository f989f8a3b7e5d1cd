"""Work on many small values, without the search for circles among them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """
    Spare the block the search for objects that hold each other.

    What a chunk or a batch is made of holds nothing of itself and goes when that goes; looking through all of it again
    and again takes a fifth of the time of a sweep, and of the log's sequencer.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
