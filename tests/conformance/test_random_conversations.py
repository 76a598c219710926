"""Conversations nobody thought of: whatever the model and the client do, every history upstream is valid.

The strict upstream refuses an invalid history, and every answer is parsed strictly and sent back.
"""

import random
from collections.abc import Callable, Mapping

import anthropic
import pytest

from tests.conformance.conftest import NEWER, OLDER, Ask, asking, container_id, content_of, user
from tests.support.script import Block, Json, Turn, bash, call, edit, python, say, think
from tests.support.server import Server
from tests.support.upstream import ScriptedUpstream

SEEDS = 12
LOOKUP: Json = {
    "name": "lookup",
    "description": "Look something up.",
    "input_schema": {"type": "object", "properties": {"key": {"type": "string"}}},
}
MISTAKES = [
    call("bash_code_execution", '{"command": "echo'),
    call("bash_code_execution", {}),
    call("bash_code_execution", {"restart": True}),
    edit(command="view", path="/tmp/absent"),
    edit(command="undo_edit", path="/tmp/a"),
    call("code_execution", {}),
    call("nobody_knows", {"a": 1}),
]

pytestmark = pytest.mark.sandbox


class Model:
    """Says random things: valid turns, with or without mistakes in them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0

    def turns(self) -> list[Turn]:
        """Some turns with calls, and one with an answer."""
        calling = [self._turn(self._calls()) for _ in range(self._chance.randint(0, 3))]
        return [*calling, self._turn([say("That is all.")])]

    def _turn(self, end: list[Block]) -> Turn:
        self._count += 1
        begin = []
        if self._chance.random() < 0.3:
            begin.append(think(f"Thought {self._count}.", f"c2ln{self._count}"))
        if self._chance.random() < 0.6:
            begin.append(say(self._chance.choice(["Let me see. ", "ok", "Ünïcödé → \n\n", "```bash\ntrue\n```"])))
        return Turn([*begin, *end], chunk=self._chance.choice([1, 5, 1000]))

    def _calls(self) -> list[Block]:
        return [self._call() for _ in range(self._chance.randint(1, 3))]

    def _call(self) -> Block:
        self._count += 1
        choice = self._chance.random()
        if choice < 0.2:
            return self._chance.choice(MISTAKES)
        if choice < 0.4:
            return call("lookup", {"key": "k"}, call_id=f"toolu_lookup{self._count}")
        if choice < 0.6:
            return edit(command="create", path="/tmp/a", file_text=f"{self._count}\n")
        return self._chance.choice([bash("echo out; echo err >&2; exit 3"), bash("true"), python("print(1)")])


class Client:
    """Goes on with a conversation the way clients do, until the script is played."""

    def __init__(self, chance: random.Random, ask: dict[str, Ask], upstream: ScriptedUpstream) -> None:
        self._chance = chance
        self._ask = ask
        self._upstream = upstream
        self._container: str | None = None

    def converse(self) -> None:
        messages = user("Begin.")
        while self._upstream.unplayed:
            answer = self._send(messages)
            content = content_of(answer)
            ran = [block for block in content if "tool_use_id" in block and "error_code" not in block["content"]]
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
        tool = self._chance.choice([NEWER, NEWER, OLDER])
        answer = ask(messages, tools=[tool, LOOKUP], thinking={"type": "enabled", "budget_tokens": 1024}, **named)
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


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_conversation_is_valid_on_both_sides(
    seed: int, server_with: Callable[[Mapping[str, str]], Server], upstream: ScriptedUpstream
) -> None:
    chance = random.Random(seed)
    server = server_with({"COVE_MAX_TURNS": "2"})
    model = Model(chance)
    for _ in range(3):
        upstream.script(*model.turns())
    with anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0, timeout=60) as client:
        Client(chance, {"json": asking(client, "json"), "stream": asking(client, "stream")}, upstream).converse()
