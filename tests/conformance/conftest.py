"""How the conformance tests ask: the same conversation as JSON and as a stream, each answer parsed strictly."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import anthropic
import pytest
from anthropic.types.beta import BetaMessage

from tests.conformance import report, strict
from tests.support.script import Json
from tests.support.upstream import MODEL

OLDER: Json = {"type": "code_execution_20250522", "name": "code_execution"}
NEWER: Json = {"type": "code_execution_20250825", "name": "code_execution"}
BETAS = {
    OLDER["type"]: ["code-execution-2025-05-22"],
    NEWER["type"]: ["code-execution-2025-08-25"],
}


def pytest_sessionfinish(session: pytest.Session) -> None:
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["compatibility"] = report.rows()
    elif session.config.getoption("--report"):
        report.write()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: what it found goes into the report of the whole run."""
    for row in getattr(node, "workeroutput", {}).get("compatibility", ()):
        report.record(*row)


class Ask(Protocol):
    """Send messages (text: one user message) and get the answer, checked against the client's types."""

    def __call__(
        self, messages: str | Sequence[Json], *, tools: Sequence[Json] = (NEWER,), **fields: Any
    ) -> BetaMessage: ...


@pytest.fixture(params=["json", "stream"])
def mode(request: pytest.FixtureRequest) -> Literal["json", "stream"]:
    chosen: Literal["json", "stream"] = request.param
    return chosen


def asking(client: anthropic.Anthropic, mode: Literal["json", "stream"]) -> Ask:
    def ask(messages: str | Sequence[Json], *, tools: Sequence[Json] = (NEWER,), **fields: Any) -> BetaMessage:
        request: dict[str, Any] = {
            "model": MODEL,
            "max_tokens": 4096,
            "tools": list(tools),
            "messages": user(messages) if isinstance(messages, str) else list(messages),
            "betas": [beta for tool in tools for beta in BETAS.get(tool.get("type"), [])],
            **fields,
        }
        if mode == "json":
            raw = client.beta.messages.with_raw_response.create(**request)
            return strict.parse(raw.http_response.json())
        with client.beta.messages.stream(**request) as stream:
            message = stream.get_final_message()
        return strict.parse(message.to_dict(mode="json"))

    return ask


@pytest.fixture
def ask(client: anthropic.Anthropic, mode: Literal["json", "stream"]) -> Ask:
    return asking(client, mode)


def user(content: str | list[Json]) -> list[Json]:
    return [{"role": "user", "content": content}]


def content_of(message: BetaMessage) -> list[Json]:
    """The answer's blocks as they came, to compare or to send back."""
    return [block.to_dict(mode="json", warnings=False) for block in message.content]


def then(messages: list[Json], answer: BetaMessage, following: str | list[Json]) -> list[Json]:
    """The history that a client sends next: the answer unchanged, then the user again."""
    return [*messages, {"role": "assistant", "content": content_of(answer)}, *user(following)]


def results(message: BetaMessage) -> list[Json]:
    """The contents of the answer's result blocks."""
    return [block["content"] for block in content_of(message) if block["type"].endswith("_tool_result")]


def container_id(message: BetaMessage) -> str:
    assert message.container is not None
    return message.container.id
