"""Clients of 2025 and of today, each in an environment of its own, do the documentation's quickstart in every way."""

import json
import sys

import pytest

from tests.conformance import report
from tests.conformance.environments import CLIENTS, node_environment, python_environment, run
from tests.support.script import Json, Turn, bash, python, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

OLDER = ("code_execution_20250522", "code-execution-2025-05-22")
NEWER = ("code_execution_20250825", "code-execution-2025-08-25")
CODE = "import statistics; print(statistics.mean(range(1, 11)))"
TURNS = {
    OLDER: [Turn([say("I calculate."), python(CODE)]), Turn([say("The mean is 5.5.")])],
    NEWER: [Turn([say("I calculate."), bash(f'python3 -c "{CODE}"')]), Turn([say("The mean is 5.5.")])],
}

# Mid-2025, when the older tool was new; late 2025, when the newer one was; and the newest that is out.
PYTHON = [("0.54.0", OLDER), ("0.72.0", NEWER)]
TYPESCRIPT = [("0.52.0", OLDER), ("0.69.0", NEWER), ("current", OLDER), ("current", NEWER)]
# Clients whose streaming helper knows the input of ordinary tool calls only.
DROPS_STREAMED_INPUT = {"0.52.0"}

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]


def check(client: str, answer: Json, tool: tuple[str, str]) -> None:
    """Every way of asking gave the answer of the documentation. What came of each goes into the report."""
    wrong = {}
    for way, result in answer["results"].items():
        try:
            outcome = check_way(way, result, answer["version"], tool)
        except AssertionError as error:
            wrong[way] = error
            outcome = "fails"
        report.record(client, answer["version"], tool[0], way, outcome)
    assert wrong == {}


def check_way(way: str, result: Json, version: str, tool: tuple[str, str]) -> str:
    """The outcome for the report. Raises `AssertionError`."""
    if "events" in result:
        assert result["events"][0] == "message_start"
        assert result["events"][-1] == "message_stop"
    if "message" not in result:
        return "passes"
    content = result["message"]["content"]
    assert result["message"]["stop_reason"] == "end_turn"
    if way == "answer sent back":
        assert content[0]["text"] == "You are welcome."
        return "passes"
    result_type = "code_execution_tool_result" if tool is OLDER else "bash_code_execution_tool_result"
    assert [block["type"] for block in content] == ["text", "server_tool_use", result_type, "text"]
    assert content[2]["tool_use_id"] == content[1]["id"]
    assert content[2]["content"]["stdout"] == "5.5\n"
    if version in DROPS_STREAMED_INPUT and "stream" in way:
        return "passes; this client drops the input of streamed server calls, whoever sends them"
    assert content[1]["input"]
    return "passes"


def play(upstream: ScriptedUpstream, tool: tuple[str, str], *, before: int, after: int) -> None:
    """The scripts ask so often, send the answer back once, and ask again."""
    upstream.script(*TURNS[tool] * before, Turn([say("You are welcome.")]), *TURNS[tool] * after)


@pytest.mark.parametrize(("version", "tool"), PYTHON, ids=lambda value: value if isinstance(value, str) else value[0])
def test_the_python_client_of_that_time(
    version: str, tool: tuple[str, str], server: Server, upstream: ScriptedUpstream
) -> None:
    interpreter = python_environment(f"python-{version}")
    play(upstream, tool, before=6, after=2)
    arguments = [server.url, server.api_key, MODEL, *tool]
    answer = json.loads(run([str(interpreter), str(CLIENTS / "quickstart.py"), *arguments]))
    assert answer["version"] == version
    check("Python", answer, tool)


@pytest.mark.parametrize("tool", [OLDER, NEWER], ids=lambda tool: tool[0])
def test_the_python_client_of_today(tool: tuple[str, str], server: Server, upstream: ScriptedUpstream) -> None:
    play(upstream, tool, before=6, after=2)
    arguments = [server.url, server.api_key, MODEL, *tool]
    answer = json.loads(run([sys.executable, str(CLIENTS / "quickstart.py"), *arguments]))
    check("Python", answer, tool)


@pytest.mark.parametrize(
    ("version", "tool"), TYPESCRIPT, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_the_typescript_client(version: str, tool: tuple[str, str], server: Server, upstream: ScriptedUpstream) -> None:
    directory = node_environment(f"typescript-{version}")
    play(upstream, tool, before=5, after=0)
    arguments = [str(directory), server.url, server.api_key, MODEL, *tool]
    answer = json.loads(run(["node", str(CLIENTS / "quickstart.mjs"), *arguments]))
    check("TypeScript", answer, tool)
