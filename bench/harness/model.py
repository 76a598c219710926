"""A model's server for benchmarks, in a process of its own: it speaks the Messages protocol, at a model's pace.

What it does with a request is in the request's `metadata.user_id`: "PACE WORDS", the seconds between two words and how
many to write in a turn. Each word has the time at which it was sent, on the clock that all processes of a machine
share. If the last message is text that begins with `$ `, the turn ends with a call of the bash tool for the rest of it.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PACE_SECONDS = 0.02
"""Between two words: a model that writes 50 a second."""
TOOL = {"type": "code_execution_20250825", "name": "code_execution"}


def question(text: str, *, pace: float, words: int, tool: bool) -> dict[str, Any]:
    """A request for this model, by way of codecove or directly."""
    return {
        "model": "m",
        "max_tokens": 100_000,
        "metadata": {"user_id": f"{pace} {words}"},
        "messages": [{"role": "user", "content": text}],
        **({"tools": [TOOL]} if tool else {}),
    }


def event(fields: dict[str, Any]) -> bytes:
    return f"event: {fields['type']}\ndata: {json.dumps(fields)}\n\n".encode()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Any number of requests on one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            await _write_message(writer, body)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _write_message(writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
    def send(fields: dict[str, Any]) -> None:
        data = event(fields)
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    pace, words = (float(number) for number in body["metadata"]["user_id"].split())
    command = _command(body["messages"][-1]["content"])
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    send({"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}})
    send({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for _ in range(int(words)):
        if pace:
            await writer.drain()
            await asyncio.sleep(pace)
        text = f" word @{time.monotonic_ns()}@"
        send({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
        await writer.drain()
    send({"type": "content_block_stop", "index": 0})
    if command is not None:
        call = {"type": "tool_use", "id": f"toolu_{time.monotonic_ns()}", "name": "bash_code_execution", "input": {}}
        given = {"type": "input_json_delta", "partial_json": json.dumps({"command": command})}
        send({"type": "content_block_start", "index": 1, "content_block": call})
        send({"type": "content_block_delta", "index": 1, "delta": given})
        send({"type": "content_block_stop", "index": 1})
    delta = {"stop_reason": "end_turn" if command is None else "tool_use", "stop_sequence": None}
    send({"type": "message_delta", "delta": delta, "usage": {"output_tokens": int(words)}})
    send({"type": "message_stop"})


def _command(content: Any) -> str | None:
    """What the last message asks to be run. None: nothing, or it has been."""
    if isinstance(content, list):
        content = content[-1].get("text")
    return content[2:] if isinstance(content, str) and content.startswith("$ ") else None


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def model_server() -> Iterator[tuple[int, int]]:
    """The port of the model's server, and its pid."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve())
