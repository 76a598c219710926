"""What a model upstream reads, and that the official client's types have every key that we send."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.tools.failures import ERROR_CODES
from codecove.tools.result_text import MAX_IMAGE, MAX_TEXT
from codecove.tools.results import CALL_NAMES, RESULT_TYPES, error_block, result_block, to_tool_result

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(50)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n").decode()


def read(name: str, **content: Any) -> Any:
    """The content of the `tool_result` for a result block of `name`."""
    block = result_block(name, "srvtoolu_01", content)
    result = to_tool_result(block)
    assert result["type"] == "tool_result"
    assert result["tool_use_id"] == "srvtoolu_01"
    assert result["content"]
    return result["content"]


def execution(stdout: str = "", stderr: str = "", return_code: int = 0, files: tuple[str, ...] = ()) -> Any:
    entries = [{"type": "bash_code_execution_output", "file_id": file} for file in files]
    return read(
        "bash_code_execution",
        type="bash_code_execution_result",
        stdout=stdout,
        stderr=stderr,
        return_code=return_code,
        content=entries,
    )


def view(**content: Any) -> Any:
    return read("text_editor_code_execution", type="text_editor_code_execution_view_result", **content)


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ({"stdout": "5.5\n"}, "5.5\n"),
        ({}, "(no output)"),
        ({"stdout": "a", "stderr": "b\n", "return_code": 1}, "a\n[stderr]\nb\n[return code 1]"),
        ({"return_code": 137}, "[return code 137]"),
        ({"files": ("file_1", "file_2")}, "[files given to the user: file_1, file_2]"),
    ],
)
def test_an_execution_reads_as_its_output_and_what_else_there_is(given_: dict[str, Any], text: str) -> None:
    assert execution(**given_) == text


def test_the_older_tools_result_reads_the_same() -> None:
    content = {"type": "code_execution_result", "stdout": "1\n", "stderr": "", "return_code": 0, "content": []}
    assert read("code_execution", **content) == "1\n"


def test_long_output_is_cut_in_the_middle_for_the_model() -> None:
    text = execution(stdout="a" * MAX_TEXT + "b" * MAX_TEXT)
    assert text.startswith("a" * 1000)
    assert text.endswith("b" * 1000)
    assert "[... 100,000 characters not shown" in text


@pytest.mark.parametrize("style", ["snake", "camel", "both"])
def test_a_view_of_a_part_says_which_part_in_either_spelling(style: str) -> None:
    snake = {"num_lines": 2, "start_line": 3, "total_lines": 9}
    camel = {"numLines": 2, "startLine": 3, "totalLines": 9}
    counts = {"snake": snake, "camel": camel, "both": {**snake, **camel}}[style]
    assert view(file_type="text", content="c\nd\n", **counts) == "c\nd\n[lines 3-4 of 9]"


def test_a_view_of_all_is_the_content() -> None:
    assert view(file_type="text", content="c\nd\n", num_lines=2, start_line=1, total_lines=2) == "c\nd\n"
    assert view(file_type="text", content="c\n", num_lines=None, start_line=None, total_lines=None) == "c\n"
    assert view(file_type="text", content="", num_lines=0, start_line=1, total_lines=0) == "(no output)"


def test_a_viewed_image_is_an_image_for_the_model() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert view(file_type="image", content=PNG) == [{"type": "image", "source": source}]


@pytest.mark.parametrize("data", ["", "no base64!", base64.b64encode(b"BM" + bytes(60)).decode()])
def test_an_image_that_models_cannot_see_is_a_note(data: str) -> None:
    assert "can't be shown" in view(file_type="image", content=data)


def test_an_image_that_is_too_large_for_models_is_a_note() -> None:
    assert "too large to show" in view(file_type="image", content=PNG[:64] + "A" * MAX_IMAGE)


def test_a_viewed_pdf_is_a_document_for_the_model() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert view(file_type="pdf", content=PDF) == [{"type": "document", "source": source}]


def test_editor_results_read_as_what_was_done() -> None:
    name = "text_editor_code_execution"
    assert read(name, type=f"{name}_create_result", is_file_update=False) == "File created."
    assert read(name, type=f"{name}_create_result", is_file_update=True) == "File updated."
    counts = {"oldStart": 3, "oldLines": 1, "newStart": 3, "newLines": 1}
    assert read(name, type=f"{name}_str_replace_result", lines=["-a", "+b"], **counts) == (
        "File edited.\n@@ -3,1 +3,1 @@\n-a\n+b"
    )
    assert read(name, type=f"{name}_str_replace_result", lines=None) == "File edited."


@pytest.mark.parametrize("name", sorted(CALL_NAMES))
@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_an_error_reads_as_its_code_and_message(name: str, code: Any) -> None:
    result = to_tool_result(error_block(name, "srvtoolu_01", code, "What to do."))
    assert result["is_error"] is True
    head, _, message = result["content"].partition(": ")
    assert message == "What to do."
    if (name, code) == ("code_execution", "execution_time_exceeded"):
        assert head == "code_execution_exceeded"
    else:
        assert head == code


def test_an_error_without_a_message_is_an_error_still() -> None:
    content = {"type": "bash_code_execution_tool_result_error", "error_code": "unavailable"}
    result = to_tool_result({"type": "bash_code_execution_tool_result", "tool_use_id": "x", "content": content})
    assert (result["content"], result["is_error"]) == ("unavailable", True)


def test_cache_control_stays_where_the_client_put_it() -> None:
    block = result_block("code_execution", "x", {"type": "code_execution_result", "stdout": "1"})
    assert to_tool_result({**block, "cache_control": {"type": "ephemeral"}})["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in to_tool_result({**block, "cache_control": None})


def test_an_encrypted_result_says_what_can_be_said() -> None:
    content = {"type": "encrypted_code_execution_result", "encrypted_stdout": "zzz", "stderr": "e", "return_code": 1}
    assert "encrypted" in read("code_execution", **content, content=[])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ["stdout", "stderr", "return_code", "content", "file_type", "num_lines", "startLine", "lines", "error_code"]
_TYPES = [f"{name}_result" for name in ("bash_code_execution", "code_execution", "text_editor_code_execution_view")]


@given(
    st.sampled_from(sorted(RESULT_TYPES)),
    _JSON
    | st.dictionaries(st.sampled_from(_KEYS), _JSON).map(lambda found: {**found, "type": _TYPES[0]})
    | st.tuples(st.dictionaries(st.sampled_from(_KEYS), _JSON), st.sampled_from(_TYPES)).map(
        lambda pair: {**pair[0], "type": pair[1]}
    ),
)
def test_whatever_stands_in_a_history_becomes_a_result_and_always_the_same(kind: str, content: Any) -> None:
    block = {"type": kind, "tool_use_id": "x", "content": content}
    before = json.dumps(block)
    result = to_tool_result(block)
    assert result["content"]
    assert json.dumps(result) == json.dumps(to_tool_result(json.loads(before)))
    assert json.dumps(block) == before


def recorded_results() -> list[dict[str, Any]]:
    recordings = Path(__file__).parents[1] / "data" / "recordings"
    blocks = []
    for file in sorted(recordings.glob("*.json")):
        blocks += [b for b in json.loads(file.read_text())["content"] if b["type"] in RESULT_TYPES]
    return blocks


def test_the_recorded_results_of_the_hosted_service_are_understood() -> None:
    blocks = recorded_results()
    assert blocks
    for block in blocks:
        result = to_tool_result(block)
        assert "is_error" not in result
        if "stdout" in block["content"]:
            assert result["content"] == block["content"]["stdout"]
        else:
            assert result["content"] == "File created."
