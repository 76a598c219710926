"""The calls of one request: one container, one set of uploads, one budget of time."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import structlog

from codecove.clock import monotonic
from codecove.errors import CodecoveError, NoRoom, RateLimited
from codecove.sandbox.errors import ContainerExpired, ContainerUnavailable, GuestFileError, HostFull, SandboxError
from codecove.sandbox.host import Container
from codecove.tools.base import Call, Operation, Tool
from codecove.tools.command import with_notes
from codecove.tools.context import Consumption, ExecutionContext, SaveOutputs, ToolLimits
from codecove.tools.directories import Directories, input_directory, make_directories, new_output_directory
from codecove.tools.failures import ToolFailure, invalid_input
from codecove.tools.precedence import Turn
from codecove.tools.results import CALL_NAMES, error_block, result_block

_MAX_LISTED = 10_000
_LOOK_SECONDS = 5.0
"""Between two attempts of a patient call to get room."""
_LONGEST_SECONDS = 3600.0
"""A quota that has room again only after that is not waited for."""

log = structlog.get_logger(__name__)


class ExecutionRecord(Protocol):
    """The row that remembers one execution; the lease writes it when the call ends."""

    allowed_seconds: float | None
    """What the caller's quotas leave for it. None: they say nothing."""
    return_code: int | None
    error_code: str | None
    microseconds: int | None
    cpu_microseconds: int | None
    peak_memory_bytes: int | None
    output_bytes: int | None


class ContainerLease(Protocol):
    """The container of one request, made when it is first needed."""

    @property
    def loaded_files(self) -> frozenset[str]:
        """Ids of the files that were already put into the container."""
        ...

    @property
    def notice(self) -> str | None:
        """What the model has to know of the container before it goes on, such as that it is not the one it had."""
        ...

    async def container(self) -> Container:
        """Raises `ContainerExpired`, `ContainerUnavailable`, `HostFull`, `RateLimited`."""
        ...

    async def mark_loaded(self, file_ids: Iterable[str]) -> None: ...

    def execution(
        self,
        call_id: str,
        tool: str,
        *,
        input_sha256: str | None = None,
        at_most: float | None = None,
        libraries: bool | None = None,
        prepare: Callable[[Container], Coroutine[Any, Any, None]],
    ) -> AbstractAsyncContextManager[ExecutionRecord]:
        """Raises what `container` and `prepare` do; the container is there in the block, and prepared."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of the client's that the container must have at `$INPUT_DIR/<name>`."""

    file_id: str
    name: str
    """Unique among the uploads of the conversation."""
    open: Callable[[], AsyncIterator[bytes]]
    """Its bytes, from the start."""


class ToolSession:
    """What the calls of one request share. Calls run one after the other.

    An editor call sees the `$OUTPUT_DIR` of the next command, so that a file which the editor puts there is handed
    out with that command's result.
    """

    def __init__(
        self,
        *,
        lease: ContainerLease,
        uploads: Sequence[Upload],
        save_outputs: SaveOutputs,
        limits: ToolLimits,
        turn: Turn,
        patience: float = 0.0,
    ) -> None:
        """`turn`: what each execution runs in; see `tools/precedence.py`.

        `patience`: seconds for which a request of which nothing has run yet goes on asking for room on the host.
        """
        self.execution_seconds = 0.0
        """Wall clock of all calls so far that reached the container, without what they waited for others' there."""
        self.execution_requests = 0
        """How many calls reached the container."""
        self._lease = lease
        self._uploads = uploads
        self._save_outputs = save_outputs
        self._limits = limits
        self._turn = turn
        self._patience = patience
        self._input_dir = input_directory(uploads[0].file_id if uploads else "")
        self._output_dir = new_output_directory()
        self._loaded = False
        self._notes: list[str] = []
        self._notice = lease.notice
        """Until the model has been told."""

    async def execute(self, tool: Tool, call: Call) -> dict[str, Any]:
        """Run one call; the value is its result block.

        Never raises for a mistake of the model's or a failure of the sandbox: both are blocks that the model can
        read. A fault of ours is logged and becomes `unavailable`. Cancelling kills what runs.
        Raises `NoRoom` if the host has none, as long as nothing has run: the request can be sent again as it is.
        """
        fresh, impatient = not self.execution_requests, monotonic() + self._patience
        while True:
            try:
                with _failures_of(call):
                    operation = _operation(tool, call)
                    async with self._turn():
                        content = await self._run(call, operation)
            except ToolFailure as failure:
                cause = failure.__cause__
                if not fresh or not self._may_pass(cause):
                    return self._refused(tool, call, failure)
                if monotonic() >= impatient:
                    raise NoRoom(str(cause)) if isinstance(cause, HostFull) else cause from failure
            else:
                return result_block(call.name, call.id, content)
            # Not within its turn: others may have what they need.
            await asyncio.sleep(_LOOK_SECONDS)

    def _may_pass(self, cause: BaseException | None) -> TypeGuard[HostFull | RateLimited]:
        """Whether a request of which nothing has run yet does better to wait, or to be sent again."""
        if isinstance(cause, RateLimited):
            return self._patience > 0 and cause.retry_after <= _LONGEST_SECONDS
        return isinstance(cause, HostFull)

    def _refused(self, tool: Tool, call: Call, failure: ToolFailure) -> dict[str, Any]:
        # The notice only with a call that reached the container: without one there is nothing to tell of it.
        notice = self._take_notice() if self.execution_requests else None
        message = f"{failure.message}\n{notice}" if notice else failure.message
        return error_block(_result_name(tool, call), call.id, failure.code, message)

    async def preload(self) -> None:
        """Put in the uploads that the container lacks, before the model is asked: whether it calls or not.

        Raises `NoRoom`. What else fails now the first call tries again, and tells the model.
        """
        if all(upload.file_id in self._lease.loaded_files for upload in self._uploads):
            return
        impatient = monotonic() + self._patience
        while not self._loaded:
            try:
                container = await self._lease.container()
                (unmade,) = await make_directories(container, {"INPUT_DIR": self._input_dir})
                self._notes = unmade or await self._load_uploads(container)
                self._loaded = True
            except HostFull as error:
                if monotonic() >= impatient:
                    raise NoRoom(str(error)) from error
                await asyncio.sleep(_LOOK_SECONDS)
            except (SandboxError, CodecoveError) as error:
                log.info("uploads not put in yet", reason=str(error))
                return

    async def reserve(self) -> None:
        """Have a container for calls that a later request will run, so that this one's response can name it.

        If there can be none now, the later request tries again and tells the model why not.
        """
        try:
            await self._lease.container()
        except (ContainerExpired, ContainerUnavailable, HostFull, RateLimited) as error:
            log.info("no container yet for calls that wait", reason=str(error))

    async def _run(self, call: Call, operation: Operation) -> dict[str, Any]:
        timeout, reason = self._time_left()
        consumption = Consumption()
        directories = Directories(self._input_dir, self._output_dir)
        recording = self._lease.execution(
            call.id,
            call.name,
            input_sha256=call.input_sha256,
            at_most=timeout,
            libraries=call.libraries,
            prepare=directories.make,
        )
        async with recording as record:
            container = await self._lease.container()
            if record.allowed_seconds is not None and record.allowed_seconds < timeout:
                timeout, reason = record.allowed_seconds, "what is left of today's seconds of execution"
            self.execution_requests += 1
            try:
                with _failures_of(call):
                    context = self._context(container, timeout, reason, consumption)
                    context.notes += await self._prepared(container, directories)
                    content = await operation(context)
            except ToolFailure as failure:
                record.error_code = failure.code
                raise
            finally:
                self._account(record, consumption, monotonic() - directories.began)
            record.return_code = content.get("return_code")
        if "return_code" in content:
            self._output_dir = new_output_directory()
            if notice := self._take_notice():
                content["stderr"] = with_notes(content["stderr"], [notice])
        return content

    def _account(self, record: ExecutionRecord, consumption: Consumption, elapsed: float) -> None:
        seconds = max(elapsed - consumption.waited, 0.0)
        self.execution_seconds += seconds
        record.microseconds = round(seconds * 1_000_000)
        if consumption.commands:
            record.cpu_microseconds = round(consumption.cpu_seconds * 1_000_000)
            record.peak_memory_bytes = consumption.peak_memory_bytes
            record.output_bytes = consumption.output_bytes

    def _take_notice(self) -> str | None:
        """The lease's notice, once. A result of the editor has no place for it: it waits for the next that has."""
        notice, self._notice = self._notice, None
        return notice

    def _time_left(self) -> tuple[float, str]:
        timeout, reason = self._limits.execution_timeout, "the limit for one execution"
        budget = self._limits.request_budget
        if budget is None:
            return timeout, reason
        left = budget - self.execution_seconds
        if left <= 0:
            raise ToolFailure(
                "execution_time_exceeded",
                f"Not run: the calls of this request have used up its max_execution_duration of {budget:g} s. "
                "Finish with what there is; a new request has new time.",
            )
        if left < timeout:
            return left, f"what was left of this request's max_execution_duration of {budget:g} s"
        return timeout, reason

    def _context(self, container: Container, timeout: float, reason: str, consumption: Consumption) -> ExecutionContext:
        return ExecutionContext(
            container=container,
            input_dir=self._input_dir,
            output_dir=self._output_dir,
            timeout=timeout,
            timeout_reason=reason,
            limits=self._limits,
            save_outputs=self._save_outputs,
            consumption=consumption,
        )

    async def _prepared(self, container: Container, directories: Directories) -> list[str]:
        """See that the uploads are there; the value is what the model has to know of them and of the directories."""
        if directories.failure is not None:
            raise directories.failure
        if not self._loaded:
            self._notes = directories.input_notes or await self._load_uploads(container)
            self._loaded = True
        # On a full disk the command still runs: it may be the one that makes room.
        return [*self._notes, *directories.output_notes]

    async def _load_uploads(self, container: Container) -> list[str]:
        """Put into `$INPUT_DIR` what the container lacks; the value says what didn't fit."""
        if not self._uploads:
            return []
        # The id alone doesn't do: another conversation in this container may have had the file elsewhere.
        listing = await container.list_directory(self._input_dir, limit=_MAX_LISTED)
        present = {entry.name for entry in listing.entries}
        known = self._lease.loaded_files
        loaded, notes = [], []
        for upload in self._uploads:
            if upload.file_id in known and upload.name in present:
                continue
            try:
                await container.write_file(f"{self._input_dir}/{upload.name}", upload.open())
            except GuestFileError as error:
                notes.append(
                    f"the uploaded file $INPUT_DIR/{upload.name} could not be put there: {os.strerror(error.errno)}"
                )
            else:
                loaded.append(upload.file_id)
        if loaded:
            await self._lease.mark_loaded(loaded)
        return notes


def _operation(tool: Tool, call: Call) -> Operation:
    if call.problem is not None:
        raise invalid_input(call.problem)
    if call.name not in tool.call_names:
        raise invalid_input(f"There is no tool `{call.name}` here. Call {' or '.join(tool.call_names)}.")
    return tool.operation(call)


def _result_name(tool: Tool, call: Call) -> str:
    """The name whose result type answers the call: an unknown name's is that of the tool's first."""
    return call.name if call.name in CALL_NAMES else tool.call_names[0]


@contextmanager
def _failures_of(call: Call) -> Iterator[None]:
    """Every way the sandbox or we ourselves can fail, as a failure that the model can read."""
    try:
        yield
    except ToolFailure:
        raise
    except ContainerExpired as error:
        raise ToolFailure(
            "container_expired",
            f"Container {error.container_id} has expired; its files are gone. "
            "Send the next request without `container` to get a new one.",
        ) from error
    except HostFull as error:
        log.warning("no room for a container", call_id=call.id, reason=str(error))
        raise ToolFailure(
            "too_many_requests",
            "All containers of this server are in use. Try again in a moment, or reuse a container by its id.",
        ) from error
    except RateLimited as error:
        raise ToolFailure("too_many_requests", error.message) from error
    except ContainerUnavailable as error:
        log.error("container unavailable", call_id=call.id, reason=str(error), detail=error.detail)
        raise ToolFailure(
            "unavailable",
            "The sandbox could not be started, or it stopped while this ran. Files are kept; what ran is gone. Try "
            "again; if it happens again, use a request without `container`. The operator's log has the reason.",
        ) from error
    except Exception as error:
        log.exception("a call failed by a fault of the server", call_id=call.id, tool=call.name)
        raise ToolFailure(
            "unavailable", "The server failed while it ran this. The operator's log has the reason. Try again."
        ) from error
