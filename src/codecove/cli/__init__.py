"""The command `cove`."""

import gc

from codecove import interrupts


def main() -> None:
    """The entry point of `cove`."""
    gc.disable()  # what is imported stays: to look for garbage in it takes an eighth of the time
    with interrupts.ending_at_once():
        from codecove.cli.app import app  # noqa: PLC0415  (what takes a second is what may be interrupted)
    gc.freeze()
    gc.enable()
    app()


__all__ = ["main"]
