# mypy: ignore-errors
"""Run by an old client in its own environment: the quickstart in every way this client has. Prints JSON.

Usage: python quickstart.py BASE_URL API_KEY MODEL TOOL_TYPE BETA
"""

import asyncio
import json
import sys

import anthropic

BASE_URL, API_KEY, MODEL, TOOL_TYPE, BETA = sys.argv[1:]
REQUEST = {
    "model": MODEL,
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Calculate the mean of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"}],
    "tools": [{"type": TOOL_TYPE, "name": "code_execution"}],
}
OPTIONS = {"base_url": BASE_URL, "api_key": API_KEY, "max_retries": 0, "timeout": 60}


def describe(message):
    return {
        "client": type(message).__name__,
        "blocks": [type(block).__name__ for block in message.content],
        "message": json.loads(message.model_dump_json()),
    }


def synchronous():
    client = anthropic.Anthropic(**OPTIONS)
    yield "create, beta", describe(client.beta.messages.create(betas=[BETA], **REQUEST))
    yield "create, plain", describe(client.messages.create(extra_headers={"anthropic-beta": BETA}, **REQUEST))
    with client.beta.messages.stream(betas=[BETA], **REQUEST) as stream:
        kinds = [event.type for event in stream]
        yield "stream, beta", describe(stream.get_final_message()) | {"events": kinds}
    with client.messages.stream(extra_headers={"anthropic-beta": BETA}, **REQUEST) as stream:
        text = "".join(stream.text_stream)
        yield "stream, plain", describe(stream.get_final_message()) | {"text": text}
    raw = client.beta.messages.create(betas=[BETA], stream=True, **REQUEST)
    yield "raw stream, beta", {"events": [event.type for event in raw]}
    answer = client.beta.messages.create(betas=[BETA], **REQUEST)
    history = [
        *REQUEST["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": "Thank you."},
    ]
    again = REQUEST | {"messages": history}
    if answer.container is not None:
        again["extra_body"] = {"container": answer.container.id}
    yield "answer sent back", describe(client.beta.messages.create(betas=[BETA], **again))


async def asynchronous():
    async with anthropic.AsyncAnthropic(**OPTIONS) as client:
        yield "create, async", describe(await client.beta.messages.create(betas=[BETA], **REQUEST))
        async with client.beta.messages.stream(betas=[BETA], **REQUEST) as stream:
            yield "stream, async", describe(await stream.get_final_message())


async def main():
    results = dict(synchronous()) | {name: result async for name, result in asynchronous()}
    print(json.dumps({"version": anthropic.__version__, "results": results}))


asyncio.run(main())
