"""Batches of every kind of request, the model that answers them, and what must come of each."""

import asyncio
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.support.script import Json, Turn, bash, call, edit, python, say
from tests.support.upstream import MODEL, ScriptedUpstream

OLDER: Json = {"type": "code_execution_20250522", "name": "code_execution"}
NEWER: Json = {"type": "code_execution_20250825", "name": "code_execution"}
LOOKUP: Json = {"name": "lookup", "description": "Looks up", "input_schema": {"type": "object"}}
KINDS = ("bash", "python", "text", "file", "refused", "editor", "missing", "client")
MISSING = "file_01aaaaaaaaaaaaaaaaaaaaaa"


class AnsweringUpstream(ScriptedUpstream):
    """Does what the first message asks for (`bash 17`), whoever asks when."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[int] = Counter()
        """How often each request has come for its first turn."""

    async def _messages(self, request: Request) -> Response:
        body, refusal = await self._receive(request, counting=False)
        if refusal is not None:
            return refusal
        kind, number = _task(body)
        if len(body["messages"]) > 1:
            return self._answer(Turn([say(f"done {number}")]), body)
        self.asked[number] += 1
        await asyncio.sleep(0.05)
        if kind == "refused":
            return JSONResponse({"type": "error", "error": {"type": "invalid_request_error", "message": "No."}}, 400)
        return self._answer(_first_turn(kind, number), body)


def _task(body: Json) -> tuple[str, int]:
    content = body["messages"][0]["content"]
    texts = [content] if isinstance(content, str) else [block["text"] for block in content if block["type"] == "text"]
    kind, number = next(text for text in texts if text.split()[0] in KINDS).split()
    return kind, int(number)


def _first_turn(kind: str, number: int) -> Turn:
    match kind:
        case "bash":
            return Turn([bash(f"echo bash {number}; sleep 0.1")])
        case "python":
            return Turn([python(f"print('python', {number})")])
        case "file":
            return Turn([bash("cat $INPUT_DIR/*")])
        case "editor":
            return Turn([edit(command="create", path="a.txt", file_text=f"{number}\n")])
        case "client":
            return Turn([call("lookup", {"number": number})])
        case _:
            return Turn([say(f"text {number}")])


def request(number: int, file_id: str) -> Json:
    """One entry of a batch; the numbers rotate through the kinds."""
    kind = KINDS[number % len(KINDS)]
    content: list[Json] = [{"type": "text", "text": f"{kind} {number}"}]
    if kind in ("file", "missing"):
        content.append({"type": "container_upload", "file_id": file_id if kind == "file" else MISSING})
    params: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 100,
        "tools": [OLDER if kind == "python" else NEWER, LOOKUP],
        "messages": [{"role": "user", "content": content}],
    }
    return {"custom_id": f"{kind}-{number}", "params": params}


def check(custom_id: str, result: Json, file_text: str) -> Counter[str]:
    """Holds a result to what its request asked for. The value: how it ended, and how many executions it had."""
    kind, number = custom_id.split("-")
    if kind in ("refused", "missing"):
        assert result["type"] == "errored", result
        error = result["error"]
        assert error["type"] == "error"
        assert error["request_id"].startswith("req_")
        assert error["error"]["type"] == {"refused": "invalid_request_error", "missing": "not_found_error"}[kind]
        return Counter(errored=1)
    assert result["type"] == "succeeded", result
    message = result["message"]
    results = [block["content"] for block in message["content"] if block["type"].endswith("_tool_result")]
    said = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    match kind:
        case "bash" | "python":
            assert [found["stdout"] for found in results] == [f"{kind} {number}\n"]
        case "file":
            assert [found["stdout"] for found in results] == [file_text]
        case "editor":
            assert [found["is_file_update"] for found in results] == [False]
        case "client":
            assert (message["stop_reason"], results) == ("tool_use", [])
            assert message["content"][-1]["input"] == {"number": int(number)}
        case _:
            assert (said, results) == (f"text {number}", [])
    if results:
        assert said == f"done {number}"
        assert message["container"]["id"].startswith("container_")
    usage = message["usage"].get("server_tool_use") or {}
    assert usage.get("code_execution_requests", 0) == len(results)
    return Counter(succeeded=1, executions=len(results))


def call_ids(result: Json) -> list[str]:
    """The ids of the calls of ours in a result."""
    content = result.get("message", {}).get("content", [])
    return [block["id"] for block in content if block["type"] == "server_tool_use"]
