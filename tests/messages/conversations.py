"""Strategies: conversations as clients send them, built from what responses can look like."""

from typing import Any

from hypothesis import strategies as st

from codecove.messages.protocol import Block, Message

CACHE: Block = {"cache_control": {"type": "ephemeral"}}
NAMES = ("code_execution", "bash_code_execution", "text_editor_code_execution")

words = st.text("abc xyz", min_size=1, max_size=8).filter(str.strip)
text_blocks = st.builds(lambda text: {"type": "text", "text": text}, words)
blank_blocks = st.sampled_from([{"type": "text", "text": ""}, {"type": "text", "text": " \n"}])
thoughts = st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": f"sig-{t}"}, words)
extras: st.SearchStrategy[Block] = st.sampled_from(
    [{}, CACHE, {"caller": {"type": "direct"}}, {"abort_reason": None, "index": 3}]
)
result_extras: st.SearchStrategy[Block] = st.sampled_from(
    [{}, {"citations": None}, {"caller": {"type": "direct"}}, CACHE]
)


def content_of(name: str, kind: int) -> dict[str, Any]:
    if kind == 0:
        return {"type": f"{name}_tool_result_error", "error_code": "unavailable"}
    if name == "text_editor_code_execution":
        return {"type": f"{name}_create_result", "is_file_update": kind == 1}
    return {"type": f"{name}_result", "stdout": "x" * kind, "stderr": "", "return_code": 0, "content": []}


@st.composite
def model_turns(draw: st.DrawFn, numbers: Any) -> tuple[list[Block], list[Block]]:
    """What a model says in one turn with calls of ours, and the results in the same order."""
    before = draw(st.lists(text_blocks | blank_blocks | thoughts, max_size=2))
    calls: list[Block] = []
    results: list[Block] = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(NAMES))
        call_id = f"srvtoolu_{next(numbers):04}"
        calls.append({"type": "server_tool_use", "id": call_id, "name": name, "input": {"command": draw(words)}})
        calls[-1] |= draw(extras)
        content = content_of(name, draw(st.integers(0, 2)))
        results.append({"type": f"{name}_tool_result", "tool_use_id": call_id, "content": content})
        results[-1] |= draw(result_extras)
    return [*before, *calls], results


@st.composite
def responses(draw: st.DrawFn, numbers: Any) -> list[list[Block]]:
    """The assistant content of one response, cut into one message or two as frameworks do."""
    content: list[Block] = []
    for _ in range(draw(st.integers(0, 3))):
        asked, results = draw(model_turns(numbers))
        content += [*asked, *draw(st.permutations(results))]
    content += draw(st.lists(text_blocks | blank_blocks, min_size=0 if content else 1, max_size=2))
    if len(content) > 1 and draw(st.booleans()):
        at = draw(st.integers(1, len(content) - 1))
        return [content[:at], content[at:]]
    return [content]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """A whole conversation: users that say something, responses with executions and the client's own tools."""
    numbers = iter(range(10_000))
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 4))):
        said = draw(words | st.lists(text_blocks, min_size=1, max_size=2))
        messages.append({"role": "user", "content": said})
        messages += [{"role": "assistant", "content": content} for content in draw(responses(numbers))]
        if draw(st.booleans()):
            messages += draw(deferrals(numbers))
    if draw(st.booleans()):
        messages.append({"role": "user", "content": draw(words)})
    return messages


@st.composite
def deferrals(draw: st.DrawFn, numbers: Any) -> list[Message]:
    """The client's tool and ours in one turn: our results open the next response."""
    asked, results = draw(model_turns(numbers))
    tool_id = f"call_{next(numbers)}"
    answer: Block = {
        "type": "tool_result",
        "tool_use_id": tool_id,
        "content": draw(words),
        **draw(st.sampled_from([{}, CACHE])),
    }
    tool_use: Block = {"type": "tool_use", "id": tool_id, "name": "get_weather", "input": {}, **draw(extras)}
    return [
        {"role": "user", "content": draw(words)},
        {"role": "assistant", "content": [*asked, tool_use]},
        {"role": "user", "content": [answer, *draw(st.lists(text_blocks, max_size=1))]},
        {"role": "assistant", "content": [*results, *draw(st.lists(text_blocks, max_size=1))]},
    ]
