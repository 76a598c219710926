# mypy: ignore-errors
"""The documentation's examples with Pydantic AI."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pydantic_ai
from anthropic import AsyncAnthropic
from protocol import QUESTION, TABLE, WEATHER, serve
from pydantic_ai import Agent, UploadedFile
from pydantic_ai.capabilities import BatchModelRequests, NativeTool
from pydantic_ai.messages import ModelResponse, NativeToolReturnPart, TextPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.native_tools import CodeExecutionTool
from pydantic_ai.providers.anthropic import AnthropicProvider

FILES = "files-api-2025-04-14"


class Bench:
    """An agent with the tool, and the client below it."""

    def __init__(self, options, *capabilities, **tool):
        self.client = AsyncAnthropic(base_url=options.base_url, api_key=options.api_key, max_retries=0, timeout=60)
        model = AnthropicModel(options.model, provider=AnthropicProvider(anthropic_client=self.client))
        settings = {"anthropic_betas": [options.beta, FILES], "max_tokens": 4096}
        capabilities = [NativeTool(CodeExecutionTool(**tool)), *capabilities]
        self.agent = Agent(model, capabilities=capabilities, model_settings=settings)


def described(messages):
    responses = [message for message in messages if isinstance(message, ModelResponse)]
    parts = [part for response in responses for part in response.parts]
    results = [part.content for part in parts if isinstance(part, NativeToolReturnPart)]
    details = [response.provider_details or {} for response in responses]
    return {
        "text": "".join(part.content for part in parts if isinstance(part, TextPart)),
        "stdout": [result["stdout"] for result in results if "stdout" in result],
        "errors": [result["error_code"] for result in results if "error_code" in result],
        "container": details[-1].get("container_id"),
        "stop_reasons": [detail.get("finish_reason") for detail in details],
    }


async def quickstart(options):
    return described((await Bench(options).agent.run(QUESTION)).all_messages())


async def streaming(options):
    count = 0
    async with Bench(options).agent.run_stream(QUESTION) as run:
        async for _ in run.stream_text(delta=True, debounce_by=None):
            count += 1
    return described(run.all_messages()) | {"events": count}


async def upload(options):
    file = await Bench(options).client.beta.files.upload(file=("sales.csv", TABLE, "text/csv"), betas=[FILES])
    bench = Bench(options, files=[UploadedFile(file.id, provider_name="anthropic")])
    return described((await bench.agent.run("Sum it up.")).all_messages())


async def download(options):
    bench = Bench(options)
    messages = (await bench.agent.run("Make a file.")).all_messages()
    parts = [part for message in messages for part in message.parts if isinstance(part, NativeToolReturnPart)]
    files = {}
    for entry in [entry for part in parts for entry in part.content["content"]]:
        name = (await bench.client.beta.files.retrieve_metadata(entry["file_id"], betas=[FILES])).filename
        content = await bench.client.beta.files.download(entry["file_id"], betas=[FILES])
        files[name] = (await content.read()).decode()
    return described(messages) | {"files": files}


async def reuse(options):
    agent = Bench(options).agent
    first = await agent.run("Keep a number.")
    second = await agent.run("Which number was it?", message_history=first.all_messages())
    return described(second.all_messages()) | {"first_container": described(first.all_messages())["container"]}


async def pause(options):
    # The framework goes on by itself after `pause_turn`.
    return described((await Bench(options).agent.run("Take many steps.")).all_messages())


async def client_tool(options, *, streamed=False):
    called = []
    agent = Bench(options).agent

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append({"city": city})
        return WEATHER

    question = "Run it, and look up the weather."
    if streamed:
        async with agent.run_stream(question) as run:
            await run.get_output()
    else:
        run = await agent.run(question)
    return described(run.all_messages()) | {"called": called}


async def client_tool_streamed(options):
    return await client_tool(options, streamed=True)


async def failure(options):
    agent = Bench(options).agent
    first = await agent.run("Fail.")
    return described((await agent.run("Thank you.", message_history=first.all_messages())).all_messages())


async def batch(options):
    batches = BatchModelRequests(max_requests=1, poll_interval=timedelta(seconds=0.2))
    return described((await Bench(options, batches).agent.run(QUESTION)).all_messages())


EXAMPLES = {
    "quickstart": quickstart,
    "streaming": streaming,
    "file upload and analysis": upload,
    "generated file download": download,
    "container reuse": reuse,
    "pause_turn": pause,
    "client tool beside ours": client_tool,
    "client tool beside ours, streamed": client_tool_streamed,
    "failed execution": failure,
    "batch": batch,
}

serve(
    pydantic_ai.__version__,
    {name: lambda options, example=example: asyncio.run(example(options)) for name, example in EXAMPLES.items()},
)
