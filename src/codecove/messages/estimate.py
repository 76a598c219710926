"""How many tokens a request has, where nobody counts them."""

import json
from typing import Any

_CHARACTERS_PER_TOKEN = 4
_BINARY = "x" * 1600 * _CHARACTERS_PER_TOKEN
"""In the place of an image or a document: about what a large image costs, whatever its bytes."""


def input_tokens(request: dict[str, Any]) -> int:
    """A fourth of the characters of what the model reads: right for English prose, too low for most else."""
    read = {key: _without_bytes(request[key]) for key in ("system", "messages", "tools") if key in request}
    return max(1, len(json.dumps(read, ensure_ascii=False)) // _CHARACTERS_PER_TOKEN)


def _without_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "base64" and "data" in value:
        return {**value, "data": _BINARY}
    return {key: _without_bytes(item) for key, item in value.items()}
