"""One conversation with the server: streamed, shown as it comes, remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anthropic
from anthropic.types.beta import BetaMessage, BetaMessageParam

from codecove.demo.screen import Screen

BUILT_IN_MODEL = "codecove/blocks"
FILES_BETA = "files-api-2025-04-14"
_BETAS = {
    "code_execution_20250522": "code-execution-2025-05-22",
    "code_execution_20250825": "code-execution-2025-08-25",
}


@dataclass(frozen=True)
class Task:
    """What is asked: for a language model in words, for the built-in model as the code to run."""

    words: str
    blocks: str
    """Fenced code blocks."""


@dataclass(frozen=True)
class Executed:
    """One execution: the call's input and the content of its result."""

    input: dict[str, Any]
    result: dict[str, Any]

    @property
    def output(self) -> str:
        return str(self.result.get("stdout", ""))

    @property
    def succeeded(self) -> bool:
        return "error_code" not in self.result and self.result.get("return_code", 0) == 0

    @property
    def file_ids(self) -> list[str]:
        content = self.result.get("content")
        return [file["file_id"] for file in content] if isinstance(content, list) else []


@dataclass(frozen=True)
class Answer:
    text: str
    executions: list[Executed]
    container_id: str | None


class Conversation:
    """Asks one model through the official client, always streaming."""

    def __init__(self, client: anthropic.Anthropic, model: str, screen: Screen) -> None:
        self.client = client
        self._model = model
        self._screen = screen
        self._history: list[BetaMessageParam] = []

    def ask(self, task: Task, *, tool: str, container_id: str | None = None, file_ids: Sequence[str] = ()) -> Answer:
        """Send a task, show what comes back, and return it. Raises `anthropic.APIError`."""
        self._screen.question(task.words, file_count=len(file_ids))
        built_in = self._model == BUILT_IN_MODEL
        prompt = f"{task.words}\n\n{task.blocks}" if built_in else task.words
        uploads = [{"type": "container_upload", "file_id": file_id} for file_id in file_ids]
        question: Any = {"role": "user", "content": [{"type": "text", "text": prompt}, *uploads]}
        self._history.append(question)
        tools: Any = [{"type": tool, "name": "code_execution"}]
        with self.client.beta.messages.stream(
            model=self._model,
            max_tokens=4096,
            messages=self._history,
            tools=tools,
            container=container_id,
            betas=[_BETAS[tool], FILES_BETA],
        ) as stream:
            for event in stream:
                self._screen.show(event)
            message = stream.get_final_message()
        self._history.append({"role": "assistant", "content": list(message.content)})
        return _answer(message)


def _answer(message: BetaMessage) -> Answer:
    blocks = [block.to_dict(mode="json") for block in message.content]
    calls: dict[Any, Any] = {block["id"]: block["input"] for block in blocks if block["type"] == "server_tool_use"}
    executions = [
        Executed(calls[block["tool_use_id"]], result)
        for block in blocks
        if isinstance(result := block.get("content"), dict)
    ]
    return Answer(
        text="".join(str(block["text"]) for block in blocks if block["type"] == "text"),
        executions=executions,
        container_id=message.container.id if message.container else None,
    )
