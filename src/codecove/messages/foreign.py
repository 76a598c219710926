"""Blocks of server tools that are not ours, for an upstream that doesn't know them."""

import json

from codecove.messages.protocol import Block

_MAX_NOTE = 200


def is_foreign(block: Block) -> bool:
    """Whether only a Claude upstream can make something of the block."""
    kind = block.get("type")
    if not isinstance(kind, str):
        return False
    return kind in ("server_tool_use", "mcp_tool_use") or kind.endswith("_tool_result")


def note_of(block: Block) -> Block:
    """A short text that says what stood there."""
    if block["type"].endswith("_tool_result"):
        name = block["type"].removesuffix("_tool_result")
        return {"type": "text", "text": f"[Result of the server tool {name}: not available here]"}
    arguments = json.dumps(block.get("input"), ensure_ascii=False)
    if len(arguments) > _MAX_NOTE:
        arguments = arguments[:_MAX_NOTE] + "…"
    return {"type": "text", "text": f"[Call of the server tool {block.get('name')}: {arguments}]"}
