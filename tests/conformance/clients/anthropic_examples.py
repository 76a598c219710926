# mypy: ignore-errors
"""The documentation's examples with the Python client, of any version."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import anthropic
from protocol import QUESTION, TABLE, WEATHER, error_codes, file_ids, outputs, serve, text_of

FILES = "files-api-2025-04-14"
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Conversation:
    """Messages that go back and forth, as the documentation's examples write them."""

    def __init__(self, options, *tools, streamed=False):
        self.streamed = streamed
        self.events = 0
        self.client = anthropic.Anthropic(base_url=options.base_url, api_key=options.api_key, max_retries=0, timeout=60)
        self.messages = []
        self.answers = []
        self.request = {
            "model": options.model,
            "max_tokens": 4096,
            "betas": [options.beta, FILES],
            "tools": [{"type": options.tool, "name": "code_execution"}, *tools],
        }

    def ask(self, content, **fields):
        self.messages.append({"role": "user", "content": content})
        return self.go_on(**fields)

    def go_on(self, **fields):
        request = {"messages": self.messages, **self.request, **fields}
        if self.streamed:
            with self.client.beta.messages.stream(**request) as stream:
                self.events += sum(1 for _ in stream)
                answer = stream.get_final_message()
        else:
            answer = self.client.beta.messages.create(**request)
        self.messages.append({"role": "assistant", "content": answer.content})
        self.answers.append(answer)
        return answer

    def described(self):
        last = self.answers[-1]
        content = [json.loads(block.model_dump_json()) for answer in self.answers for block in answer.content]
        return {
            "text": text_of(content),
            "stdout": outputs(content),
            "errors": error_codes(content),
            "container": last.container.id if last.container else None,
            "stop_reasons": [answer.stop_reason for answer in self.answers],
            "events": self.events,
        }


def quickstart(options):
    conversation = Conversation(options)
    conversation.ask(QUESTION)
    return conversation.described()


def streaming(options):
    conversation = Conversation(options, streamed=True)
    conversation.ask(QUESTION)
    return conversation.described()


def upload(options):
    conversation = Conversation(options)
    file = conversation.client.beta.files.upload(file=("sales.csv", TABLE, "text/csv"), betas=[FILES])
    conversation.ask(
        [{"type": "text", "text": "Sum it up."}, {"type": "container_upload", "file_id": file.id}],
    )
    return conversation.described()


def download(options):
    conversation = Conversation(options)
    conversation.ask("Make a file.")
    content = [json.loads(block.model_dump_json()) for block in conversation.answers[0].content]
    files = {}
    for file_id in file_ids(content):
        name = conversation.client.beta.files.retrieve_metadata(file_id, betas=[FILES]).filename
        files[name] = conversation.client.beta.files.download(file_id, betas=[FILES]).read().decode()
    return conversation.described() | {"files": files}


def reuse(options):
    conversation = Conversation(options)
    first = conversation.ask("Keep a number.")
    conversation.ask("Which number was it?", container=first.container.id)
    return conversation.described() | {"first_container": first.container.id}


def pause(options):
    conversation = Conversation(options)
    answer = conversation.ask("Take many steps.")
    while answer.stop_reason == "pause_turn":
        # Sent back as it is, with nothing of the user's after it.
        answer = conversation.go_on(container=answer.container.id)
    return conversation.described()


def client_tool(options, *, streamed=False):
    conversation = Conversation(options, TOOL, streamed=streamed)
    answer = conversation.ask("Run it, and look up the weather.")
    called = []
    while answer.stop_reason == "tool_use":
        calls = [block for block in answer.content if block.type == "tool_use"]
        called += [call.input for call in calls]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": WEATHER} for call in calls]
        answer = conversation.ask(results, container=answer.container.id)
    return conversation.described() | {"called": called}


def client_tool_streamed(options):
    return client_tool(options, streamed=True)


def failure(options):
    conversation = Conversation(options)
    conversation.ask("Fail.")
    conversation.ask("Thank you.")
    return conversation.described()


def batch(options):
    conversation = Conversation(options)
    batches = conversation.client.beta.messages.batches
    params = {key: value for key, value in conversation.request.items() if key != "betas"}
    params["messages"] = [{"role": "user", "content": QUESTION}]
    betas = conversation.request["betas"]
    made = batches.create(requests=[{"custom_id": "one", "params": params}], betas=betas)
    while batches.retrieve(made.id, betas=betas).processing_status != "ended":
        time.sleep(0.1)
    (entry,) = batches.results(made.id, betas=betas)
    conversation.answers.append(entry.result.message)
    return conversation.described() | {"custom_id": entry.custom_id}


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

serve(anthropic.__version__, EXAMPLES)
