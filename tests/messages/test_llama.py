"""A real local model behind a real server: `make test-llama`. The model is small: what it says is not looked at."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.conformance.strict import parse
from tests.messages import llama
from tests.messages.support import NEWER, OLDER
from tests.support.server import Server, started

pytestmark = [pytest.mark.llama, pytest.mark.sandbox]

GREEDY = {"temperature": 0, "seed": 1}
SUM = "Write a python code block that prints the sum of 1 to 10"


@pytest.fixture(scope="module")
def local() -> Iterator[Server]:
    """codecove with the model under two names: `native`, and `fenced`."""
    with llama.running() as url:
        routes = [
            {"model": name, "upstream_url": url, "upstream_model": llama.MODEL, "tool_calling": name}
            for name in ("native", "fenced")
        ]
        with started({"COVE_ROUTES": json.dumps(routes), "COVE_MAX_TURNS": "4"}) as server:
            yield server


@pytest.fixture
def ask(local: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=local.url, api_key=local.api_key, max_retries=0, timeout=90) as client:
        yield client


def test_a_plain_answer_streams_and_is_counted(ask: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "What is the capital of France?"}]
    count = ask.messages.count_tokens(model="native", messages=messages).input_tokens
    with ask.beta.messages.stream(model="native", max_tokens=40, messages=messages, extra_body=GREEDY) as stream:
        deltas = [event for event in stream if event.type == "text"]
        message = stream.get_final_message()
    assert len(deltas) > 3
    assert message.model == "native"
    parse(message.model_dump(mode="json", exclude_unset=True))
    usage = message.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == count
    assert 3 < usage.output_tokens <= 40


def test_json_says_the_same_as_the_stream(ask: anthropic.Anthropic) -> None:
    request: Any = {"model": "native", "max_tokens": 30, "messages": [{"role": "user", "content": "Hello"}]}
    whole = ask.beta.messages.create(**request, extra_body=GREEDY)
    with ask.beta.messages.stream(**request, extra_body=GREEDY) as stream:
        streamed = stream.get_final_message()
    assert [block.model_dump() for block in whole.content] == [block.model_dump() for block in streamed.content]
    assert whole.stop_reason == streamed.stop_reason


@pytest.mark.parametrize("tool", [OLDER, NEWER])
def test_a_request_with_the_tool_is_taken_and_counted(ask: anthropic.Anthropic, tool: Any) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    message = ask.beta.messages.create(model="native", max_tokens=30, messages=messages, tools=[tool])
    parse(message.model_dump(mode="json", exclude_unset=True))
    plain = ask.messages.count_tokens(model="fenced", messages=messages).input_tokens
    assert ask.messages.count_tokens(model="fenced", messages=messages, tools=[tool]).input_tokens > plain + 50


@pytest.mark.parametrize("tool", [OLDER, NEWER])
def test_a_code_block_is_run_in_a_sandbox(ask: anthropic.Anthropic, tool: Any) -> None:
    messages: Any = [{"role": "user", "content": SUM}]
    with ask.beta.messages.stream(
        model="fenced", max_tokens=400, messages=messages, tools=[tool], extra_body=GREEDY
    ) as stream:
        inputs = [event for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    answer = message.model_dump(mode="json", exclude_unset=True)
    parse(answer)
    uses = [block for block in answer["content"] if block["type"] == "server_tool_use"]
    results = [block for block in answer["content"] if block["type"].endswith("code_execution_tool_result")]
    assert uses
    assert len(inputs) > 5
    assert [result["tool_use_id"] for result in results] == [use["id"] for use in uses]
    assert results[0]["content"]["stdout"] + results[0]["content"]["stderr"]
    assert answer["container"]["id"]
    assert answer["usage"]["server_tool_use"]["code_execution_requests"] == len(uses)
    # The model reads what came of it, and goes on.
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": "Thank you!"}]
    again = ask.beta.messages.create(
        model="fenced", max_tokens=20, messages=messages, tools=[tool], container=answer["container"]["id"]
    )
    parse(again.model_dump(mode="json", exclude_unset=True))
