"""Thousands of requests made from the official client's types, valid and nearly valid: never a 500."""

import asyncio
import collections
import json

import httpx2
import pytest

from tests.messages.bodies import Bodies
from tests.messages.raw_server import serving, sse
from tests.support.server import Server, started

pytestmark = pytest.mark.sandbox

AT_ONCE = 8
ANSWER = sse(
    {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "model": "m", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
COUNT = {"input_tokens": 7}


@pytest.mark.parametrize("requests", [400, pytest.param(6000, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
async def test_no_request_of_the_clients_types_is_a_500(requests: int) -> None:
    async with serving(ANSWER) as upstream, serving(json.dumps(COUNT), kind="application/json") as counting:
        routes = [{"model": "count-*", "upstream_url": counting.url}]
        settings = {
            "COVE_UPSTREAM_URL": upstream.url,
            "COVE_ROUTES": json.dumps(routes),
            # Calls that wait in a history are run: one container is enough, the others find no room.
            "COVE_MAX_CONTAINERS": "1",
            "COVE_ADMISSION_WAIT": "0",
        }
        context = started(settings)
        server = await asyncio.to_thread(context.__enter__)
        try:
            statuses = await _fuzz(server, requests)
            assert server.process is not None
            assert "Traceback" not in server.process.log
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
    # Not everything was refused at the door, nor was everything let in.
    assert statuses[200] > requests / 20
    assert statuses[400] > requests / 20


async def _fuzz(server: Server, requests: int) -> "collections.Counter[int]":
    statuses: collections.Counter[int] = collections.Counter()
    async with httpx2.AsyncClient(base_url=server.url, headers=server.headers, timeout=60, trust_env=False) as http:
        file = (await http.post("/v1/files", files={"file": ("a.txt", b"text")})).json()["id"]
        bodies = Bodies(requests, [file, file, file, "file_nope"])

        async def work(numbers: range) -> None:
            for number in numbers:
                if number % 3:
                    path, body = "/v1/messages", bodies.create()
                    body["stream"] = number % 2 == 0
                else:
                    path, body = "/v1/messages/count_tokens", {**bodies.count(), "model": "count-1"}
                answer = await http.post(path, content=json.dumps(body))
                assert answer.status_code in (200, 400, 404, 413, 529), f"{answer.text}\n{json.dumps(body)}"
                if answer.status_code == 529:  # the other request has the only place
                    assert path == "/v1/messages"
                    assert answer.json()["error"]["type"] == "overloaded_error"
                    assert "retry-after" in answer.headers
                assert '"api_error"' not in answer.text, f"{answer.text}\n{json.dumps(body)}"
                statuses[answer.status_code] += 1

        await asyncio.gather(*(work(range(start, requests, AT_ONCE)) for start in range(AT_ONCE)))
    return statuses
