"""The file operations of the newer tool, as its documentation and its clients know them."""

from typing import Any

import pytest

from tests.conformance.conftest import Ask, results
from tests.support.script import Json, Turn, bash, edit, say
from tests.support.upstream import ScriptedUpstream

LINES = "".join(f"line {number}\n" for number in range(1, 11))

pytestmark = pytest.mark.sandbox


def run(ask: Ask, upstream: ScriptedUpstream, *commands: Json) -> list[Json]:
    """Each command in a turn of its own; their results without the camelCase spellings."""
    upstream.script(*(Turn([edit(**command)]) for command in commands), Turn([say("Done.")]))
    return results(ask("Edit."))


def create(path: str, text: str) -> Json:
    return {"command": "create", "path": path, "file_text": text}


def test_create_says_whether_the_file_existed(ask: Ask, upstream: ScriptedUpstream) -> None:
    first, second = run(ask, upstream, create("/tmp/deep/er/a.txt", "1\n"), create("/tmp/deep/er/a.txt", "2\n"))
    assert first == {"type": "text_editor_code_execution_create_result", "is_file_update": False}
    assert second == {"type": "text_editor_code_execution_create_result", "is_file_update": True}


@pytest.mark.parametrize(
    ("view_range", "content", "start", "count"),
    [
        (None, LINES, 1, 10),
        ([2, 3], "line 2\nline 3\n", 2, 2),
        ([9, -1], "line 9\nline 10\n", 9, 2),
    ],
)
def test_view_counts_lines(
    view_range: list[int] | None, content: str, start: int, count: int, ask: Ask, upstream: ScriptedUpstream
) -> None:
    view: Json = {"command": "view", "path": "/tmp/lines.txt"}
    if view_range is not None:
        view["view_range"] = view_range
    _, result = run(ask, upstream, create("/tmp/lines.txt", LINES), view)
    assert result["content"].rstrip("\n") == content.rstrip("\n")
    assert {name: result[name] for name in ("type", "file_type", "num_lines", "start_line", "total_lines")} == {
        "type": "text_editor_code_execution_view_result",
        "file_type": "text",
        "num_lines": count,
        "start_line": start,
        "total_lines": 10,
    }
    assert (result["numLines"], result["startLine"], result["totalLines"]) == (count, start, 10)


def test_str_replace_answers_with_the_hunk(ask: Ask, upstream: ScriptedUpstream) -> None:
    replace = {
        "command": "str_replace",
        "path": "/tmp/lines.txt",
        "old_str": "line 5",
        "new_str": "line five\nand more",
    }
    _, result = run(ask, upstream, create("/tmp/lines.txt", LINES), replace)
    assert result["lines"] == [
        *(" line 2", " line 3", " line 4"),
        *("-line 5", "+line five", "+and more"),
        *(" line 6", " line 7", " line 8"),
    ]
    numbers = [result[name] for name in ("old_start", "old_lines", "new_start", "new_lines")]
    assert numbers == [result[name] for name in ("oldStart", "oldLines", "newStart", "newLines")] == [2, 7, 2, 8]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ({"command": "view", "path": "/tmp/absent.txt"}, "file_not_found", "absent.txt"),
        ({"command": "str_replace", "path": "/tmp/absent.txt", "old_str": "a", "new_str": "b"}, "file_not_found", ""),
        ({"command": "str_replace", "path": "/tmp/l", "old_str": "zebra", "new_str": "b"}, "string_not_found", ""),
        ({"command": "str_replace", "path": "/tmp/l", "old_str": "line", "new_str": "b"}, "invalid_tool_input", "11"),
        ({"command": "fly", "path": "/tmp/l"}, "invalid_tool_input", "view"),
        ({"command": "create", "path": "/tmp/l"}, "invalid_tool_input", "file_text"),
    ],
)
def test_what_cannot_be_done_is_a_result_that_the_model_can_read(
    command: Json, code: str, words: str, client: Any, upstream: ScriptedUpstream
) -> None:
    # `string_not_found` is documented and yet not in the client's enumeration, so this one is not parsed strictly.
    upstream.script(Turn([edit(**create("/tmp/l", f"line\n{LINES}"))]), Turn([edit(**command)]), Turn([say("Oh.")]))
    tool = {"type": "code_execution_20250825", "name": "code_execution"}
    answer = client.beta.messages.create(
        model="m", max_tokens=99, tools=[tool], messages=[{"role": "user", "content": "x"}]
    )
    result = results(answer)[1]
    assert result["type"] == "text_editor_code_execution_tool_result_error"
    assert result["error_code"] == code
    assert words in result["error_message"]
    told = upstream.requests[2].messages[-1]["content"][0]
    assert words in str(told["content"])


def test_the_editor_and_bash_see_the_same_files(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([bash("mkdir -p pkg && echo 'print(1)' > pkg/a.py")]),
        Turn([edit(command="str_replace", path="pkg/a.py", old_str="1", new_str="2")]),
        Turn([bash("python3 pkg/a.py")]),
        Turn([edit(command="view", path="pkg")]),
        Turn([say("Done.")]),
    )
    made, changed, ran, listed = results(ask("Go."))
    assert made["return_code"] == 0
    assert changed["type"] == "text_editor_code_execution_str_replace_result"
    assert ran["stdout"] == "2\n"
    assert "a.py" in listed["content"]
