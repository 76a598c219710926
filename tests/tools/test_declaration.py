from typing import Any

import pytest

from codecove.errors import InvalidRequest
from codecove.tools.base import Facts
from codecove.tools.declaration import find

FACTS = Facts(memory_bytes=2**30, disk_bytes=5 * 2**30, cpus=1, execution_timeout=300, python_version="3.11.2")
OLDER = {"type": "code_execution_20250522", "name": "code_execution"}
NEWER = {"type": "code_execution_20250825", "name": "code_execution"}
WEATHER = {"name": "weather", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("tools", [None, [], [WEATHER], [{"type": "web_search_20250305", "name": "web_search"}]])
def test_a_request_without_the_tool_has_no_declaration(tools: object) -> None:
    assert find(tools) is None


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("code_execution_20250522", ["code_execution"]),
        ("code_execution_20250825", ["bash_code_execution", "text_editor_code_execution"]),
        ("code_execution_20260120", ["bash_code_execution", "text_editor_code_execution"]),
        ("code_execution_20260521", ["bash_code_execution", "text_editor_code_execution"]),
    ],
)
def test_each_version_offers_its_tools_upstream(kind: str, names: list[str]) -> None:
    declaration = find([WEATHER, {"type": kind, "name": "code_execution"}])
    assert declaration is not None
    assert (declaration.index, declaration.tool.type) == (1, kind)
    definitions = declaration.definitions(FACTS)
    assert [definition["name"] for definition in definitions] == names
    assert all(set(definition) == {"name", "description", "input_schema"} for definition in definitions)


def test_cache_control_goes_to_the_last_definition() -> None:
    declaration = find([{**NEWER, "cache_control": {"type": "ephemeral"}}])
    assert declaration is not None
    first, last = declaration.definitions(FACTS)
    assert "cache_control" not in first
    assert last["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in declaration.tool.definitions(FACTS)[-1]


def test_other_keys_of_the_entry_are_accepted() -> None:
    extra = {"cache_control": None, "defer_loading": False, "allowed_callers": ["direct"], "strict": True, "new": 1}
    assert find([{**NEWER, **extra}]) is not None


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{**NEWER, "type": "code_execution_20990101"}], ["tools.0.type", "20990101", "code_execution_20250522"]),
        ([{**NEWER, "type": "code_execution"}], ["tools.0.type", "code_execution_20250522"]),
        ([{**NEWER, "type": ["code_execution_20250825"]}], ["tools.0.type", "string"]),
        ([{"type": 7, "name": "x"}], ["tools.0.type", "string"]),
        ([WEATHER, {**NEWER, "name": "python"}], ["tools.1.name", "'code_execution'"]),
        ([{**NEWER, "name": None}], ["tools.0.name", "'code_execution'"]),
        ([{"type": "code_execution_20250825"}], ["tools.0.name", "required"]),
        ([NEWER, WEATHER, NEWER], ["tools.2", "twice", "tools.0"]),
        ([OLDER, NEWER], ["tools.1", "code_execution_20250522", "one version"]),
        ([NEWER, {**WEATHER, "name": "bash_code_execution"}], ["tools.1.name", "unique"]),
        ([{**WEATHER, "name": "code_execution"}, OLDER], ["tools.0.name", "unique"]),
        ([{**NEWER, "cache_control": "ephemeral"}], ["tools.0.cache_control", "object"]),
        ({"type": "code_execution_20250825"}, ["tools:", "list"]),
        ([NEWER, "code_execution"], ["tools.1:", "object"]),
    ],
)
def test_a_bad_declaration_is_refused_by_the_field_that_is_wrong(tools: Any, words: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        find(tools)
    for word in words:
        assert word in refused.value.message
