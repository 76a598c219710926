"""The command `cove`."""

from codecove.cli.app import main

__all__ = ["main"]
