"""The command `cove`."""

from codecove import interrupts


def main() -> None:
    """The entry point of `cove`."""
    with interrupts.ending_at_once():
        from codecove.cli.app import app  # noqa: PLC0415  (what takes a second is what may be interrupted)
    app()


__all__ = ["main"]
