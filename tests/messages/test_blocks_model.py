"""The built-in model: what it makes of a message, as an upstream and behind the loop."""

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.messages.blocks_model import BlocksModel
from codecove.messages.fences import Fence, ToolCall, call_for, fences_in
from codecove.messages.protocol import Block, PassedHeaders
from tests.messages.support import NEWER, OLDER, Bench, check_order, collect, folded, make_loop

NEW_NAMES = frozenset({"bash_code_execution", "text_editor_code_execution"})
OLD_NAMES = frozenset({"code_execution"})


async def answer(text: Any, *tools: Block, bench: Bench | None = None, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "tools": list(tools), **fields}
    events = await collect(make_loop(body, BlocksModel(), bench=bench))
    check_order(events)
    return folded(events)


def spoken(message: dict[str, Any]) -> str:
    return " ".join(block["text"] for block in message["content"] if block["type"] == "text")


class TestFences:
    def test_languages_and_order(self) -> None:
        text = "Do:\n```python\n1\n```\nand\n~~~sh\nls\n~~~\n```json\n{}\n```\n```text_editor\n{}\n```"
        assert fences_in(text) == [Fence("python", "1\n"), Fence("bash", "ls\n"), Fence("text_editor", "{}\n")]

    def test_a_longer_fence_holds_a_shorter_one(self) -> None:
        assert fences_in("````py\nx = '''\n```\n'''\n````")[0].code == "x = '''\n```\n'''\n"

    def test_one_that_is_never_closed_runs_to_the_end(self) -> None:
        assert fences_in("```bash\nls\npwd")[0].code == "ls\npwd"

    def test_empty_ones_and_other_languages_are_no_code(self) -> None:
        assert fences_in("```python\n\n```\n```\nplain\n```\n``` rust\nfn\n```") == []

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1))
    def test_any_python_reaches_the_interpreter_as_it_is(self, code: str) -> None:
        call = call_for(Fence("python", code), NEW_NAMES)
        assert isinstance(call, ToolCall)
        head, *lines, last = call.arguments["command"].split("\n")
        assert head == f"python3 - <<'{last}'"
        assert "\n".join(lines) == code.rstrip("\n")
        assert last not in lines

    def test_the_shell_agrees_on_where_the_code_ends(self) -> None:
        code = "print('''\nPYTHON\n$HOME `id` \\\nPYTHON_ ''')"
        call = call_for(Fence("python", code), NEW_NAMES)
        assert isinstance(call, ToolCall)
        ran = subprocess.run(["bash", "-c", call.arguments["command"]], capture_output=True, text=True, check=True)
        assert ran.stdout == "\nPYTHON\n$HOME `id` PYTHON_ \n"

    def test_what_the_older_tool_can_not_run_is_said(self) -> None:
        assert call_for(Fence("python", "1"), OLD_NAMES) == ToolCall("code_execution", {"code": "1"})
        for language in ("bash", "text_editor"):
            assert "code_execution_20250825" in str(call_for(Fence(language, "x"), OLD_NAMES))

    @pytest.mark.parametrize("code", ["{", "[]"])
    def test_an_editor_call_has_to_be_an_object(self, code: str) -> None:
        assert "JSON" in str(call_for(Fence("text_editor", code), NEW_NAMES))


class TestAnswers:
    async def test_code_runs_and_its_output_is_reported(self) -> None:
        bench = Bench()
        message = await answer("Please:\n```python\nprint(6*7)\n```", OLDER, bench=bench)
        types = [block["type"] for block in message["content"]]
        assert types == ["text", "server_tool_use", "code_execution_tool_result", "text"]
        assert bench.calls[0].input == {"code": "print(6*7)\n"}
        assert "print(6*7)" in message["content"][3]["text"]
        assert message["stop_reason"] == "end_turn"
        assert message["model"] == "scripted-1"
        assert message["usage"]["output_tokens"] > 10

    async def test_all_blocks_of_a_message_run_in_order(self) -> None:
        bench = Bench()
        create = json.dumps({"command": "create", "path": "/tmp/a", "file_text": "x"})
        message = await answer(f"```text_editor\n{create}\n```\n```bash\ncat /tmp/a\n```", NEWER, bench=bench)
        assert [call.name for call in bench.calls] == ["text_editor_code_execution", "bash_code_execution"]
        assert bench.calls[0].input == json.loads(create)
        assert "2 code blocks" in spoken(message)

    async def test_only_the_last_message_counts(self) -> None:
        history = [
            {"role": "user", "content": "```python\n1\n```"},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "Thanks"},
        ]
        message = await answer("", NEWER, messages=history)
        assert "no language model" in spoken(message)

    async def test_without_code_it_says_what_it_is_and_how_to_use_it(self) -> None:
        message = await answer("Hello!", NEWER)
        assert "no language model" in spoken(message)
        assert "```python" in spoken(message)

    async def test_without_a_tool_it_says_what_is_missing(self) -> None:
        message = await answer("```python\n1\n```")
        assert "code_execution_20250825" in spoken(message)
        assert message["stop_reason"] == "end_turn"

    async def test_it_keeps_to_tool_choice_none(self) -> None:
        message = await answer("```python\n1\n```", NEWER, tool_choice={"type": "none"})
        assert [block["type"] for block in message["content"]] == ["text"]

    async def test_a_block_that_can_not_run_is_reported_beside_those_that_can(self) -> None:
        message = await answer("```bash\nls\n```\n```python\n1\n```", OLDER)
        assert "Not run: a bash block needs the tool code_execution_20250825" in spoken(message)
        assert message["content"][1]["type"] == "server_tool_use"

    async def test_a_failed_call_is_reported_as_one(self) -> None:
        history = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "x", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "it ``` broke"},
                    {"type": "tool_result", "tool_use_id": "u", "content": [{"type": "image"}]},
                    {"type": "tool_result", "tool_use_id": "v", "content": "x" * 3000},
                ],
            },
        ]
        text = spoken(folded(await collect(BlocksModel().stream({"messages": history}, PassedHeaders()))))
        assert "1 of them failed" in text
        assert "````\nit ``` broke\n````" in text
        assert "[image]" in text
        assert "1000 more characters" in text

    async def test_it_counts_its_input(self) -> None:
        request = {"messages": [{"role": "user", "content": "x" * 400}]}
        assert (await BlocksModel().count_tokens(request, PassedHeaders()))["input_tokens"] > 100
