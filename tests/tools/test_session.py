"""What the calls of a request share, and what becomes of failures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.errors import NoRoom
from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import Container
from codecove.tools.base import Call
from codecove.tools.directories import input_directory
from codecove.tools.session import Upload
from codecove.tools.versions import VERSIONS
from tests.support.host import host_config
from tests.tools.conftest import Request, Server, running_server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]
RUNTIME = "crun"

NEWER = VERSIONS["code_execution_20250825"]


async def test_uploads_are_there_before_the_first_call(server: Server) -> None:
    uploads = [await server.upload("data.csv", b"a\n1\n"), await server.upload("ä b.txt", b"text")]
    async with server.request(uploads=uploads) as request:
        content = await request.bash('ls "$INPUT_DIR"; cat $INPUT_DIR/data.csv; echo $INPUT_DIR')
        assert content["stdout"] == f"data.csv\nä b.txt\na\n1\n{input_directory(uploads[0].file_id)}\n"
        assert request.lease.loaded_files == {upload.file_id for upload in uploads}


async def test_uploads_that_a_container_has_are_not_put_there_again(server: Server) -> None:
    uploads = [await server.upload("data.csv", b"original")]
    async with server.request(uploads=uploads) as request:
        await request.bash("echo changed > $INPUT_DIR/data.csv")
    uploads.append(await server.upload("more.csv", b"more"))
    async with server.request(request.lease.container_id, uploads=uploads) as later:
        assert (await later.bash("cat $INPUT_DIR/*"))["stdout"] == "changed\nmore"
        await later.bash("rm $INPUT_DIR/data.csv")
    async with server.request(request.lease.container_id, uploads=uploads) as last:
        assert (await last.edit("view", "$INPUT_DIR/data.csv"))["content"] == "original"


async def test_an_upload_that_another_conversation_had_elsewhere_is_put_where_this_one_looks(server: Server) -> None:
    first, second = await server.upload("a", b"1"), await server.upload("b", b"2")
    async with server.request(uploads=[first]) as request:
        await request.bash("true")
    async with server.request(request.lease.container_id, uploads=[second, first]) as other:
        assert (await other.bash("cat $INPUT_DIR/a $INPUT_DIR/b"))["stdout"] == "12"


async def test_an_upload_that_does_not_fit_is_said_and_the_command_runs(server: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    async with server.request(uploads=[Upload("file_1", "huge.bin", endless)]) as request:
        content = await request.bash("echo ran")
        assert content["stdout"] == "ran\n"
        assert "$INPUT_DIR/huge.bin could not be put there: No space left on device" in content["stderr"]
        assert request.lease.loaded_files == frozenset()


async def test_a_problem_with_the_call_is_its_result_and_needs_no_container(server: Server) -> None:
    call = Call("srvtoolu_01", "bash_code_execution", None, problem="The input is not valid JSON.")
    async with server.request() as request:
        block = await request.session.execute(NEWER, call)
        assert block["content"] == {
            "type": "bash_code_execution_tool_result_error",
            "error_code": "invalid_tool_input",
            "error_message": "The input is not valid JSON.",
        }
        assert request.lease.container_id is None
        assert (request.session.execution_requests, request.session.execution_seconds) == (0, 0.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("code_execution", "code_execution_tool_result"), ("python", "bash_code_execution_tool_result")],
)
async def test_a_tool_that_was_not_offered_is_answered_with_those_that_are(
    request_: Request, name: str, kind: str
) -> None:
    block = await request_.session.execute(NEWER, Call("srvtoolu_01", name, {"code": "1"}))
    assert block["type"] == kind
    assert block["content"]["error_code"] == "invalid_tool_input"
    assert "bash_code_execution or text_editor_code_execution" in block["content"]["error_message"]


@pytest.mark.parametrize("given", [None, [], "ls", 7])
async def test_an_input_that_is_no_object_is_refused(request_: Request, given: object) -> None:
    block = await request_.session.execute(NEWER, Call("srvtoolu_01", "bash_code_execution", given))
    assert "must be an object" in block["content"]["error_message"]


async def test_calls_and_their_time_are_counted(request_: Request) -> None:
    await request_.bash("sleep 0.2")
    await request_.edit("view", "none")
    assert request_.session.execution_requests == 2
    assert request_.session.execution_seconds >= 0.2


async def test_an_expired_container_is_said_to_be_so(server: Server) -> None:
    async with server.request() as request:
        await request.bash("true")
    await server.expire_containers()
    async with server.request(request.lease.container_id) as later:
        content = await later.bash("echo hi")
        assert content["error_code"] == "container_expired"
        assert str(request.lease.container_id) in content["error_message"]
        assert "without `container`" in content["error_message"]


async def test_without_room_a_request_ends_until_something_has_run_and_then_the_model_is_told(
    tmp_path: Path, image: Path
) -> None:
    config = host_config(tmp_path / "host", image, max_containers=1, admission_wait=0.2)
    async with running_server(tmp_path, config) as server, server.request() as first, server.request() as second:
        assert (await first.bash("true"))["return_code"] == 0
        busy = asyncio.create_task(second.bash("touch begun; sleep 60"))  # the first goes to sleep for it
        await _begun(second)
        content = await first.bash("true")
        assert content["error_code"] == "too_many_requests"
        assert "Try again" in content["error_message"]
        async with server.request() as third:
            with pytest.raises(NoRoom, match="no room"):
                await third.bash("true")
            busy.cancel()
            await asyncio.wait([busy])
            assert (await third.bash("true"))["return_code"] == 0


async def test_a_sandbox_that_cannot_start_is_unavailable(tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs"
    rootfs.mkdir()
    async with running_server(tmp_path, host_config(tmp_path / "host", rootfs)) as server, server.request() as request:
        rootfs.rmdir()
        for content in (await request.bash("true"), await request.python("1"), await request.edit("view", ".")):
            assert content["error_code"] == "unavailable"
            assert "could not be started" in content["error_message"]


async def test_a_fault_of_the_server_is_unavailable_and_no_exception(server: Server) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError("a secret of the server")

    async with server.request(uploads=[Upload("file_1", "a", broken)]) as request:
        content = await request.bash("true")
        assert content["error_code"] == "unavailable"
        assert "secret" not in content["error_message"]


async def test_cancelling_a_call_kills_what_it_runs(request_: Request) -> None:
    task = asyncio.create_task(request_.bash("touch begun; sleep 64"))
    await _begun(request_)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await request_.bash("pgrep -x sleep | wc -l"))["stdout"] == "0\n"


async def _begun(request: Request) -> None:
    container = await request.container()
    while not await _exists(container, "/workspace/begun"):  # noqa: ASYNC110 -- the event is in the container
        await asyncio.sleep(0.02)


async def _exists(container: Container, path: str) -> bool:
    try:
        await container.stat(path)
    except GuestFileError:
        return False
    return True
