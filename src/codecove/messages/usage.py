"""Token counts over several model turns."""

from collections.abc import Mapping
from typing import Any

# Counters that a `message_delta` carries by the protocol, whatever the upstream's own had.
_COUNTERS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def add(total: Mapping[str, Any], turn: Mapping[str, Any]) -> dict[str, Any]:
    """The sum: numbers are added at every depth, lists joined; of other values the last counts."""
    result = dict(total)
    for key, value in turn.items():
        before = result.get(key)
        if isinstance(value, Mapping):
            result[key] = add(before if isinstance(before, Mapping) else {}, value)
        elif _is_number(value) and _is_number(before):
            result[key] = before + value
        elif isinstance(value, list) and isinstance(before, list):
            result[key] = [*before, *value]
        elif value is not None or before is None:
            result[key] = value
    return result


def output_tokens(usage: Mapping[str, Any]) -> int:
    """The tokens that the model wrote; 0 from an upstream that doesn't count."""
    return _count(usage.get("output_tokens"))


def of_start(turn: Any) -> dict[str, Any]:
    """The `usage` of a `message_start`: clients want the two counts there in any case."""
    counts = turn if isinstance(turn, Mapping) else {}
    return {**counts, **{key: _count(counts.get(key)) for key in ("input_tokens", "output_tokens")}}


def of_delta(total: Mapping[str, Any], *, started: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """The `usage` of the final `message_delta`.

    `started` is what the response's `message_start` said, `last` what the upstream's own `message_delta` had. Beside
    the counters of the protocol it has what the upstream sends there, and every sum that `message_start` could not
    know yet.
    """
    usage = {"output_tokens": 0}
    for key, value in total.items():
        is_sum = _is_number(value) or isinstance(value, Mapping)
        if key in _COUNTERS:
            usage[key] = _count(value)
        elif key in last or (is_sum and started.get(key) != value):
            usage[key] = value
    return usage


def with_executions(total: Mapping[str, Any], *, requests: int, seconds: float) -> dict[str, Any]:
    """The usage with our own counts under `server_tool_use`."""
    ours = {
        "web_search_requests": 0,
        "web_fetch_requests": 0,
        "code_execution_requests": requests,
        "execution_time_seconds": round(seconds, 3),
    }
    others = total.get("server_tool_use")
    return {**total, "server_tool_use": add(ours, others if isinstance(others, Mapping) else {})}


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
