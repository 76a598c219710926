"""Conversations of the hosted service, replayed: the same model turns give the same answer."""

import httpx2
import pytest

from tests.conformance.conftest import Ask, content_of, then, user
from tests.support.replay import Recording, comparable, outline, recordings
from tests.support.script import Turn, say
from tests.support.server import Server
from tests.support.sse import check_order, read_events
from tests.support.upstream import MODEL, ScriptedUpstream

TASK = "Write a script that does it, and run it."
ALL = [pytest.param(recording, id=recording.name) for recording in recordings()]
STREAMED = [pytest.param(recording, id=recording.name) for recording in recordings() if recording.events]

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize("recording", ALL)
def test_the_answer_is_the_recorded_one(recording: Recording, ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(*recording.turns())
    answer = ask(TASK, tools=[recording.tool])
    assert comparable(content_of(answer)) == comparable(recording.content)
    assert answer.stop_reason == recording.stop_reason
    assert answer.container is not None


@pytest.mark.parametrize("recording", ALL)
def test_every_history_on_the_way_continues_the_one_before(
    recording: Recording, ask: Ask, upstream: ScriptedUpstream
) -> None:
    upstream.script(*recording.turns(), Turn([say("You are welcome.")]))
    answer = ask(TASK, tools=[recording.tool])
    ask(then(user(TASK), answer, "Thank you."), tools=[recording.tool])
    upstream.check_prefixes()


@pytest.mark.parametrize("recording", ALL)
def test_the_recorded_answer_itself_is_accepted_as_history(
    recording: Recording, ask: Ask, upstream: ScriptedUpstream
) -> None:
    upstream.script(Turn([say("You are welcome.")]))
    history = [*user(TASK), {"role": "assistant", "content": recording.content}, *user("Thank you.")]
    answer = ask(history, tools=[recording.tool])
    assert content_of(answer) == [{"type": "text", "text": "You are welcome."}]


@pytest.mark.parametrize("recording", STREAMED)
def test_the_stream_has_the_recorded_order(recording: Recording, server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(*recording.turns())
    body = {"model": MODEL, "max_tokens": 4096, "stream": True, "tools": [recording.tool], "messages": user(TASK)}
    with httpx2.stream("POST", f"{server.url}/v1/messages", json=body, headers=server.headers, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = list(read_events(response.iter_lines()))
    check_order(events)
    assert recording.events is not None
    assert outline(events) == outline(recording.events)
    for mine, recorded in zip(_openings(events), _openings(recording.events), strict=True):
        assert mine.keys() == recorded.keys()


def _openings(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return [event["content_block"] for event in events if event["type"] == "content_block_start"]  # type: ignore[misc]
