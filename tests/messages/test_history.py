"""Client messages → upstream messages: always valid, always the same bytes."""

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecove.errors import InvalidRequest
from codecove.messages.history import translate, with_placeholders
from codecove.messages.protocol import Block, Message
from codecove.messages.request import parse
from codecove.tools.results import to_tool_result
from tests.messages.conversations import conversations
from tests.messages.support import NEWER
from tests.support.rules import problems

RECORDINGS = Path(__file__).parent.parent / "data/recordings"
USER: Message = {"role": "user", "content": "Go"}


def use(name: str = "bash_code_execution", number: str = "A", **extra: Any) -> Block:
    return {"type": "server_tool_use", "id": f"srvtoolu_{number}", "name": name, "input": {"command": "ls"}, **extra}


def result(name: str = "bash_code_execution", number: str = "A", stdout: str = "out", **extra: Any) -> Block:
    content = {"type": f"{name}_result", "stdout": stdout, "stderr": "", "return_code": 0, "content": []}
    return {"type": f"{name}_tool_result", "tool_use_id": f"srvtoolu_{number}", "content": content, **extra}


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def assistant(*blocks: Block) -> Message:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Block) -> Message:
    return {"role": "user", "content": list(blocks)}


def upstream(messages: list[Message], *, keep_foreign: bool = False) -> list[Message]:
    translation = translate(messages, keep_foreign=keep_foreign)
    assert translation.pending == ()
    return translation.messages


def shape(messages: list[Message]) -> list[str]:
    """`user: text` for each turn, strings as one text."""
    return [
        f"{m['role']}: " + " ".join(["text"] if isinstance(m["content"], str) else [b["type"] for b in m["content"]])
        for m in messages
    ]


def flat(messages: list[Message]) -> str:
    """The blocks in the order a prompt cache sees them, roles before each."""
    lines = []
    for message in messages:
        content = message["content"]
        blocks = [text(content)] if isinstance(content, str) else content
        lines += [json.dumps([message["role"], block]) for block in blocks]
    return "\n".join(lines)


def strict(messages: list[Message]) -> list[str]:
    """What a strict upstream finds wrong; the end of a cut-off answer aside."""
    found = problems({"model": "m", "max_tokens": 1, "messages": messages})
    return [problem for problem in found if "trailing whitespace" not in problem and "maximum of 4" not in problem]


class TestProperties:
    @given(conversations())
    def test_the_upstream_finds_nothing_wrong(self, messages: list[Message]) -> None:
        assert strict(upstream(messages)) == []

    @given(conversations())
    def test_the_same_messages_give_the_same_bytes_and_stay_as_they_were(self, messages: list[Message]) -> None:
        before = copy.deepcopy(messages)
        first = json.dumps(upstream(messages))
        assert messages == before
        assert json.dumps(upstream(json.loads(json.dumps(messages)))) == first

    @given(conversations())
    def test_what_is_translated_already_stays(self, messages: list[Message]) -> None:
        once = upstream(messages)
        assert json.dumps(upstream(once)) == json.dumps(once)

    @given(conversations(), st.data())
    def test_a_longer_history_begins_with_the_shorter_ones_bytes(self, messages: list[Message], data: Any) -> None:
        end = data.draw(st.integers(1, len(messages)))
        try:
            shorter = translate(messages[:end], keep_foreign=False)
        except InvalidRequest:
            return  # cut between a call and its result
        if not shorter.pending:
            assert flat(upstream(messages)).startswith(flat(shorter.messages))

    @given(conversations())
    @settings(max_examples=50)
    def test_nothing_that_was_said_is_lost(self, messages: list[Message]) -> None:
        said = json.dumps(upstream(messages))
        for message in messages:
            blocks = [] if isinstance(message["content"], str) else message["content"]
            for block in blocks:
                match block["type"]:
                    case "text" if block["text"].strip():
                        assert json.dumps(block["text"]) in said
                    case "server_tool_use":
                        assert block["id"].replace("srvtoolu_", "toolu_") in said


class TestShape:
    def test_a_response_becomes_alternating_turns(self) -> None:
        content = [
            text("a"),
            use(number="A"),
            use(number="B"),
            result(number="A"),
            result(number="B"),
            text("b"),
            use(number="C"),
            result(number="C"),
            text("c"),
        ]
        assert shape(upstream([USER, assistant(*content)])) == [
            "user: text",
            "assistant: text tool_use tool_use",
            "user: tool_result tool_result",
            "assistant: text tool_use",
            "user: tool_result",
            "assistant: text",
        ]

    def test_a_recorded_conversation(self) -> None:
        recording = json.loads((RECORDINGS / "20250825-editor-and-bash.json").read_text())
        translated = upstream([USER, {"role": "assistant", "content": recording["content"]}])
        assert shape(translated) == [
            "user: text",
            "assistant: text tool_use",
            "user: tool_result",
            "assistant: text tool_use",
            "user: tool_result",
            "assistant: text",
        ]
        assert translated[1]["content"][1]["id"] == "toolu_012LCpyzxGBy44bCW4zCxmH2"
        assert "The 10th Fibonacci number is: 55" in translated[4]["content"][0]["content"]

    def test_results_of_ours_and_the_clients_share_the_turn_after_the_call(self) -> None:
        tool_use = {"type": "tool_use", "id": "toolu_T", "name": "get", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": "toolu_T", "content": "x"}
        messages = [USER, assistant(use(), tool_use), user(answer, text("And?")), assistant(result(), text("b"))]
        assert shape(upstream(messages)) == [
            "user: text",
            "assistant: tool_use tool_use",
            "user: tool_result tool_result text",
            "assistant: text",
        ]

    def test_a_client_tools_result_that_comes_late_is_put_where_it_belongs(self) -> None:
        tool_use = {"type": "tool_use", "id": "toolu_T", "name": "get", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": "toolu_T", "content": "x"}
        messages = [USER, assistant(tool_use, use(), result(), text("b")), user(answer)]
        assert strict(upstream(messages)) == []

    @pytest.mark.parametrize(
        "messages",
        [
            [USER, assistant(result(), use(), text("b"))],
            [USER, assistant(use()), assistant(result()), assistant(text("b"))],
            [USER, assistant(use()), assistant(result(), text("b"))],
            [USER, assistant(use()), user(result()), assistant(text("b"))],
        ],
    )
    def test_pairs_reordered_or_split_are_accepted(self, messages: list[Message]) -> None:
        assert shape(upstream(messages)) == [
            "user: text",
            "assistant: tool_use",
            "user: tool_result",
            "assistant: text",
        ]

    def test_a_message_after_a_result_joins_its_turn(self) -> None:
        messages = [USER, assistant(use(), result()), {"role": "user", "content": "Stop."}]
        assert shape(upstream(messages)) == ["user: text", "assistant: tool_use", "user: tool_result text"]

    def test_a_prefill_survives(self) -> None:
        messages = [USER, assistant(use(), result(), text("The answer is"))]
        assert upstream(messages)[-1] == assistant(text("The answer is"))
        messages = [USER, {"role": "assistant", "content": "The answer is"}]
        assert upstream(messages) == messages

    def test_strings_and_plain_messages_stay_as_they_are(self) -> None:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
        messages = [USER, {"role": "assistant", "content": "Hi"}, user(image, {**text("x"), "citations": None})]
        assert upstream(messages) == messages

    def test_roles_in_a_row_are_merged(self) -> None:
        messages = [USER, user(text("b")), {"role": "assistant", "content": "c"}, assistant(text("d")), USER]
        assert shape(upstream(messages)) == ["user: text text", "assistant: text text", "user: text"]

    def test_other_roles_stay(self) -> None:
        system = {"role": "system", "content": "Be brief."}
        assert upstream([USER, system, USER]) == [USER, system, USER]

    def test_blank_text_of_the_assistant_is_left_out(self) -> None:
        messages = [USER, assistant(text("\n\n"), use(), result(), text("")), USER]
        assert shape(upstream(messages)) == ["user: text", "assistant: tool_use", "user: tool_result text"]

    def test_an_empty_answer_is_left_out(self) -> None:
        assert shape(upstream([USER, assistant(), USER])) == ["user: text text"]
        assert shape(upstream([USER, {"role": "assistant", "content": ""}, USER])) == ["user: text text"]

    def test_a_thought_that_was_cut_off_is_left_out(self) -> None:
        thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
        assert shape(upstream([USER, assistant(thought), USER])) == ["user: text text"]

    def test_cache_breakpoints_stay_where_the_client_put_them(self) -> None:
        mark: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
        translated = upstream([USER, assistant(use(**mark), result(**mark)), user({**text("x"), **mark})])
        marked = [b["type"] for m in translated[1:] for b in m["content"] if "cache_control" in b]
        assert marked == ["tool_use", "tool_result", "text"]

    def test_a_repeated_id_gets_another_one_upstream(self) -> None:
        messages = [USER, assistant(use(), result(stdout="1"), use(), result(stdout="2"), text("b"))]
        translated = upstream(messages)
        assert strict(translated) == []
        assert shape(translated)[1:5] == ["assistant: tool_use", "user: tool_result"] * 2
        assert [m["content"][0]["content"] for m in translated[2:5:2]] == ["1", "2"]

    def test_an_id_with_strange_characters_is_made_safe(self) -> None:
        call = {**use(), "id": "call:1/é"}
        answer = {**result(), "tool_use_id": "call:1/é"}
        assert strict(upstream([USER, assistant(call, answer), USER])) == []

    def test_pairs_that_a_framework_has_half_translated_are_accepted(self) -> None:
        plain_result = {"type": "tool_result", "tool_use_id": "srvtoolu_A", "content": "out"}
        plain_call = {"type": "tool_use", "id": "srvtoolu_A", "name": "bash_code_execution", "input": {}}
        assert strict(upstream([USER, assistant(use()), user(plain_result)])) == []
        assert strict(upstream([USER, assistant(plain_call, result())])) == []

    def test_the_result_is_what_the_tools_make_of_it(self) -> None:
        translated = upstream([USER, assistant(use(), result())])
        assert translated[2]["content"] == [{**to_tool_result(result()), "tool_use_id": "toolu_A"}]


class TestMissingResults:
    def test_calls_at_the_end_are_pending(self) -> None:
        messages = [USER, assistant(text("a"), use(number="A"), use(number="B"), result(number="A"))]
        assert [b["id"] for b in translate(messages, keep_foreign=False).pending] == ["srvtoolu_B"]

    def test_calls_beside_an_answered_client_tool_are_pending(self) -> None:
        tool_use = {"type": "tool_use", "id": "toolu_T", "name": "get", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": "toolu_T", "content": "x"}
        messages = [USER, assistant(use(), tool_use), user(text("Here:"), answer)]
        assert [b["id"] for b in translate(messages, keep_foreign=False).pending] == ["srvtoolu_A"]

    @pytest.mark.parametrize(
        "rest",
        [
            [USER],
            [USER, assistant(text("b"))],
            [assistant(use(number="B"), result(number="B"), text("b"))],
        ],
    )
    def test_elsewhere_a_missing_result_is_an_error(self, rest: list[Message]) -> None:
        with pytest.raises(InvalidRequest) as caught:
            translate([USER, assistant(use()), *rest], keep_foreign=False)
        assert caught.value.message == (
            "messages.1: `bash_code_execution` tool use with id `srvtoolu_A` was found without a corresponding "
            "`bash_code_execution_tool_result` block"
        )

    def test_a_result_without_a_call_is_an_error(self) -> None:
        with pytest.raises(InvalidRequest) as caught:
            translate([USER, assistant(text("a"), result())], keep_foreign=False)
        assert caught.value.message == (
            "messages.1.content.1: unexpected `tool_use_id` found in `bash_code_execution_tool_result` blocks: "
            "srvtoolu_A. Each `bash_code_execution_tool_result` block must have a corresponding `server_tool_use` "
            "block before it."
        )

    def test_a_second_result_of_one_call_is_an_error(self) -> None:
        with pytest.raises(InvalidRequest, match=r"messages\.1\.content\.2: each `server_tool_use` must have a single"):
            translate([USER, assistant(use(), result(), result(), text("b"))], keep_foreign=False)

    def test_for_counting_pending_calls_get_a_placeholder(self) -> None:
        messages = with_placeholders([USER, assistant(use())], keep_foreign=False)
        assert strict(upstream(messages)) == []


class TestForeignBlocks:
    SEARCH: ClassVar[Block] = {
        "type": "server_tool_use",
        "id": "srvtoolu_W",
        "name": "web_search",
        "input": {"query": "q" * 300},
    }
    FOUND: ClassVar[Block] = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_W",
        "content": [{"encrypted": "x"}],
    }
    ENCRYPTED: ClassVar[Block] = {
        "type": "code_execution_tool_result",
        "tool_use_id": "srvtoolu_A",
        "content": {"type": "encrypted_code_execution_result", "encrypted_stdout": "x", "return_code": 0},
    }

    def test_a_claude_gets_them_as_they_came(self) -> None:
        messages = [USER, assistant(self.SEARCH, self.FOUND, use("code_execution"), self.ENCRYPTED, text("b"))]
        assert upstream(messages, keep_foreign=True) == messages

    def test_others_get_short_notes(self) -> None:
        messages = [USER, assistant(self.SEARCH, self.FOUND, use("code_execution"), self.ENCRYPTED, text("b"))]
        translated = upstream(messages)
        assert strict(translated) == []
        assert shape(translated) == ["user: text", "assistant: text text text text text"]
        assert all(len(block["text"]) < 300 for block in translated[1]["content"])
        assert "web_search" in translated[1]["content"][1]["text"]

    def test_calls_that_code_made_are_not_the_models(self) -> None:
        caller = {"caller": {"type": "code_execution_20250825", "tool_id": "srvtoolu_A"}}
        tool_use = {"type": "tool_use", "id": "toolu_T", "name": "roll", "input": {}, **caller}
        answer = {"type": "tool_result", "tool_use_id": "toolu_T", "content": "6"}
        messages = [
            USER,
            assistant(use("code_execution"), tool_use),
            user(answer),
            assistant(result("code_execution"), text("b")),
        ]
        assert shape(upstream(messages)) == [
            "user: text",
            "assistant: tool_use",
            "user: tool_result",
            "assistant: text",
        ]


def test_a_system_message_may_have_no_content() -> None:
    effort: Message = {"role": "system", "output_config": {"effort": "low"}}
    messages: list[Message] = [{"role": "user", "content": "Go"}, effort, {"role": "user", "content": "On"}]
    parsed = parse({"model": "m", "messages": messages, "tools": [NEWER]}).messages
    assert translate(parsed, keep_foreign=False).messages == messages
