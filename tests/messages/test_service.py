"""Messages with real parts: containers under the runtime, files, the database, a scripted model over HTTP."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from codecove.containers.service import Containers
from codecove.errors import InvalidRequest, NotFound
from codecove.files.blobs import Blobs
from codecove.files.service import File, Files
from codecove.messages.fold import fold
from codecove.messages.protocol import Block, Event, Message, PassedHeaders
from codecove.messages.service import Messages
from codecove.messages.upstream import Upstreams
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from codecove.settings import Settings
from codecove.store.database import Database
from codecove.tools.precedence import Precedence
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.messages.support import CLIENT_TOOL, FACTS, MODEL, NEWER, OLDER, check_order, collect
from tests.support.host import host_config
from tests.support.script import Turn, bash, call, edit, python, say
from tests.support.sqlite import new_sqlite
from tests.support.upstream import KEY, ScriptedUpstream

pytestmark = pytest.mark.sandbox

CALLER = Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_01" + "0" * 22)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@dataclass
class Service:
    messages: Messages
    files: Files
    containers: Containers

    def stream(self, *messages: Message | str, **fields: Any) -> AsyncGenerator[Event, None]:
        whole = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
        body = {"model": MODEL, "max_tokens": 1000, "tools": [NEWER], "messages": whole, **fields}
        return self.messages.stream(body, CALLER, headers=PassedHeaders())

    async def ask(self, *messages: Message | str, **fields: Any) -> dict[str, Any]:
        events = await collect(self.stream(*messages, **fields))
        check_order(events)

        async def again() -> AsyncGenerator[Event, None]:
            for event in events:
                yield event

        return await fold(again())

    async def upload(self, name: str, data: bytes, mime_type: str | None = None) -> File:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        return await self.files.create(CALLER, filename=name, data=chunks(), mime_type=mime_type)


@asynccontextmanager
async def running(directory: Path, rootfs: Path, **settings: Any) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(new_sqlite(directory)))
        limits = Limits(disk_bytes=64 * 2**20)
        host = await stack.enter_async_context(
            LocalHost(host_config(directory / "sandbox", rootfs, runtime="crun", limits=limits))
        )
        containers = await stack.enter_async_context(Containers(database=database, host=host, idle_expiry=3600))
        files = Files(database=database, blobs=Blobs(directory / "blobs"), max_size=10**6)
        chosen = Settings(**settings)
        upstreams = await stack.enter_async_context(Upstreams(chosen))
        messages = Messages(
            settings=chosen,
            upstreams=upstreams,
            containers=containers,
            files=files,
            facts=FACTS,
            precedence=Precedence(cores=2),
        )
        yield Service(messages, files, containers)


@pytest.fixture
async def service(tmp_path: Path, image: Path, upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    async with running(tmp_path, image, upstream_url=upstream.url, upstream_api_key=SecretStr(KEY)) as service:
        yield service


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0.01)  # the HTTP client's generators are closed by the event loop
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


def upload_block(file: File) -> Block:
    return {"type": "container_upload", "file_id": file.id}


def results(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [block["content"] for block in message["content"] if block["type"].endswith("_tool_result")]


async def test_both_versions_run_code(service: Service, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([python("print(6 * 7)")]), Turn([say("42")]), Turn([bash("echo $((6 * 7))")]), Turn([say("42")])
    )
    older = await service.ask("Go", tools=[OLDER])
    newer = await service.ask("Go")
    assert results(older)[0]["stdout"] == results(newer)[0]["stdout"] == "42\n"
    assert older["usage"]["server_tool_use"]["code_execution_requests"] == 1
    assert older["usage"]["server_tool_use"]["execution_time_seconds"] > 0


async def test_a_container_that_is_named_has_its_files(service: Service, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo here > /tmp/x")]), Turn([say("Done.")]))
    first = await service.ask("Go")
    upstream.script(Turn([bash("cat /tmp/x")]), Turn([say("Done.")]))
    second = await service.ask("Go", container={"id": first["container"]["id"]})
    assert results(second)[0]["stdout"] == "here\n"
    assert second["container"]["id"] == first["container"]["id"]


async def test_an_unknown_container_is_refused_before_anything_starts(service: Service) -> None:
    with pytest.raises(NotFound, match="container_nope"):
        await service.ask("Go", container="container_nope")


async def test_a_later_call_runs_after_the_earlier_one(service: Service, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([edit(command="create", path="/tmp/x.py", file_text="print('made')"), bash("python3 /tmp/x.py")]),
        Turn([say("Done.")]),
    )
    message = await service.ask("Go")
    assert results(message)[1]["stdout"] == "made\n"


class TestUploads:
    async def test_uploads_are_in_the_container_under_the_names_that_the_model_is_told(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        one, two = await service.upload("data.csv", b"1"), await service.upload("data.csv", b"2")
        upstream.script(Turn([bash("cd $INPUT_DIR && ls && cat data.csv data-2.csv")]), Turn([say("Done.")]))
        content = [upload_block(one), {**upload_block(two), "cache_control": {"type": "ephemeral"}}, upload_block(one)]
        message = await service.ask({"role": "user", "content": content})
        assert results(message)[0]["stdout"] == "data-2.csv\ndata.csv\n12"
        told = upstream.requests[0].messages[0]["content"]
        assert [block["text"] for block in told] == [
            "[Uploaded file: $INPUT_DIR/data.csv (text/csv, 1 bytes)]",
            "[Uploaded file: $INPUT_DIR/data-2.csv (text/csv, 1 bytes)]",
            "[Uploaded file: $INPUT_DIR/data.csv (text/csv, 1 bytes)]",
        ]
        assert ["cache_control" in block for block in told] == [False, True, False]

    async def test_a_name_that_is_too_long_for_a_file_system_is_cut(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        names = ["é" * 251 + ".csv", "é" * 251 + ".csv", "x." + "é" * 253]
        files = [await service.upload(name, name.encode()) for name in names]
        upstream.script(Turn([bash('ls "$INPUT_DIR"')]), Turn([say("Done.")]))
        message = await service.ask({"role": "user", "content": [upload_block(file) for file in files]})
        assert results(message)[0]["stdout"].split() == [
            "x." + "é" * 126,
            "é" * 124 + "-2.csv",
            "é" * 125 + ".csv",
        ]
        assert f"$INPUT_DIR/{'é' * 124}-2.csv (" in str(upstream.requests[0].messages)

    async def test_a_missing_file_is_refused_before_anything_starts(self, service: Service) -> None:
        missing = {"type": "container_upload", "file_id": "file_nope"}
        with pytest.raises(NotFound, match="file_nope"):
            await service.ask({"role": "user", "content": [missing]})

    async def test_documents_and_images_become_bytes(self, service: Service, upstream: ScriptedUpstream) -> None:
        text = await service.upload("a.txt", "Grüße".encode())
        pdf = await service.upload("a.pdf", b"%PDF-1.4", "application/pdf")
        image = await service.upload("a.png", PNG, "image/png")
        upstream.script(Turn([say("Seen.")]))
        blocks = [
            {"type": "document", "source": {"type": "file", "file_id": text.id}, "title": "T"},
            {"type": "document", "source": {"type": "file", "file_id": pdf.id}},
            {"type": "image", "source": {"type": "file", "file_id": image.id}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        ]
        await service.ask({"role": "user", "content": blocks}, tools=[])
        sent = [block["source"] for block in upstream.requests[0].messages[0]["content"]]
        assert sent == [
            {"type": "text", "media_type": "text/plain", "data": "Grüße"},
            {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.4").decode()},
            {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()},
            {"type": "url", "url": "https://example.org/a.png"},
        ]
        assert upstream.requests[0].messages[0]["content"][0]["title"] == "T"

    async def test_a_file_in_a_client_tools_result_becomes_bytes(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        image = await service.upload("a.png", PNG, "image/png")
        shot = {"type": "image", "source": {"type": "file", "file_id": image.id}}
        history: list[Message] = [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_T", "name": "get_weather", "input": {}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_T", "content": [shot]}]},
        ]
        upstream.script(Turn([say("Seen.")]))
        await service.ask(*history, tools=[CLIENT_TOOL])
        assert upstream.requests[0].messages[2]["content"][0]["content"][0]["source"]["type"] == "base64"

    async def test_a_file_that_no_prompt_can_hold_is_refused(self, service: Service) -> None:
        file = await service.upload("a.zip", b"PK", "application/zip")
        for kind in ("document", "image"):
            block = {"type": kind, "source": {"type": "file", "file_id": file.id}}
            with pytest.raises(InvalidRequest, match=r"messages\.0\.content\.0\.source\.file_id"):
                await service.ask({"role": "user", "content": [block]})

    async def test_files_that_an_execution_makes_are_files(self, service: Service, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([bash("echo made > $OUTPUT_DIR/out.txt")]), Turn([say("Done.")]))
        entry = results(await service.ask("Go"))[0]["content"][0]
        file = await service.files.get(CALLER, entry["file_id"])
        assert (file.filename, file.downloadable) == ("out.txt", True)

    async def test_a_file_that_an_execution_named_as_no_upload_may_be_is_kept_under_another_name(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Turn([bash("echo x > \"$OUTPUT_DIR\"/$'a:b\\xff.txt'")]), Turn([say("Done.")]))
        message = await service.ask("Go")
        file = await service.files.get(CALLER, results(message)[0]["content"][0]["file_id"])
        assert file.filename == "a_b_.txt"


class TestDeferral:
    async def test_a_deferred_call_finds_its_container_by_itself(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(
            Turn([bash("echo here > /tmp/x")]), Turn([bash("cat /tmp/x"), call("get_weather", {"city": "Ulm"})])
        )
        tools = [NEWER, CLIENT_TOOL]
        first = await service.ask("Go", tools=tools)
        assert first["stop_reason"] == "tool_use"
        client_call = first["content"][-1]
        answer = {"type": "tool_result", "tool_use_id": client_call["id"], "content": "sunny"}
        upstream.script(Turn([say("Done.")]))
        second = await service.ask(
            "Go",
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [answer]},
            tools=tools,
        )
        assert results(second)[0]["stdout"] == "here\n"
        assert second["content"][0]["tool_use_id"] == first["content"][2]["id"]
        assert second["container"]["id"] == first["container"]["id"]

    async def test_an_answer_that_was_cut_off_goes_on_in_its_container(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Turn([bash("echo ran >> /tmp/log; cat /tmp/log")]), Turn([say("Done.")]))
        first = await service.ask("Go")
        upstream.script(Turn([say("Done.")]))
        second = await service.ask("Go", {"role": "assistant", "content": first["content"][:1]})
        assert results(second)[0]["stdout"] == "ran\nran\n"
        assert second["container"]["id"] == first["container"]["id"]

    async def test_a_paused_answer_goes_on_in_its_container_when_the_client_has_lost_the_id(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Turn([bash("echo here > /tmp/x")]), Turn([say("Done.")]))
        first = await service.ask("Go")
        upstream.script(Turn([bash("cat /tmp/x")]), Turn([say("Done.")]))
        second = await service.ask("Go", {"role": "assistant", "content": first["content"][:2]})
        assert results(second)[0]["stdout"] == "here\n"

    async def test_pending_calls_without_the_tool_are_refused(self, service: Service) -> None:
        use = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "bash_code_execution", "input": {"command": "ls"}}
        with pytest.raises(InvalidRequest, match="was found without a corresponding"):
            await service.ask("Go", {"role": "assistant", "content": [use]}, tools=[])


class TestCancellation:
    BUSY = "while :; do date +%s%N > /tmp/mark; done"

    async def _container(self, service: Service, upstream: ScriptedUpstream) -> str:
        upstream.script(Turn([bash("true")]), Turn([say("Done.")]))
        container: str = (await service.ask("Go"))["container"]["id"]
        return container

    async def _assert_free_and_still(self, service: Service, upstream: ScriptedUpstream, container: str) -> None:
        """Another request gets the container at once, and nothing of the first still runs there."""
        command = "cp /tmp/mark /tmp/a; sleep 0.3; cmp /tmp/mark /tmp/a && echo still"
        upstream.script(Turn([bash(command)]), Turn([say("Done.")]))
        async with asyncio.timeout(20):
            message = await service.ask("Go", container=container)
        assert results(message)[0]["stdout"] == "still\n"

    async def _began(self, service: Service, container: str) -> None:
        async with service.containers.lease(CALLER, container) as lease:
            inside = await lease.container()
            async with asyncio.timeout(20):
                # No event can be waited for: it happens in another kernel.
                while not (await inside.list_directory("/tmp", limit=10)).entries:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def test_cancelling_during_an_execution_kills_it(self, service: Service, upstream: ScriptedUpstream) -> None:
        container = await self._container(service, upstream)
        upstream.script(Turn([bash(self.BUSY)]))
        asking = asyncio.create_task(service.ask("Go", container=container))
        await self._began(service, container)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await self._assert_free_and_still(service, upstream, container)

    async def test_closing_the_stream_at_any_event_gives_the_container_back(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        container = await self._container(service, upstream)
        stop_after, seen_all = 0, False
        while not seen_all:
            stop_after += 3
            upstream.script(Turn([say("Hm"), bash("date > /tmp/mark")], chunk=20), Turn([say("Done.")], chunk=20))
            async with aclosing(service.stream("Go", container=container)) as events:
                for _ in range(stop_after):
                    if (await anext(events, None)) is None:
                        seen_all = True
                        break
            upstream.reset()
        await self._assert_free_and_still(service, upstream, container)


class TestCountTokens:
    async def test_tools_uploads_and_our_blocks_are_counted_as_the_model_sees_them(
        self, service: Service, upstream: ScriptedUpstream
    ) -> None:
        file = await service.upload("data.csv", b"1")
        use = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "bash_code_execution", "input": {"command": "ls"}}
        body = {
            "model": MODEL,
            "tools": [NEWER],
            "tool_choice": {"type": "tool", "name": "code_execution"},
            "messages": [
                {"role": "user", "content": [upload_block(file)]},
                {"role": "assistant", "content": [use]},
            ],
        }
        counted = await service.messages.count_tokens(body, CALLER, headers=PassedHeaders())
        assert counted["input_tokens"] > 0
        assert upstream.requests[0].path == "/v1/messages/count_tokens"
        assert upstream.requests[0].tool_names == {"bash_code_execution", "text_editor_code_execution"}
        assert "$INPUT_DIR/data.csv" in str(upstream.requests[0].messages)


async def test_the_built_in_model_runs_code_blocks(tmp_path: Path, image: Path) -> None:
    text = "```python\nimport statistics\nprint(statistics.mean(range(1, 11)))\n```"
    async with running(tmp_path, image) as service:
        newer = await service.ask(text)
        older = await service.ask(text, tools=[OLDER])
    assert results(newer)[0]["stdout"] == results(older)[0]["stdout"] == "5.5\n"
    assert "5.5" in newer["content"][-1]["text"]
