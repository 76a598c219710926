"""The documentation's examples, done by every client and framework in an environment of its own.

Each program in `clients/` does the examples in the way of its framework; see `clients/protocol.py`. What the model
says is scripted here, and so is what must come of it.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.conformance import report
from tests.conformance.conftest import NEWER, OLDER
from tests.conformance.environments import CLIENTS, clean_environment, node_environment, python_environment
from tests.support.script import Block, Json, Turn, bash, call, edit, python, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

BETAS = {OLDER["type"]: "code-execution-2025-05-22", NEWER["type"]: "code-execution-2025-08-25"}
PAUSING = {"COVE_MAX_TURNS": "2"}

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Client:
    """One client in one environment, with the version of the tool that it tries."""

    name: str
    environment: str
    program: str
    tool: Json
    limits: Mapping[str, str] = field(default_factory=dict)
    """What it can't do, and why."""

    def command(self) -> list[str]:
        program = str(CLIENTS / self.program)
        if self.program.endswith(".mjs"):
            return ["node", program, str(node_environment(self.environment))]
        if self.environment == "current":
            return [sys.executable, program]
        return [str(python_environment(self.environment)), program]


@dataclass(frozen=True)
class Example:
    """What the model says, what must come of it, and the settings of the server."""

    newer: list[Turn]
    older: list[Turn]
    expected: Json
    settings: Mapping[str, str] = field(default_factory=dict)

    def turns(self, tool: Json) -> list[Turn]:
        return self.older if tool is OLDER else self.newer


def both(*turns: list[str | Block], expected: Json, settings: Mapping[str, str] | None = None) -> Example:
    """An example for either tool: a command is run by bash, or by Python as a shell would."""

    def made(run: Callable[[str], Block]) -> list[Turn]:
        return [Turn([run(block) if isinstance(block, str) else block for block in turn]) for turn in turns]

    shell = "import subprocess; print(subprocess.run({!r}, shell=True, capture_output=True, text=True).stdout, end='')"
    older = made(lambda command: python(shell.format(command)))
    return Example(made(bash), older, expected, settings or {})


MEAN = "python3 -c 'import statistics; print(statistics.mean(range(1, 11)))'"
QUICKSTART = both(
    [say("I calculate. "), MEAN], [say("It is 5.5.")], expected={"stdout": ["5.5\n"], "text": "It is 5.5."}
)
BESIDE = both(
    ["echo ran", call("get_weather", {"city": "Bern"})],
    [say("It ran, and it is sunny.")],
    expected={"stdout": ["ran\n"], "text": "it is sunny.", "called": [{"city": "Bern"}]},
)
THANKS = Turn([say("You are welcome.")])
FAILING = Example(
    newer=[
        Turn([edit(command="create", path="/tmp/a.txt", file_text="x\n")]),
        Turn([edit(command="str_replace", path="/tmp/a.txt", old_str="absent", new_str="y")]),
        Turn([edit(command="view", path="/tmp/absent.txt")]),
        Turn([call("bash_code_execution", '{"command"')]),
        Turn([say("It failed. ")]),
        THANKS,
    ],
    older=[Turn([call("code_execution", {})]), Turn([say("It failed. ")]), THANKS],
    expected={"text": "It failed. You are welcome."},
)
EXAMPLES = {
    "quickstart": QUICKSTART,
    "streaming": QUICKSTART,
    "file upload and analysis": both(
        ["awk -F, 'NR > 1 {s += $2} END {print s}' $INPUT_DIR/sales.csv"],
        [say("Seven.")],
        expected={"stdout": ["7\n"], "text": "Seven."},
    ),
    "generated file download": both(
        ["printf made > $OUTPUT_DIR/made.txt"],
        [say("Made.")],
        expected={"stdout": [""], "text": "Made.", "files": {"made.txt": "made"}},
    ),
    "container reuse": both(
        ["echo 42 > /tmp/number"],
        [say("Kept. ")],
        ["cat /tmp/number"],
        [say("It was 42.")],
        expected={"stdout": ["", "42\n"], "text": "Kept. It was 42."},
    ),
    "pause_turn": both(
        [say("One. "), "echo 1 | tee /tmp/a"],
        ["echo 2 >> /tmp/a; cat /tmp/a"],
        ["echo 3 >> /tmp/a; cat /tmp/a"],
        [say("Done.")],
        expected={"stdout": ["1\n", "1\n2\n", "1\n2\n3\n"], "text": "One. Done."},
        settings=PAUSING,
    ),
    "client tool beside ours": BESIDE,
    "client tool beside ours, streamed": BESIDE,
    "failed execution": FAILING,
    "batch": QUICKSTART,
}
ERRORS = {
    OLDER["type"]: ["invalid_tool_input"],
    NEWER["type"]: ["string_not_found", "file_not_found", "invalid_tool_input"],
}

DROPS_INPUT = {
    "client tool beside ours, streamed": "this client drops the input of streamed server calls, whoever sends them"
}
NO_UPLOADS = {"file upload and analysis": "its messages have no `container_upload`"}
NO_BATCHES = {"batch": "it has no Message Batches"}

CLIENT_TABLE = [
    Client("Python", "current", "anthropic_examples.py", NEWER),
    Client("TypeScript", "typescript-current", "typescript_examples.mjs", NEWER),
    Client("LangChain", "langchain", "langchain_examples.py", NEWER, NO_BATCHES),
    Client("Pydantic AI", "pydantic-ai", "pydantic_ai_examples.py", NEWER),
    Client("Vercel AI SDK", "ai-sdk", "ai_sdk_examples.mjs", NEWER, NO_UPLOADS | NO_BATCHES),
]
OLD_CLIENTS = [
    Client("Python", "python-0.54.0", "anthropic_examples.py", OLDER),
    Client("Python", "python-0.72.0", "anthropic_examples.py", NEWER),
    Client("TypeScript", "typescript-0.52.0", "typescript_examples.mjs", OLDER, DROPS_INPUT),
    Client("TypeScript", "typescript-0.69.0", "typescript_examples.mjs", NEWER),
]


class Program:
    """A client's program, running."""

    def __init__(self, client: Client) -> None:
        self._process = subprocess.Popen(
            client.command(),
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Json) -> Json:
        """One example. Fails the test with the program's traceback."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client's program ended with {self._process.wait(10)}"
        answer: Json = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def programs() -> Iterator[Callable[[Client], Program]]:
    """Programs by client, each started when first asked for."""
    running: dict[str, Program] = {}

    def get(client: Client) -> Program:
        if client.environment not in running:
            running[client.environment] = Program(client)
        return running[client.environment]

    yield get
    for program in running.values():
        program.close()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize(
    "client",
    # What the old clients have in common with the new ones is tried by test_clients.py, faster.
    [*CLIENT_TABLE, *(pytest.param(client, marks=pytest.mark.soak) for client in OLD_CLIENTS)],
    ids=lambda client: client.environment,
)
def test_the_documentations_example(
    client: Client,
    name: str,
    programs: Callable[[Client], Program],
    server_with: Callable[[Mapping[str, str]], Server],
    upstream: ScriptedUpstream,
) -> None:
    example, tool = EXAMPLES[name], client.tool["type"]
    server, program = server_with(example.settings), programs(client)
    if name in client.limits:
        version = program.ask({"example": "none: what is your version?"})["version"]
        report.record(client.name, version, tool, name, f"not possible: {client.limits[name]}")
        return
    upstream.script(*example.turns(client.tool))
    request = {"base_url": server.url, "api_key": server.api_key, "model": MODEL, "tool": tool, "beta": BETAS[tool]}
    answer = program.ask({"example": name, **request})
    outcome = "fails"
    try:
        check(name, example, answer, tool)
        outcome = "passes"
    finally:
        report.record(client.name, answer["version"], tool, name, outcome)


def check(name: str, example: Example, answer: Json, tool: str) -> None:
    """The result is the expected one. Raises `AssertionError`."""
    assert "error" not in answer, answer["error"]
    result = answer["result"]
    expected = dict(example.expected)
    assert str(expected.pop("text")) in result["text"]
    assert {key: result[key] for key in expected} == expected
    if name == "container reuse":
        assert result["container"] == result["first_container"]
    if name == "pause_turn":
        assert result["container"]
    if name.startswith("streaming"):
        assert result["events"] > 1
    if name == "failed execution":
        assert result["errors"] == ERRORS[tool]
