"""What a model looks like to the loop, whatever stands behind it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

Block = dict[str, Any]
"""A content block: `{"type": "text", …}`."""
Message = dict[str, Any]
"""An entry of a request's `messages`: `{"role": …, "content": …}`."""
Event = dict[str, Any]
"""An event of a Messages stream: `{"type": "content_block_start", …}`."""


@dataclass(frozen=True, slots=True)
class PassedHeaders:
    """The headers of the client's request that mean something to the upstream."""

    version: str = "2023-06-01"
    """`anthropic-version`"""
    betas: tuple[str, ...] = ()
    """The values of `anthropic-beta`, in the client's order."""


class Upstream(Protocol):
    """A server that speaks the Messages protocol, or something that behaves like one."""

    def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        """One model turn, as events up to `message_stop`. Closing the generator ends the request.

        `request` is the body, without `stream`. Raises `UpstreamError`: before the first event when the upstream
        refuses or can't be reached, later when the stream breaks off or carries an `error` event.
        """
        ...

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """What the upstream's `count_tokens` answers. Raises `UpstreamError`."""
        ...
