"""Messages requests: what stands between an endpoint and the loop."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from codecove.containers.lease import Lease
from codecove.containers.service import Containers
from codecove.files.service import Files
from codecove.messages import request as requests
from codecove.messages.history import missing_result, translate, with_placeholders
from codecove.messages.loop import Loop, LoopLimits, Workshop
from codecove.messages.outputs import saved_by
from codecove.messages.pairs import blocks_of, is_our_call
from codecove.messages.protocol import Block, Event, Message, PassedHeaders
from codecove.messages.request import MessagesRequest
from codecove.messages.turn_request import first_choice, offered_tools, turn_body
from codecove.messages.uploads import Resolved, resolve
from codecove.messages.upstream import Choice, Upstreams
from codecove.settings import Settings
from codecove.tools.base import Facts
from codecove.tools.context import ToolLimits
from codecove.tools.declaration import Declaration
from codecove.tools.facts import facts_for
from codecove.tools.precedence import Precedence
from codecove.tools.session import ToolSession
from codecove.workspaces import Caller

_BACKGROUND_PATIENCE = 900.0
"""Seconds for which a request of a batch waits for room on the host: asking the model again would cost more."""


class Messages:
    """Answers Messages requests.

    `facts` is what the tool descriptions tell the model of the sandbox.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        upstreams: Upstreams,
        containers: Containers,
        files: Files,
        facts: Facts,
        precedence: Precedence,
    ) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._containers = containers
        self._files = files
        self._facts = facts
        self._precedence = precedence

    def check(self, body: dict[str, Any], headers: PassedHeaders) -> None:
        """Raises `InvalidRequest` for a request that could not be served whenever it came."""
        self._parse(body, headers)

    async def stream(
        self, body: dict[str, Any], caller: Caller, *, headers: PassedHeaders, background: bool = False
    ) -> AsyncGenerator[Event, None]:
        """The response to a request's `body`, as wire events from `message_start` to `message_stop`.

        Nobody waits for one in the `background`: its executions let those of others go first.

        Raises a `CodecoveError`: before the first event for a request that can't be served, later when the upstream
        fails in the middle. Closing the generator, or cancelling what waits for it, closes the upstream's stream,
        kills what runs and gives the container back. It sends no `ping` of its own.
        """
        request = self._parse(body, headers)
        resolved = await resolve(request.messages, files=self._files, caller=caller)
        choice = self._upstreams.choose(request.model)
        pending = translate(resolved.messages, keep_foreign=choice.is_claude).pending
        declared = request.declaration
        if declared is None:
            if pending:
                raise missing_result(len(request.messages) - 1, pending[0])
            loop = self._loop(request, resolved, choice, headers, caller, workshop=None)
            async with aclosing(loop.events()) as events:
                async for event in events:
                    yield event
            return
        container_id = request.container_id or await self._container_of_calls(caller, resolved.messages, pending)
        async with self._containers.lease(caller, container_id, gives_way=background) as lease:
            workshop = await self._workshop(request, declared, lease, resolved, caller, background=background)
            loop = self._loop(request, resolved, choice, headers, caller, workshop=workshop)
            async with aclosing(loop.events(pending)) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, body: dict[str, Any], caller: Caller, *, headers: PassedHeaders) -> dict[str, Any]:
        """The upstream's count of a request, as a model turn would send it. Raises a `CodecoveError`."""
        request = self._parse(body, headers)
        resolved = await resolve(request.messages, files=self._files, caller=caller)
        choice = self._upstreams.choose(request.model)
        messages = with_placeholders(resolved.messages, keep_foreign=choice.is_claude)
        turn = turn_body(
            request,
            translate(messages, keep_foreign=choice.is_claude).messages,
            model=choice.model,
            tools=offered_tools(request, facts_for(self._facts, caller)),
            choice=first_choice(request),
            tokens_left=None,
        )
        return await choice.upstream.count_tokens(turn, headers)

    def _parse(self, body: dict[str, Any], headers: PassedHeaders) -> MessagesRequest:
        request = requests.parse(body)
        if self._settings.require_beta_header:
            requests.require_beta(request, headers.betas)
        return request

    def _loop(
        self,
        request: MessagesRequest,
        resolved: Resolved,
        choice: Choice,
        headers: PassedHeaders,
        caller: Caller,
        *,
        workshop: Workshop | None,
    ) -> Loop:
        return Loop(
            request,
            resolved.messages,
            choice=choice,
            workshop=workshop,
            facts=facts_for(self._facts, caller),
            limits=LoopLimits(turns=self._settings.max_turns, seconds=self._settings.max_request_seconds),
            headers=headers,
        )

    async def _container_of_calls(
        self, caller: Caller, messages: list[Message], pending: Sequence[Block]
    ) -> str | None:
        """The container of an answer that goes on: of its pending calls, or of those that have run.

        A client may have lost its id: some drop it from a stream, and one that was cut off never got it.
        """
        last = messages[-1]
        ran = (
            [block for block in blocks_of(last["content"]) if is_our_call(block)] if last["role"] == "assistant" else []
        )
        for block in [*pending, *reversed(ran)]:
            found = await self._containers.find_by_call(caller, block["id"])
            if found is not None:
                return found
        return None

    async def _workshop(
        self,
        request: MessagesRequest,
        declared: Declaration,
        lease: Lease,
        resolved: Resolved,
        caller: Caller,
        *,
        background: bool,
    ) -> Workshop:
        settings = self._settings

        session = ToolSession(
            lease=lease,
            uploads=resolved.uploads,
            save_outputs=saved_by(self._files, caller),
            limits=ToolLimits(
                execution_timeout=caller.container_limits.execution_timeout or settings.execution_timeout,
                request_budget=request.max_execution_duration,
                max_file_size=settings.max_file_size,
                max_output_bytes=self._containers.limits(caller).disk_bytes,
                capture_working_directory=settings.capture_working_directory,
            ),
            turn=self._precedence.background if background else self._precedence.interactive,
            patience=_BACKGROUND_PATIENCE if background else 0,
        )
        await session.preload()
        return Workshop(tool=declared.tool, session=session, lease=lease)
