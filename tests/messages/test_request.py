"""What is checked in a request, and what isn't."""

from typing import Any

import pytest

from codecove.errors import InvalidRequest
from codecove.messages.protocol import Block
from codecove.messages.request import parse
from tests.messages.support import NEWER

USER = {"role": "user", "content": "Go"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], "tools": [NEWER], **fields}


def blocks(*content: Any, role: str = "user") -> dict[str, Any]:
    return body(messages=[{"role": role, "content": list(content)}])


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (None, None),
        ("container_1", "container_1"),
        ({"id": "container_1"}, "container_1"),
        ({"id": "container_1", "skills": []}, "container_1"),
        ({"skills": [{"type": "anthropic", "skill_id": "pptx"}]}, None),
        ({"id": None}, None),
        ({}, None),
    ],
)
def test_every_shape_of_container_is_understood(container: Any, expected: str | None) -> None:
    assert parse(body(container=container)).container_id == expected


@pytest.mark.parametrize("value", [1, 0.5, 3600])
def test_a_duration_is_a_positive_number(value: float) -> None:
    assert parse(body(max_execution_duration=value)).max_execution_duration == value


def test_the_rest_is_kept_as_it_came() -> None:
    request = parse(body(container="c", stream=True, max_execution_duration=1, max_tokens="many", future={"a": [None]}))
    assert request.rest == {"model": "m", "tools": [NEWER], "max_tokens": "many", "future": {"a": [None]}}
    assert parse(body()).declaration is not None
    assert parse({"model": "m", "messages": [USER]}).declaration is None


CALL: Block = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "code_execution", "input": {}}
RESULT: Block = {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_A", "content": {}}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"messages": [USER]}, "model: Field required"),
        (body(model=3), "model: "),
        (body(model=""), "model: "),
        (body(messages=None), "messages: Field required"),
        (body(messages="Go"), "messages: "),
        (body(messages=[]), "messages: "),
        (body(messages=["Go"]), "messages.0: "),
        (body(messages=[USER, {"content": "x"}]), "messages.1.role: "),
        (body(messages=[{"role": "user"}]), "messages.0.content: Field required"),
        (body(messages=[{"role": "user", "content": 3}]), "messages.0.content: "),
        (blocks("text"), "messages.0.content.0: "),
        (blocks({"text": "x"}), "messages.0.content.0.type: "),
        (body(tools="code"), "tools: "),
        (body(stream="yes"), "stream: "),
        (body(container=3), "container: "),
        (body(container=""), "container: "),
        (body(container={"id": 3}), "container.id: "),
        (body(container={"skills": "pptx"}), "container.skills: "),
        (body(max_execution_duration="1"), "max_execution_duration: "),
        (body(max_execution_duration=0), "max_execution_duration: "),
        (body(max_execution_duration=True), "max_execution_duration: "),
        (body(max_execution_duration=float("nan")), "max_execution_duration: "),
        (body(max_execution_duration=float("inf")), "max_execution_duration: "),
        (body(max_execution_duration=10**400), "max_execution_duration: "),
        (blocks({"type": "container_upload"}), "messages.0.content.0.file_id: Field required"),
        (blocks({"type": "container_upload", "file_id": 3}), "messages.0.content.0.file_id: "),
        ({**blocks({"type": "container_upload", "file_id": "file_1"}), "tools": []}, "messages.0.content.0: "),
        (blocks({"type": "image", "source": {"type": "file"}}), "messages.0.content.0.source.file_id: "),
        (
            blocks({"type": "tool_result", "content": [{"type": "document", "source": {"type": "file"}}]}),
            "messages.0.content.0.content.0.source.file_id: ",
        ),
        (blocks({"type": "tool_result", "content": ["x"]}), "messages.0.content.0.content.0: "),
        (blocks({**CALL, "id": 3}, role="assistant"), "messages.0.content.0.id: "),
        (blocks({**CALL, "input": "ls"}, role="assistant"), "messages.0.content.0.input: "),
        (blocks(CALL, {**RESULT, "tool_use_id": ""}, role="assistant"), "messages.0.content.1.tool_use_id: "),
        (blocks(CALL, {**RESULT, "content": "x"}, role="assistant"), "messages.0.content.1.content: "),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(wrong)
    assert caught.value.message.startswith(path)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text"},
        {"type": "tool_use", "id": 3},
        {"type": "image", "source": {"type": "url"}},
        {"type": "hologram", "content": 3},
        {"type": "server_tool_use", "name": "web_search"},
        {"type": "tool_result", "content": "x"},
    ],
)
def test_blocks_that_are_not_ours_are_left_to_the_upstream(block: Block) -> None:
    assert parse(blocks(block)).messages[0]["content"] == [block]


def test_a_thread_is_refused_with_the_code_by_which_clients_go_on_without_one() -> None:
    with pytest.raises(InvalidRequest, match=r"^thread: ") as caught:
        parse({**body(), "thread": {"type": "create"}})
    assert caught.value.code == "thread_unsupported_request"
    assert "thread" not in parse({**body(), "thread": None}).rest
