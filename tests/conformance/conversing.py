"""A model that says anything it may, and a client that does to its history what clients and frameworks do."""

import copy
import random
from typing import Any

import anthropic

from tests.conformance.conftest import NEWER, OLDER, Ask, container_id, content_of, user
from tests.support.script import Block, Json, Turn, bash, call, edit, python, say, think
from tests.support.upstream import ScriptedUpstream

LOOKUP: Json = {
    "name": "lookup",
    "description": "Look something up.",
    "input_schema": {"type": "object", "properties": {"key": {"type": "string"}}},
}
TOOLS = [NEWER, OLDER, *({"type": f"code_execution_{date}", "name": "code_execution"} for date in (20260120, 20260521))]
MISTAKES = [
    call("bash_code_execution", '{"command": "echo'),
    call("bash_code_execution", {}),
    call("bash_code_execution", {"restart": True}),
    edit(command="view", path="/tmp/absent"),
    edit(command="undo_edit", path="/tmp/a"),
    call("code_execution", {}),
    call("nobody_knows", {"a": 1}),
]
CITATION: Json = {
    "type": "char_location",
    "cited_text": "cited",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 5,
    "file_id": None,
}
EXTRA_KEYS: list[Json] = [{"caller": {"type": "direct"}}, {"abort_reason": None}, {"index": 3}, {"citations": None}]


class Model:
    """Says random things: valid turns, with or without mistakes in them. `fenced`: as one that can't call our tool."""

    def __init__(self, chance: random.Random, *, fenced: bool = False) -> None:
        self._chance = chance
        self._fenced = fenced
        self._count = 0

    def turns(self) -> list[Turn]:
        """Some turns with calls, and one with an answer."""
        calling = [self._turn(self._fence() if self._fenced else self._calls()) for _ in range(self._pick(0, 1, 2, 3))]
        return [*calling, self._turn([self._answer()])]

    def _pick(self, *values: Any) -> Any:
        return self._chance.choice(values)

    def _turn(self, end: list[Block]) -> Turn:
        self._count += 1
        begin = []
        if self._chance.random() < 0.3:
            begin.append(think(f"Thought {self._count}.", f"c2ln{self._count}"))
        if self._chance.random() < 0.1:
            begin.append(Block({"type": "redacted_thinking", "data": f"data{self._count}"}))
        if self._chance.random() < 0.6:
            trap = "no fence" if self._fenced else "```bash\ntrue\n```"
            begin.append(say(self._pick("Let me see. ", "ok", "Ünïcödé → \n\n", trap)))
        if self._chance.random() < 0.15:
            begin += self._search()
        return Turn([*begin, *end], chunk=self._pick(1, 5, 1000))

    def _answer(self) -> Block:
        cited: Json = {"type": "text", "text": "As it says there.", "citations": [CITATION]}
        return Block(cited) if self._chance.random() < 0.2 else say("That is all.")

    def _search(self) -> list[Block]:
        """Another server's tool, with its result."""
        search = {"id": f"srvtoolu_search{self._count}", "name": "web_search", "input": {"query": "cove"}}
        result = {"type": "web_search_tool_result", "tool_use_id": search["id"], "content": []}
        return [Block({"type": "server_tool_use", **search}), Block(result)]

    def _fence(self) -> list[Block]:
        if self._chance.random() < 0.2:
            return [self._lookup()]
        language, code = self._pick(("bash", "echo out; exit 3"), ("python", "print(1)"), ("bash", "cat /absent"))
        return [say(f"I run it:\n```{language}\n{code}\n```\n")]

    def _calls(self) -> list[Block]:
        return [self._call() for _ in range(self._pick(1, 2, 3))]

    def _lookup(self) -> Block:
        self._count += 1
        return call("lookup", {"key": "k"}, call_id=f"toolu_lookup{self._count}")

    def _call(self) -> Block:
        self._count += 1
        choice = self._chance.random()
        if choice < 0.2:
            return self._chance.choice(MISTAKES)
        if choice < 0.4:
            return self._lookup()
        if choice < 0.6:
            return edit(command="create", path="/tmp/a", file_text=f"{self._count}\n")
        return self._chance.choice([bash("echo out; echo err >&2; exit 3"), bash("true"), python("print(1)")])


class Client:
    """Goes on with a conversation the way clients do, until the script is played."""

    def __init__(self, chance: random.Random, ask: dict[str, Ask], upstream: ScriptedUpstream, **fields: Any) -> None:
        self._chance = chance
        self._ask = ask
        self._upstream = upstream
        self._fields = fields
        self._container: str | None = None

    def converse(self) -> None:
        messages = user("Begin.")
        while self._upstream.unplayed:
            answer = self._send(messages)
            content = content_of(answer)
            ran = [
                block
                for block in content
                if str(block["type"]).endswith("code_execution_tool_result") and "error_code" not in block["content"]
            ]
            assert answer.container is not None or not ran
            messages = [*messages, {"role": "assistant", "content": content}] if content else messages
            match answer.stop_reason:
                case "pause_turn":
                    pass
                case "tool_use":
                    messages += user(self._client_results(content))
                case _:
                    messages += self._chance.choice([user("Go on."), user([{"type": "text", "text": "And?"}])])

    def _send(self, messages: list[Json]) -> anthropic.types.beta.BetaMessage:
        # A client may leave the container out, but while calls are pending only the server could know it.
        named = {"container": self._container} if self._container and self._chance.random() < 0.7 else {}
        ask = self._ask[self._chance.choice(["json", "stream"])]
        tool = self._chance.choice(TOOLS)
        sent = treated(messages, self._chance)
        thinking = {"type": "enabled", "budget_tokens": 1024}
        answer = ask(sent, tools=[tool, LOOKUP], thinking=thinking, **self._fields, **named)
        self._container = container_id(answer) if answer.container else self._container
        return answer

    def _client_results(self, content: list[Json]) -> list[Json]:
        """Results for the client's own calls, in any order, perhaps with words after them."""
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "found", "is_error": False}
            for block in content
            if block["type"] == "tool_use"
        ]
        assert results
        self._chance.shuffle(results)
        return results + ([{"type": "text", "text": "Here."}] if self._chance.random() < 0.3 else [])


def treated(messages: list[Json], chance: random.Random) -> list[Json]:
    """The history as some client sends it back: with extra keys, cut in two, in another order, edited."""
    sent = copy.deepcopy(messages)
    if chance.random() < 0.3:
        _drop_a_pair(sent, chance)
    for message in sent:
        if message["role"] != "assistant":
            continue
        content: list[Json] = message["content"]
        if chance.random() < 0.3:
            _add_keys(content, chance)
        if chance.random() < 0.3:
            message["content"] = _reordered(content, chance)
    if chance.random() < 0.3:
        sent = [part for message in sent for part in _split(message, chance)]
    return sent


def _add_keys(content: list[Json], chance: random.Random) -> None:
    for block in content:
        if block["type"] in ("server_tool_use", "tool_use") or block["type"].endswith("code_execution_tool_result"):
            block.update(chance.choice(EXTRA_KEYS[: 3 if block["type"] == "tool_use" else 4]))


def _reordered(content: list[Json], chance: random.Random) -> list[Json]:
    """Results that stand next to each other, in any order."""
    result: list[Json] = []
    group: list[Json] = []
    for block in content:
        if block["type"].endswith("code_execution_tool_result"):
            group.append(block)
            continue
        chance.shuffle(group)
        result, group = [*result, *group, block], []
    chance.shuffle(group)
    return [*result, *group]


def _split(message: Json, chance: random.Random) -> list[Json]:
    content = message["content"]
    if message["role"] != "assistant" or len(content) < 2:
        return [message]
    at = chance.randrange(1, len(content))
    return [message | {"content": content[:at]}, message | {"content": content[at:]}]


def _drop_a_pair(messages: list[Json], chance: random.Random) -> None:
    """Leave out an execution and its result, as clients do to save tokens; not of the answer that goes on."""
    older = messages[:-2]
    results = [
        block["tool_use_id"]
        for message in older
        if message["role"] == "assistant"
        for block in message["content"]
        if block["type"].endswith("code_execution_tool_result")
    ]
    if not results:
        return
    dropped = chance.choice(results)
    for message in older:
        if message["role"] == "assistant":
            kept = [block for block in message["content"] if dropped not in (block.get("id"), block.get("tool_use_id"))]
            message["content"] = kept or [{"type": "text", "text": "…"}]
