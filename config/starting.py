"""What all long-lived processes do while they start."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Keep what is loaded meanwhile out of the garbage collector's sight.

    All of it stays for good, and walking it again and again takes a fifth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
