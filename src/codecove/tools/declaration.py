"""Our tool in a request's `tools`: found, checked, and turned into what the upstream is offered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codecove.errors import InvalidRequest
from codecove.tools.base import Facts, Tool
from codecove.tools.versions import VERSIONS

NAME = "code_execution"
_TYPE_PREFIX = "code_execution_"


@dataclass(frozen=True, slots=True)
class Declaration:
    """The entry that declares the code execution tool, and where it stands."""

    tool: Tool
    index: int
    entry: dict[str, Any]

    def definitions(self, facts: Facts) -> list[dict[str, Any]]:
        """What takes the entry's place upstream.

        The entry's `cache_control` goes on the last of them: the prefix that it caches ends at the same place.
        """
        definitions = self.tool.definitions(facts)
        if (cache_control := self.entry.get("cache_control")) is not None:
            definitions[-1] = {**definitions[-1], "cache_control": cache_control}
        return definitions


def find(tools: object) -> Declaration | None:
    """The declaration among a request's `tools`, or None when the request doesn't use the tool.

    Other keys of the entry (`cache_control`, `defer_loading`, `allowed_callers`, `strict` …) are accepted, and so
    are all other tools. Raises `InvalidRequest`.
    """
    if tools is None:
        return None
    if not isinstance(tools, list):
        raise InvalidRequest("tools: Input should be a list")
    found: Declaration | None = None
    for index, entry in enumerate(tools):
        if not isinstance(entry, dict):
            raise InvalidRequest(f"tools.{index}: Input should be an object")
        declaration = _parse(index, entry)
        if declaration is None:
            continue
        if found is not None:
            raise InvalidRequest(_twice(found, declaration))
        found = declaration
    if found is not None:
        _check_names(found, tools)
    return found


def _parse(index: int, entry: dict[str, Any]) -> Declaration | None:
    kind = entry.get("type")
    if kind is not None and not isinstance(kind, str):
        raise InvalidRequest(f"tools.{index}.type: Input should be a string")
    if kind is None or not f"{kind}_".startswith(_TYPE_PREFIX):
        return None
    tool = VERSIONS.get(kind)
    if tool is None:
        raise InvalidRequest(
            f"tools.{index}.type: '{kind}' is not a version of the code execution tool that this server has. "
            f"Supported: {', '.join(sorted(VERSIONS))}"
        )
    if "name" not in entry:
        raise InvalidRequest(f"tools.{index}.name: Field required; it must be '{NAME}'")
    if entry["name"] != NAME:
        raise InvalidRequest(f"tools.{index}.name: Input should be '{NAME}' for a tool of type '{kind}'")
    cache_control = entry.get("cache_control")
    if cache_control is not None and not isinstance(cache_control, dict):
        raise InvalidRequest(f"tools.{index}.cache_control: Input should be an object")
    return Declaration(tool=tool, index=index, entry=entry)


def _twice(first: Declaration, second: Declaration) -> str:
    where = f"tools.{second.index}"
    if first.tool.type == second.tool.type:
        return f"{where}: '{second.tool.type}' is declared twice (first at tools.{first.index}). Keep one"
    return (
        f"{where}: '{second.tool.type}' can't stand beside '{first.tool.type}' at tools.{first.index}: "
        "a request uses one version of the code execution tool. Keep one"
    )


def _check_names(found: Declaration, tools: Sequence[dict[str, Any]]) -> None:
    """Tool names are unique, and the model calls ours by these."""
    taken = {NAME, *found.tool.call_names}
    for index, entry in enumerate(tools):
        if index != found.index and str(entry.get("name")) in taken:
            raise InvalidRequest(
                f"tools.{index}.name: '{entry['name']}' is a name of the code execution tool at tools.{found.index}. "
                "Tool names must be unique: rename this tool"
            )
