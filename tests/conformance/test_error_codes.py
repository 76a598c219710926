"""Every error code of both documents, each from its real cause: code × tool × cause.

What is checked of each: the client's own class takes it, its message says what happened and what to do, the model is
told, and the answer is accepted back as history.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from codecove.demo.process import running_server, temporary_data_dir
from tests.cli.cove import invoke
from tests.conformance.conftest import NEWER, OLDER, content_of, user
from tests.support.script import Block, Json, Turn, bash, call, edit, python, say
from tests.support.server import KEY, Server, leftovers
from tests.support.upstream import MODEL, ScriptedUpstream

LIMIT = 2000
EXPIRY = 3.0
PYTHON, BASH, EDITOR = "code_execution", "bash_code_execution", "text_editor_code_execution"
TOOL_OF = {PYTHON: OLDER, BASH: NEWER, EDITOR: NEWER}
WORKING: dict[str, Block] = {
    PYTHON: python("print(1)"),
    BASH: bash("echo 1"),
    EDITOR: edit(command="view", path="/workspace"),
}

pytestmark = pytest.mark.sandbox


class Site:
    """A server that can be broken: its runtime is a script, its quotas are set while it runs."""

    def __init__(self, url: str, data_dir: Path, runtime: Path, upstream: ScriptedUpstream) -> None:
        self.url = url
        self.upstream = upstream
        self._data_dir = data_dir
        self._broken = runtime.with_name("broken")

    def break_runtime(self) -> Callable[[], None]:
        self._broken.touch()
        return self._broken.unlink

    def set_quota(self, name: str, value: str) -> Callable[[], None]:
        """Returns what takes it back."""

        def set_to(limit: str) -> None:
            done = invoke("workspaces", "set", "default", f"--{name}", limit, "--data-dir", str(self._data_dir))
            assert done.exit_code == 0, done.output

        set_to(value)
        return lambda: set_to("never")

    def http(self, method: str, path: str, **fields: Any) -> Json:
        headers = Server(self.url, KEY).headers
        answer = httpx2.request(method, self.url + path, headers=headers, timeout=60, trust_env=False, **fields)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    def ask(self, tool: Json, messages: list[Json], *turns: Turn, **fields: Any) -> anthropic.types.beta.BetaMessage:
        self.upstream.script(*turns)
        with anthropic.Anthropic(base_url=self.url, api_key=KEY, max_retries=0, timeout=60) as client:
            request: dict[str, Any] = {"model": MODEL, "max_tokens": 4096, "tools": [tool], "messages": messages}
            answer: anthropic.types.beta.BetaMessage = client.beta.messages.create(**request, **fields)
            return answer


@pytest.fixture(scope="module")
def running_site(
    upstream_server: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Site]:
    if pytestconfig.getoption("--base-url"):
        pytest.skip("needs a server that can be broken")
    runtime = tmp_path_factory.mktemp("runtime") / "crun"
    refusal = "echo 'crun is broken on purpose' >&2; exit 1"
    real = shutil.which("crun")
    runtime.write_text(f'#!/bin/sh\nif [ -e "${{0%/*}}/broken" ]; then {refusal}; fi\nexec {real} "$@"\n')
    runtime.chmod(0o755)
    settings = {
        "COVE_API_KEY": KEY,
        "COVE_UPSTREAM_URL": upstream_server.url,
        "COVE_UPSTREAM_API_KEY": "upstream-key",
        "COVE_RUNTIME": str(runtime),
        "COVE_MAX_FILE_SIZE": str(LIMIT),
        # A container that stands ready needs no runtime to be taken.
        "COVE_POOL_MAX": "0",
        "COVE_CONTAINER_IDLE_EXPIRY": str(EXPIRY),
    }
    with temporary_data_dir() as data_dir:
        with running_server(data_dir, settings) as process:
            yield Site(process.url, data_dir, runtime, upstream_server)
        assert process.exit_code == 0, process.log
        assert leftovers(data_dir) == []


@pytest.fixture
def site(running_site: Site, upstream: ScriptedUpstream) -> Site:
    return running_site


@dataclass(frozen=True)
class Asked:
    """A request that fails: what the model says, and what the request has beside it."""

    turns: list[Turn]
    fields: Json
    undo: Callable[[], None] = lambda: None


def broken_runtime(site: Site, name: str) -> Asked:
    return Asked([Turn([WORKING[name]])], {}, site.break_runtime())


def expired(site: Site, name: str) -> Asked:
    container = site.http("POST", "/v1/containers", json={})["id"]
    deadline = time.monotonic() + 30
    while site.http("GET", f"/v1/containers/{container}")["state"] != "expired":
        assert time.monotonic() < deadline, "the container does not expire"
        time.sleep(0.1)
    return Asked([Turn([WORKING[name]])], {"container": container})


def too_slow(_: Site, name: str) -> Asked:
    """The editor itself is never slow: its call comes when the request's time is used up."""
    slow = python("import time; time.sleep(60)") if name == PYTHON else bash("sleep 60")
    calls = [slow, WORKING[name]] if name == EDITOR else [slow]
    return Asked([Turn(calls)], {"extra_body": {"max_execution_duration": 0.7}})


def wrong_input(_: Site, name: str) -> Asked:
    return Asked([Turn([call(name, {"nothing": "useful"})])], {})


def broken_json(_: Site, name: str) -> Asked:
    return Asked([Turn([call(name, '{"comm')])], {})


def quota_of_containers(site: Site, name: str) -> Asked:
    site.http("POST", "/v1/containers", json={})
    return Asked([Turn([WORKING[name]])], {}, site.set_quota("containers", "1"))


def quota_of_seconds(site: Site, name: str) -> Asked:
    return Asked([Turn([bash("true") if name != PYTHON else python("1"), WORKING[name]])], {}, _seconds(site))


def _seconds(site: Site) -> Callable[[], None]:
    site.ask(NEWER, user("Use a second up."), Turn([bash("sleep 1.2")]), Turn([say("Done.")]))
    return site.set_quota("execution-seconds-per-day", "1")


def too_large(_: Site, name: str) -> Asked:
    assert name == BASH
    return Asked([Turn([bash(f"head -c {LIMIT + 1} /dev/zero > $OUTPUT_DIR/large.bin")])], {})


def no_such_file(_: Site, name: str) -> Asked:
    assert name == EDITOR
    return Asked([Turn([edit(command="view", path="/tmp/absent.txt")])], {})


def no_such_string(_: Site, name: str) -> Asked:
    assert name == EDITOR
    create = edit(command="create", path="/tmp/a.txt", file_text="alpha\n")
    return Asked(
        [Turn([create]), Turn([edit(command="str_replace", path="/tmp/a.txt", old_str="beta", new_str="")])], {}
    )


ALL = (PYTHON, BASH, EDITOR)
# Code, cause, the tools that it can happen to, words that its message must have (what happened, what to do).
TABLE: list[tuple[str, Callable[[Site, str], Asked], tuple[str, ...], tuple[str, ...]]] = [
    ("unavailable", broken_runtime, ALL, ("could not be started", "Try again")),
    ("container_expired", expired, ALL, ("has expired", "without `container`")),
    ("code_execution_exceeded", too_slow, (PYTHON,), ("max_execution_duration", "Do less")),
    ("execution_time_exceeded", too_slow, (BASH,), ("max_execution_duration", "Do less")),
    ("execution_time_exceeded", too_slow, (EDITOR,), ("max_execution_duration", "new request")),
    ("invalid_tool_input", wrong_input, (PYTHON,), ("`code`",)),
    ("invalid_tool_input", wrong_input, (BASH, EDITOR), ("`command`",)),
    ("invalid_tool_input", broken_json, ALL, ("JSON", "again")),
    ("too_many_requests", quota_of_containers, ALL, ("1 container", "reuse")),
    ("too_many_requests", quota_of_seconds, ALL, ("seconds",)),
    ("output_file_too_large", too_large, (BASH,), ("too large", "smaller")),
    ("file_not_found", no_such_file, (EDITOR,), ("/tmp/absent.txt", "View")),
    ("string_not_found", no_such_string, (EDITOR,), ("/tmp/a.txt", "View")),
]
CASES = [
    pytest.param(code, cause, name, words, id=f"{code}-{name}-{cause.__name__}")
    for code, cause, names, words in TABLE
    for name in names
]


@pytest.mark.parametrize(("code", "cause", "name", "words"), CASES)
def test_the_code_of_a_real_cause(
    code: str, cause: Callable[[Site, str], Asked], name: str, words: tuple[str, ...], site: Site
) -> None:
    with ExitStack() as stack:
        asked = cause(site, name)
        stack.callback(asked.undo)
        site.upstream.requests.clear()
        answer = site.ask(TOOL_OF[name], user("Do it."), *asked.turns, Turn([say("It failed.")]), **asked.fields)
    block: Any = next(block for block in reversed(answer.content) if block.type == f"{name}_tool_result")
    content = block.content.to_dict()
    assert content["type"] == f"{name}_tool_result_error"
    assert content["error_code"] == code
    assert all(word in content["error_message"] for word in words), content["error_message"]
    # The client's class for errors took it, not the one for results.
    assert type(block.content).__name__.endswith("ErrorObject")
    told = [part for part in site.upstream.requests[-1].messages[-1]["content"] if part.get("is_error")]
    assert code in str(told)
    assert content["error_message"].splitlines()[0] in str(told[-1]["content"])
    history = [*user("Do it."), {"role": "assistant", "content": content_of(answer)}, *user("Thank you.")]
    again = site.ask(TOOL_OF[name], history, Turn([say("You are welcome.")]))
    assert content_of(again) == [{"type": "text", "text": "You are welcome."}]


def test_the_table_has_every_code_of_both_documents() -> None:
    common = {"unavailable", "container_expired", "invalid_tool_input", "too_many_requests"}
    documented = {
        PYTHON: common | {"code_execution_exceeded"},
        BASH: common | {"execution_time_exceeded", "output_file_too_large"},
        EDITOR: common | {"execution_time_exceeded", "file_not_found", "string_not_found"},
    }
    for name, codes in documented.items():
        assert {code for code, _, names, _ in TABLE if name in names} == codes
