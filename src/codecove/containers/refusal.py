"""The answer to a caller that uses as much as it may."""

from codecove.errors import RateLimited

A_WHILE = 5.0
"""Seconds after which an execution may have ended: nobody knows when one does."""


class QuotaExceeded(RateLimited):
    """The workspace or the key uses as much as it may. The message says of what, and how to get on."""
