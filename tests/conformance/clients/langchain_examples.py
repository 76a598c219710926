# mypy: ignore-errors
"""The documentation's examples with LangChain."""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import anthropic
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from protocol import QUESTION, TABLE, WEATHER, error_codes, file_ids, outputs, serve, text_of

FILES = "files-api-2025-04-14"


def model_of(options, **fields):
    return ChatAnthropic(
        model=options.model,
        base_url=options.base_url,
        api_key=options.api_key,
        max_tokens=4096,
        max_retries=0,
        timeout=60,
        betas=[options.beta, FILES],
        **fields,
    )


def with_tool(options, **fields):
    return model_of(options, **fields).bind_tools([{"type": options.tool, "name": "code_execution"}])


def files_of(options):
    """LangChain has no Files of its own: its documentation uses the Python client beside it."""
    client = anthropic.Anthropic(base_url=options.base_url, api_key=options.api_key, max_retries=0, timeout=60)
    return client.beta.files


def described(*answers):
    blocks = [block for answer in answers if isinstance(answer.content, list) for block in answer.content]
    strings = [answer.content for answer in answers if isinstance(answer.content, str)]
    return {
        "text": text_of(blocks) + "".join(strings),
        "stdout": outputs(blocks),
        "errors": error_codes(blocks),
        "container": (answers[-1].response_metadata.get("container") or {}).get("id"),
        "stop_reasons": [answer.response_metadata["stop_reason"] for answer in answers],
    }


def quickstart(options):
    return described(with_tool(options).invoke(QUESTION))


def streaming(options):
    whole, count = None, 0
    for chunk in with_tool(options).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
        count += 1
    return described(whole) | {"events": count}


def upload(options):
    file = files_of(options).upload(file=("sales.csv", TABLE, "text/csv"), betas=[FILES])
    content = [{"type": "text", "text": "Sum it up."}, {"type": "container_upload", "file_id": file.id}]
    return described(with_tool(options).invoke([HumanMessage(content)]))


def download(options):
    answer = with_tool(options).invoke("Make a file.")
    client = files_of(options)
    files = {}
    for file_id in file_ids(answer.content):
        name = client.retrieve_metadata(file_id, betas=[FILES]).filename
        files[name] = client.download(file_id, betas=[FILES]).read().decode()
    return described(answer) | {"files": files}


def reuse(options):
    model = with_tool(options, reuse_last_container=True)
    messages = [HumanMessage("Keep a number.")]
    first = model.invoke(messages)
    second = model.invoke([*messages, first, HumanMessage("Which number was it?")])
    return described(first, second) | {"first_container": first.response_metadata["container"]["id"]}


def pause(options):
    model = with_tool(options, reuse_last_container=True)
    messages = [HumanMessage("Take many steps.")]
    while True:
        messages.append(model.invoke(messages))
        if messages[-1].response_metadata["stop_reason"] != "pause_turn":
            return described(*messages[1:])


def client_tool(options, *, streamed=False):
    called = []

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append({"city": city})
        return WEATHER

    ours = {"type": options.tool, "name": "code_execution"}
    agent = create_agent(model_of(options, reuse_last_container=True), [ours, get_weather])
    question = {"messages": [HumanMessage("Run it, and look up the weather.")]}
    if streamed:
        parts = list(agent.stream(question, stream_mode=["messages", "values"]))
        assert len([1 for mode, _ in parts if mode == "messages"]) > 4
        _, state = parts[-1]
    else:
        state = agent.invoke(question)
    answers = [message for message in state["messages"] if message.type == "ai"]
    return described(*answers) | {"called": called}


def client_tool_streamed(options):
    return client_tool(options, streamed=True)


def failure(options):
    model = with_tool(options)
    first = model.invoke("Fail.")
    return described(first, model.invoke([HumanMessage("Fail."), first, HumanMessage("Thank you.")]))


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
}

serve(version("langchain-anthropic"), EXAMPLES)
