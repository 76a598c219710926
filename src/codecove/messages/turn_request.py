"""The body of one model turn's request: the client's own, with what belongs to this turn."""

from typing import Any

from codecove.messages.pairs import blocks_of, is_our_call, is_our_result
from codecove.messages.protocol import Message
from codecove.messages.request import MessagesRequest
from codecove.tools.base import Facts
from codecove.tools.declaration import NAME

_MIN_THINKING = 1024


def offered_tools(request: MessagesRequest, facts: Facts) -> Any:
    """The request's `tools` with ordinary ones in the place of ours."""
    tools = request.rest.get("tools")
    declared = request.declaration
    if declared is None or not isinstance(tools, list):
        return tools
    return [*tools[: declared.index], *declared.definitions(facts), *tools[declared.index + 1 :]]


def first_choice(request: MessagesRequest) -> Any:
    """The `tool_choice` of the first turn. One that names our tool forces what the tool is upstream.

    When the client's own tools are there too, `any` would allow those: then the tool's primary call is forced.
    """
    choice = request.rest.get("tool_choice")
    declared = request.declaration
    if declared is None or not isinstance(choice, dict) or choice.get("type") not in ("tool", "any"):
        return choice
    if _is_resumption(request.messages):
        return later_choice(choice)
    names = declared.tool.call_names
    if choice.get("type") != "tool" or choice.get("name") != NAME or NAME in names:
        return choice
    rest = {key: value for key, value in choice.items() if key not in ("type", "name")}
    if len(request.rest["tools"]) == 1:
        return {"type": "any", **rest}
    return {"type": "tool", "name": names[0], **rest}


def later_choice(choice: Any) -> Any:
    """The `tool_choice` of the turns after the first: a forced call has been made, or the loop would never end."""
    if not isinstance(choice, dict) or choice.get("type") not in ("tool", "any"):
        return choice
    return {"type": "auto", **{key: value for key, value in choice.items() if key == "disable_parallel_tool_use"}}


def _is_resumption(messages: list[Message]) -> bool:
    """Whether the conversation ends with a turn of ours that goes on: its forced call has been made."""
    last = messages[-1]
    return last["role"] == "assistant" and any(
        is_our_call(b) or is_our_result(b) for b in blocks_of(last.get("content"))
    )


def turn_body(
    request: MessagesRequest,
    messages: list[Message],
    *,
    model: str,
    tools: Any,
    choice: Any,
    tokens_left: int | None,
) -> dict[str, Any]:
    """The body for one turn. `messages` are the upstream's; `tokens_left` is None when the request sets no limit."""
    body = {**request.rest, "model": model, "messages": messages}
    if tools is not None:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if tokens_left is not None:
        body["max_tokens"] = tokens_left
        body |= _fitting_thinking(request.rest.get("thinking"), tokens_left)
    return body


def has_room(request: MessagesRequest, tokens_left: int | None) -> bool:
    """Whether another turn can begin: a thinking model needs its least budget and a token more."""
    if tokens_left is None:
        return True
    return tokens_left > (_MIN_THINKING if _budget(request.rest.get("thinking")) is not None else 0)


def _fitting_thinking(thinking: Any, tokens_left: int) -> dict[str, Any]:
    """A budget for thinking has to be smaller than what is left to write."""
    budget = _budget(thinking)
    if budget is None or budget < tokens_left or tokens_left <= _MIN_THINKING:
        return {}
    return {"thinking": {**thinking, "budget_tokens": tokens_left - 1}}


def _budget(thinking: Any) -> int | None:
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) and not isinstance(budget, bool) else None
