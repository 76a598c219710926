"""Ctrl-C while a program loads, when there is nothing to clean up yet."""

import contextlib
import os
import signal
from collections.abc import Iterator

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C has ended, as a shell has it."""


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Until the block ends, Ctrl-C ends the process without a traceback of whatever is being imported."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # it is ignored: what starts programs in the background asks for that
        yield
        return
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
