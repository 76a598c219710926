"""`bash_code_execution`, in real containers."""

import pytest

from tests.tools.conftest import Request, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_a_command_gives_its_output_and_return_code(request_: Request) -> None:
    content = await request_.bash("echo out; echo err >&2; exit 3")
    assert content == {
        "type": "bash_code_execution_result",
        "stdout": "out\n",
        "stderr": "err\n",
        "return_code": 3,
        "content": [],
    }


async def test_each_command_is_a_new_shell_in_the_workspace_and_files_stay(request_: Request) -> None:
    await request_.bash("cd /tmp; x=1; echo kept > /workspace/a.txt; echo also > b.txt")
    content = await request_.bash('pwd; echo "${x:-unset}"; cat a.txt /tmp/b.txt; cat')
    assert content["stdout"] == "/workspace\nunset\nkept\nalso\n"


async def test_a_command_longer_than_an_argument_may_be_runs_the_same(request_: Request) -> None:
    long = "x" * 300_000
    content = await request_.bash(f"text='{long}'\ncat <<'END'\n$literal\nEND\necho ${{#text}}; cat; exit 4")
    assert content["stdout"] == "$literal\n300000\n"
    assert content["return_code"] == 4
    assert content["stderr"] == ""


@pytest.mark.parametrize(("command", "said"), [("-x; echo on", "-x: command not found"), ("echo a\0b", "ab")])
async def test_a_command_that_bash_could_take_for_something_else_runs(
    request_: Request, command: str, said: str
) -> None:
    content = await request_.bash(command)
    assert said in content["stdout"] + content["stderr"]


async def test_restart_is_answered_and_not_needed(request_: Request) -> None:
    content = (await request_.call("bash_code_execution", restart=True))["content"]
    assert content["return_code"] == 0
    assert "No restart is needed" in content["stdout"]
    both = (await request_.call("bash_code_execution", restart=True, command="echo hi"))["content"]
    assert both["stdout"] == "hi\n"


async def test_bytes_that_are_not_utf8_are_seen_and_the_rest_kept(request_: Request) -> None:
    content = await request_.bash(r"printf 'a\xff\0b\rc\x1b[1m'; printf '\xed\xa0\x80' >&2")
    assert content["stdout"] == "a�\0b\rc\x1b[1m"
    assert content["stderr"] == "���"


async def test_much_output_keeps_head_and_tail_and_says_what_was_cut(request_: Request) -> None:
    content = await request_.bash("seq 1 200000; seq 1 100000 >&2")
    for stream, last in (("stdout", "200000"), ("stderr", "100000")):
        text = content[stream]
        assert text.startswith("1\n2\n")
        assert text.endswith(f"\n{last}\n")
        assert "bytes of output cut here" in text
        assert len(text) < 110_000


async def test_a_command_over_time_is_stopped_with_all_it_started(server: Server) -> None:
    async with server.request(execution_timeout=2) as request:
        content = await request.bash(
            "(sleep 61 & sleep 62) & python3 -c 'print(\"before\"); import time; time.sleep(63)'"
        )
        assert content["error_code"] == "execution_time_exceeded"
        assert "stdout:\nbefore\n" in content["error_message"]
        assert (await request.bash("pgrep -x sleep | wc -l"))["stdout"] == "0\n"


async def test_time_is_shared_by_all_calls_of_a_request(server: Server) -> None:
    async with server.request(request_budget=2) as request:
        content = await request.bash("echo begun; sleep 30")
        assert content["error_code"] == "execution_time_exceeded"
        assert "max_execution_duration of 2 s" in content["error_message"]
        spent = await request.bash("echo more")
        assert "Not run" in spent["error_message"]
        assert request.session.execution_requests == 1
        older = await request.python("print(1)")
        assert older["error_code"] == "code_execution_exceeded"


async def test_a_full_disk_does_not_stop_the_command_that_makes_room(request_: Request) -> None:
    full = await request_.bash("head -c 200M /dev/zero > big")
    assert "No space left" in full["stderr"]
    content = await request_.bash("rm big; echo made room")
    assert "made room\n" in content["stdout"]
    older = await request_.python("print('runs')")
    assert older["stdout"] == "runs\n"


async def test_a_process_killed_for_memory_is_said(server: Server) -> None:
    async with server.request() as request:
        content = await request.python("x = bytearray(3 * 2**30)\nprint(len(x))")
        assert content["return_code"] != 0
        assert "memory" in content["stderr"].lower()
        assert (await request.bash("echo alive"))["stdout"] == "alive\n"


@pytest.mark.parametrize("given", [{}, {"command": ["ls"]}, {"command": {"cmd": "ls"}}, {"restart": False}])
async def test_an_input_without_a_command_is_refused(request_: Request, given: dict[str, object]) -> None:
    block = await request_.call("bash_code_execution", **given)
    assert block["content"]["error_code"] == "invalid_tool_input"
    assert "`command`" in block["content"]["error_message"]
