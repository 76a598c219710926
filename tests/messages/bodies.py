"""Request bodies from the official client's own types: valid ones, and some that are nearly so."""

import copy
import functools
import random
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typing_extensions
from anthropic.types.beta import message_count_tokens_params, message_create_params

_DEEPEST = 7
_REQUIRED: Any = typing.Required
_WRAPPERS: tuple[Any, ...] = (typing.Annotated, typing.Required, typing.NotRequired)
_IDS = ("srvtoolu_A", "srvtoolu_B", "toolu_A", "toolu_B")
_STRINGS = (
    "",
    "a",
    "hello world",
    "code_execution",
    "bash_code_execution",
    "ls",
    "Grüße \u2028 😀",
    " \n",
    "$INPUT_DIR/x",
)
_JUNK: tuple[Any, ...] = (None, True, 0, -1, 1e300, "", "x", [], {}, [[]], {"type": "text"}, [None], {"type": 5})
_OFTEN = ("CodeExecution", "ServerToolUse", "ToolUseBlock", "ToolResultBlock", "ContainerUpload", "TextBlockParam")


class Bodies:
    """Random bodies, the same for the same seed. `file_ids` are those that a body may name."""

    def __init__(self, seed: int, file_ids: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._file_ids = file_ids

    def create(self) -> dict[str, Any]:
        """A body for `/v1/messages`."""
        return self._body(message_create_params.MessageCreateParamsBase)

    def count(self) -> dict[str, Any]:
        """A body for `/v1/messages/count_tokens`."""
        return self._body(message_count_tokens_params.MessageCountTokensParams)

    def _body(self, kind: Any) -> dict[str, Any]:
        body = {key: value for key, value in self._object(kind, 0).items() if key not in ("betas", "user_profile_id")}
        if self._random.random() < 0.7:
            version = self._random.choice(("20250522", "20250825", "20260120"))
            body["tools"] = [{"type": f"code_execution_{version}", "name": "code_execution"}]
        if self._random.random() < 0.5:
            for index, message in enumerate(body["messages"]):
                message["role"] = "assistant" if index % 2 else "user"
        if self._random.random() < 0.6:
            _pair(body["messages"])
        for _ in range(self._random.choice((0, 0, 0, 1, 3))):
            self._spoil(body)
        return body

    def _spoil(self, node: Any) -> None:
        """Change one thing, anywhere."""
        choice = self._random
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                return
            key = choice.choice(keys)
            if isinstance(node[key], dict | list) and choice.random() < 0.8:
                node = node[key]
                continue
            match choice.randrange(4):
                case 0:
                    del node[key]
                case 1 if isinstance(node, list):
                    node.append(copy.deepcopy(node[key]))
                case 2 if isinstance(node, dict):
                    node[choice.choice(_STRINGS)] = copy.deepcopy(choice.choice(_JUNK))
                case _:
                    node[key] = copy.deepcopy(choice.choice(_JUNK))
            return

    def _object(self, kind: Any, depth: int) -> dict[str, Any]:
        likely = 0.3 if depth < _DEEPEST else 0.0
        return {
            key: self._field(key, inner, depth + 1)
            for key, (inner, is_required) in _fields(kind).items()
            if is_required or self._random.random() < likely
        }

    def _field(self, key: str, kind: Any, depth: int) -> Any:
        if kind is str and key in ("id", "tool_use_id"):
            return self._random.choice(_IDS)
        if kind is str and key == "file_id":
            return self._random.choice(self._file_ids)
        if key == "stream":
            return False
        return self._value(kind, depth)

    def _value(self, kind: Any, depth: int) -> Any:
        choice = self._random
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self._value(choice.choices(arguments, [_weight(kind) for kind in arguments])[0], depth)
        if origin in _WRAPPERS:
            return self._value(arguments[0], depth)
        if origin is typing.Literal:
            return choice.choice(arguments)
        if origin is not None and issubclass(origin, Mapping):
            return {key: self._value(arguments[1], depth + 1) for key in choice.sample(_STRINGS, choice.randint(0, 2))}
        if origin is not None and issubclass(origin, Iterable):
            most = 4 if depth < 5 else 2 if depth < _DEEPEST else 0
            return [self._value(arguments[0], depth + 1) for _ in range(choice.randint(min(1, most), most))]
        if typing_extensions.is_typeddict(kind):
            return self._object(kind, depth)
        if kind is bool:
            return choice.random() < 0.5
        if kind in (int, float):
            return choice.choice((1, 2, 1024, 4096))
        return (
            choice.choice(_STRINGS) if kind is str else copy.deepcopy(choice.choice(_JUNK)) if kind is object else None
        )


def _pair(messages: list[dict[str, Any]]) -> None:
    """Give every call an id of its own and every result the id of a call before it; leave out other results."""
    number, open_calls = 0, []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list):
            message["content"] = "Hi"
            continue
        kept = []
        for block in content:
            if not isinstance(block, dict):
                continue
            if block["type"] in ("server_tool_use", "tool_use"):
                number += 1
                block["id"] = f"{'srv' * (block['type'] == 'server_tool_use')}toolu_{number}"
                open_calls.append(block["id"])
            elif "tool_use_id" in block:
                if not open_calls:
                    continue
                block["tool_use_id"] = open_calls.pop(0)
            kept.append(block)
        message["content"] = kept or "Hi"


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    fields = {}
    for key, hint in typing_extensions.get_type_hints(kind, include_extras=True).items():
        is_required = typing.get_origin(hint) is _REQUIRED
        fields[key] = (typing.get_args(hint)[0] if is_required else hint, is_required)
    return fields


def _weight(kind: Any) -> int:
    return 6 if any(part in str(kind) for part in _OFTEN) else 1
