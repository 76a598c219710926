"""Files that code saves in its working directory are handed to the user: models without `$OUTPUT_DIR` expect it."""

import pytest

from codecove.tools import working_directory
from tests.tools.conftest import MAX_FILE_SIZE, Request, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_new_and_changed_files_are_delivered_and_those_left_alone_are_not(request_: Request) -> None:
    first = await request_.bash("echo a > a.txt; echo b > b.txt")
    assert await request_.delivered(first) == {"a.txt": b"a\n", "b.txt": b"b\n"}
    assert (await request_.bash("cat a.txt b.txt"))["content"] == []
    second = await request_.bash("echo more >> a.txt; mv b.txt c.txt; mkdir sub; echo x > sub/x.txt")
    assert await request_.delivered(second) == {"a.txt": b"a\nmore\n", "c.txt": b"b\n"}
    assert second["stderr"] == ""


async def test_the_older_tool_delivers_them_too_after_those_of_the_output_directory(request_: Request) -> None:
    content = await request_.python(
        "import os\nopen('a.csv', 'w').write('1')\nopen(os.environ['OUTPUT_DIR'] + '/z.csv', 'w').write('2')"
    )
    assert list(await request_.delivered(content)) == ["z.csv", "a.csv"]
    assert {entry["type"] for entry in content["content"]} == {"code_execution_output"}


async def test_a_file_that_was_replaced_by_one_of_the_same_size_is_delivered(request_: Request) -> None:
    await request_.bash("echo one > a.txt; touch -d 2020-01-01 a.txt")
    content = await request_.bash("echo two > b; touch -d 2020-01-01 b; mv b a.txt")
    assert await request_.delivered(content) == {"a.txt": b"two\n"}


async def test_what_the_editor_or_the_client_put_there_is_not_delivered_until_code_changes_it(
    request_: Request,
) -> None:
    await request_.edit("create", "plot.py", file_text="print(1)\n")
    await request_.put("/workspace/data.csv", b"1,2\n")
    assert (await request_.bash("python3 plot.py"))["content"] == []
    assert list(await request_.delivered(await request_.bash("sed -i s/1/2/ plot.py"))) == ["plot.py"]


async def test_caches_hidden_files_links_and_pipes_are_not_delivered(request_: Request) -> None:
    content = await request_.bash(
        "echo 'x = 1' > /tmp/mod.py; mkdir __pycache__; touch __pycache__/a.pyc .env; ln -s /etc/passwd p; mkfifo q"
    )
    assert content["content"] == []


async def test_copies_of_uploads_and_of_what_is_delivered_anyway_are_not_delivered(server: Server) -> None:
    uploads = [await server.upload(name, b"1,2\n" * 50_000) for name in ("data.csv", "other.csv")]
    async with server.request(uploads=uploads) as request:
        content = await request.bash(
            "cp $INPUT_DIR/*.csv .; sed -i '$s/2/3/' other.csv; ln $INPUT_DIR/data.csv linked.csv; "
            "echo plot > plot.png; cp plot.png $OUTPUT_DIR; echo one > x; echo two > $OUTPUT_DIR/x"
        )
        delivered = await request.delivered(content)
        assert sorted(delivered) == ["linked.csv", "other.csv", "plot.png", "x"]
        assert len(content["content"]) == 5


async def test_a_failing_command_delivers_what_it_left(request_: Request) -> None:
    assert list(await request_.delivered(await request_.bash("echo part > part.txt; exit 1"))) == ["part.txt"]


async def test_a_large_file_there_is_left_out_and_is_no_error(request_: Request) -> None:
    content = await request_.bash(f"truncate -s {MAX_FILE_SIZE + 1} large.bin; truncate -s 1T sparse; echo ok > ok")
    assert list(await request_.delivered(content)) == ["ok"]
    assert "larger than 1,000,000 bytes" in content["stderr"]
    content = await request_.bash(f"truncate -s {MAX_FILE_SIZE + 2} large.bin; echo said")
    assert (content["stdout"], content["content"]) == ("said\n", [])
    assert "large.bin" in content["stderr"]


async def test_both_places_together_have_one_limit(server: Server) -> None:
    async with server.request(max_output_files=3) as request:
        content = await request.bash("touch a b c d; touch $OUTPUT_DIR/{1,2}")
        assert list(await request.delivered(content)) == ["1", "2", "a"]
        assert "more than 3 files" in content["stderr"]


async def test_in_a_crowded_directory_nothing_is_delivered_and_that_is_said_once(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_directory, "MAX_ENTRIES", 100)
    content = await request_.bash("seq 200 | xargs touch; echo o > $OUTPUT_DIR/o")
    assert list(await request_.delivered(content)) == ["o"]
    assert "entries now" in content["stderr"]
    assert await request_.bash("echo x > x; echo done") == {
        "type": "bash_code_execution_result",
        "stdout": "done\n",
        "stderr": "",
        "return_code": 0,
        "content": [],
    }


async def test_a_working_directory_that_was_shut_delivers_nothing(request_: Request) -> None:
    content = await request_.bash("echo x > x; chmod 0 /workspace")
    assert content["content"] == []
    assert "can't be read" in content["stderr"]
    await request_.bash("chmod 755 /workspace")


async def test_a_setting_turns_it_off(server: Server) -> None:
    async with server.request(capture_working_directory=False) as request:
        assert (await request.bash("echo a > a.txt"))["content"] == []
