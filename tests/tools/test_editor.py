"""`text_editor_code_execution`, on the files of real containers."""

import base64
import codecs
from typing import Any

import pytest

from codecove.tools.text_editor import MAX_FILE, resolve_path
from tests.tools.conftest import Request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
VARIABLES = {"HOME": "/home/user", "INPUT_DIR": "/files/input/0"}

sandbox = pytest.mark.sandbox
in_session = pytest.mark.asyncio(loop_scope="session")
RUNTIME = "crun"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("a.py", "/workspace/a.py"),
        ("./src//a.py", "/workspace/src/a.py"),
        (".", "/workspace"),
        ("/tmp/x", "/tmp/x"),
        ("/", "/"),
        ("../tmp/x", "/workspace/../tmp/x"),
        ("$INPUT_DIR/data.csv", "/files/input/0/data.csv"),
        ("${INPUT_DIR}/a b.csv", "/files/input/0/a b.csv"),
        ("~/x", "/home/user/x"),
        ("~", "/home/user"),
        ("~other/x", "/workspace/~other/x"),
        ("routes/$id.tsx", "/workspace/routes/$id.tsx"),
        ("$100.txt", "/workspace/$100.txt"),
    ],
)
def test_a_path_is_read_as_a_shell_would(given: str, path: str) -> None:
    assert resolve_path(given, VARIABLES) == path


@sandbox
@in_session
async def test_a_file_of_proc_is_viewed(request_: Request) -> None:
    content = await request_.edit("view", "/proc/cpuinfo")
    assert content["content"].startswith("processor")
    assert content["total_lines"] > 1


@sandbox
@in_session
async def test_create_makes_parents_and_says_whether_the_file_was_there(request_: Request) -> None:
    assert await request_.edit("create", "a/b/c.txt", file_text="ü\r\nno end") == {
        "type": "text_editor_code_execution_create_result",
        "is_file_update": False,
    }
    assert await request_.get("/workspace/a/b/c.txt") == "ü\r\nno end".encode()
    assert (await request_.edit("create", "/workspace/a/b/c.txt", file_text=""))["is_file_update"] is True
    assert (await request_.bash("stat -c '%s %U' a/b/c.txt; echo $(whoami)"))["stdout"].split()[0] == "0"


@sandbox
@in_session
async def test_what_the_editor_makes_is_the_users_own(request_: Request) -> None:
    await request_.edit("create", "run.sh", file_text="echo ran\n")
    assert (await request_.bash("chmod +x run.sh && echo more >> run.sh && bash run.sh"))["stdout"] == "ran\n"


@sandbox
@in_session
async def test_view_gives_a_text_with_its_counts_in_both_spellings(request_: Request) -> None:
    await request_.put("/workspace/a.txt", b"one\ntwo\nthree\nfour")
    assert await request_.edit("view", "a.txt", view_range=[2, 3]) == {
        "type": "text_editor_code_execution_view_result",
        "file_type": "text",
        "content": "two\nthree\n",
        "num_lines": 2,
        "start_line": 2,
        "total_lines": 4,
        "numLines": 2,
        "startLine": 2,
        "totalLines": 4,
    }
    assert (await request_.edit("view", "a.txt", view_range=[4, -1]))["content"] == "four"


@sandbox
@in_session
async def test_view_reads_environment_variables_in_paths(request_: Request) -> None:
    await request_.bash("echo mine > ~/note; echo temporary > $TMPDIR/note")
    assert (await request_.edit("view", "~/note"))["content"] == "mine\n"
    assert (await request_.edit("view", "$TMPDIR/note"))["content"] == "temporary\n"
    await request_.edit("create", "${PWD}/sub/x", file_text="here")
    assert (await request_.edit("view", "sub/x"))["content"] == "here"
    assert "/files/input/" in (await request_.edit("view", "$INPUT_DIR"))["content"]


@sandbox
@in_session
async def test_view_lists_a_directory_two_levels_deep(request_: Request) -> None:
    await request_.bash("mkdir -p p/src/deep p/.git p/empty; touch p/a.txt p/src/m.py p/src/deep/x p/.git/config")
    await request_.bash("ln -s a.txt p/link")
    content = await request_.edit("view", "p")
    assert content["file_type"] == "text"
    assert content["content"].splitlines() == [
        "/workspace/p/",
        "/workspace/p/.git/",
        "/workspace/p/a.txt",
        "/workspace/p/empty/",
        "/workspace/p/link@",
        "/workspace/p/src/",
        "/workspace/p/src/deep/",
        "/workspace/p/src/m.py",
    ]
    assert content["total_lines"] == 8


@sandbox
@in_session
async def test_view_of_a_huge_directory_is_cut_and_says_so(request_: Request) -> None:
    await request_.bash("mkdir many; cd many; seq 1 2500 | xargs touch")
    lines = (await request_.edit("view", "many"))["content"].splitlines()
    assert len(lines) == 1001
    assert "more entries" in lines[-1]


@sandbox
@in_session
@pytest.mark.parametrize(("data", "file_type"), [(PNG, "image"), (b"%PDF-1.7\n" + PNG, "pdf")])
async def test_view_gives_images_and_pdfs_as_base64(request_: Request, data: bytes, file_type: str) -> None:
    await request_.put("/workspace/file", data)
    content = await request_.edit("view", "file", view_range=[1, 2])
    assert content["file_type"] == file_type
    assert base64.b64decode(content["content"]) == data
    assert (content["num_lines"], content["totalLines"]) == (None, None)


@sandbox
@in_session
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (codecs.BOM_UTF8 + b"a\n", "a\n"),
        (codecs.BOM_UTF16_LE + "ü\n".encode("utf-16-le"), "ü\n"),
        ("Straße\n".encode("latin-1"), "Straße\n"),
        (b"", ""),
    ],
)
async def test_view_and_edit_keep_the_encoding(request_: Request, data: bytes, text: str) -> None:
    await request_.put("/workspace/f", data)
    assert (await request_.edit("view", "f"))["content"] == text
    if text:
        await request_.edit("str_replace", "f", old_str=text.strip(), new_str="Maß")
        assert (await request_.edit("view", "f"))["content"] == "Maß\n"


@sandbox
@in_session
async def test_view_of_a_very_large_file_shows_its_beginning(request_: Request) -> None:
    await request_.bash(f"yes 'a line of text' | head -c {MAX_FILE + 1000} > large.txt")
    content = await request_.edit("view", "large.txt")
    assert content["total_lines"] is None
    assert "[... cut after line" in content["content"]
    assert len(content["content"]) < 101_000
    edit = await request_.edit("str_replace", "large.txt", old_str="a", new_str="b")
    assert "larger than the 10,485,760 bytes" in edit["error_message"]


@sandbox
@in_session
async def test_str_replace_gives_the_hunk_and_its_numbers(request_: Request) -> None:
    await request_.put("/workspace/c.json", b'{\n  "setting": "value",\n  "debug": true\n}')
    content = await request_.edit("str_replace", "c.json", old_str='"debug": true', new_str='"debug": false')
    assert content == {
        "type": "text_editor_code_execution_str_replace_result",
        "old_start": 1,
        "old_lines": 4,
        "new_start": 1,
        "new_lines": 4,
        "oldStart": 1,
        "oldLines": 4,
        "newStart": 1,
        "newLines": 4,
        "lines": [" {", '   "setting": "value",', '-  "debug": true', '+  "debug": false', " }"],
    }
    assert await request_.get("/workspace/c.json") == b'{\n  "setting": "value",\n  "debug": false\n}'


@sandbox
@in_session
async def test_str_replace_keeps_crlf_and_the_modes_of_the_file(request_: Request) -> None:
    await request_.bash(r"printf 'a\r\nb\r\nc' > f; chmod 755 f; ln -s f g")
    await request_.edit("str_replace", "g", old_str="a\nb", new_str="x\ny\nz")
    assert (await request_.bash("stat -c %a f; test -L g && od -c f | head -2"))["stdout"].startswith("755\n")
    assert await request_.get("/workspace/f") == b"x\r\ny\r\nz\r\nc"


@sandbox
@in_session
async def test_new_str_may_be_left_out_to_delete(request_: Request) -> None:
    await request_.put("/workspace/f", b"keep drop")
    await request_.edit("str_replace", "f", old_str=" drop")
    assert await request_.get("/workspace/f") == b"keep"


@sandbox
@in_session
@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"command": "view", "path": "none"}, "file_not_found", "/workspace/none"),
        ({"command": "view", "path": "f/x"}, "invalid_tool_input", "a file, not a directory"),
        ({"command": "str_replace", "path": "none", "old_str": "a"}, "file_not_found", "/workspace/none"),
        ({"command": "str_replace", "path": "f", "old_str": "zzz", "new_str": ""}, "string_not_found", "not occur"),
        ({"command": "str_replace", "path": "f", "old_str": "a", "new_str": ""}, "invalid_tool_input", "3 times"),
        ({"command": "str_replace", "path": "f", "old_str": "", "new_str": "x"}, "invalid_tool_input", "empty"),
        ({"command": "str_replace", "path": "d", "old_str": "a"}, "invalid_tool_input", "directory"),
        ({"command": "str_replace", "path": "bin", "old_str": "a"}, "invalid_tool_input", "binary"),
        ({"command": "view", "path": "bin"}, "invalid_tool_input", "binary"),
        ({"command": "view", "path": "fifo"}, "invalid_tool_input", "not a regular file"),
        ({"command": "view", "path": "f", "view_range": [9, 10]}, "invalid_tool_input", "has 1 lines"),
        ({"command": "view", "path": "loop"}, "invalid_tool_input", "symbolic links"),
        ({"command": "create", "path": "d", "file_text": ""}, "invalid_tool_input", "directory"),
        ({"command": "create", "path": "f/x", "file_text": ""}, "invalid_tool_input", "a file, not a directory"),
        ({"command": "create", "path": "/usr/x", "file_text": ""}, "invalid_tool_input", "/usr/x"),
        ({"command": "create", "path": "x" * 300, "file_text": ""}, "invalid_tool_input", "shorter"),
        ({"command": "create", "path": "new/", "file_text": ""}, "invalid_tool_input", "new/"),
        ({"command": "create", "path": "x"}, "invalid_tool_input", "`file_text` is missing"),
        ({"command": "create", "path": "x", "file_text": {"a": 1}}, "invalid_tool_input", '{"a": 1}'),
        ({"command": "create", "path": "x", "file_text": "\udc00"}, "invalid_tool_input", "character pair"),
        ({"command": "insert", "path": "f"}, "invalid_tool_input", "view, create, str_replace"),
        ({"command": "view", "path": ""}, "invalid_tool_input", "`path`"),
        ({"command": "view", "path": "a\0b"}, "invalid_tool_input", "`path`"),
        ({"path": "f"}, "invalid_tool_input", "`command` is missing"),
    ],
)
async def test_a_mistake_is_answered_with_its_code_and_what_to_do(
    request_: Request, given: dict[str, Any], code: str, words: str
) -> None:
    await request_.bash(r"printf 'a a a' > f; mkdir d; printf '\0\1\2' > bin; mkfifo fifo; ln -s loop loop")
    content = (await request_.call("text_editor_code_execution", **given))["content"]
    assert content["error_code"] == code
    assert words in content["error_message"]
