"""Files in `$OUTPUT_DIR`, handed to the user."""

import pytest

from tests.tools.conftest import MAX_FILE_SIZE, Request, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_regular_files_at_the_top_are_delivered_in_the_order_of_their_names(request_: Request) -> None:
    content = await request_.bash(
        "cd $OUTPUT_DIR; echo b > b.txt; echo a > a.txt; echo ü > 数据.csv; touch empty; mkdir sub; touch sub/no.txt"
    )
    delivered = await request_.delivered(content)
    assert delivered == {"a.txt": b"a\n", "b.txt": b"b\n", "empty": b"", "数据.csv": "ü\n".encode()}
    assert list(delivered) == sorted(delivered)
    assert {entry["type"] for entry in content["content"]} == {"bash_code_execution_output"}
    assert content["stderr"] == ""


async def test_the_older_tool_delivers_too(request_: Request) -> None:
    content = await request_.python("import os\nopen(os.environ['OUTPUT_DIR'] + '/x.txt', 'w').write('x')")
    assert await request_.delivered(content) == {"x.txt": b"x"}
    assert content["content"][0]["type"] == "code_execution_output"


async def test_each_execution_has_a_directory_of_its_own(request_: Request) -> None:
    first = await request_.bash("echo $OUTPUT_DIR; touch $OUTPUT_DIR/one")
    second = await request_.bash("echo $OUTPUT_DIR; ls $OUTPUT_DIR")
    assert first["stdout"] != second["stdout"]
    assert second["content"] == []


async def test_a_failing_command_delivers_what_it_left(request_: Request) -> None:
    content = await request_.bash("echo part > $OUTPUT_DIR/part.txt; exit 1")
    assert await request_.delivered(content) == {"part.txt": b"part\n"}


async def test_what_the_editor_puts_there_comes_with_the_next_command(request_: Request) -> None:
    await request_.edit("create", "$OUTPUT_DIR/report.md", file_text="# Report\n")
    await request_.edit("str_replace", "$OUTPUT_DIR/report.md", old_str="Report", new_str="The report")
    content = await request_.bash("true")
    assert await request_.delivered(content) == {"report.md": b"# The report\n"}


async def test_names_of_every_kind_are_delivered(request_: Request) -> None:
    code = """
import os
os.chdir(os.environ["OUTPUT_DIR"])
for name in [b"new\\nline", b"\\xff.bin", "🎉 a.txt".encode(), b"-rf", b".hidden", b"a" * 255, b"a:b?.txt"]:
    open(name, "wb").write(name)
"""
    content = await request_.python(code)
    delivered = await request_.delivered(content)
    assert len(content["content"]) == len(delivered) == 7
    assert {"new_line", "🎉 a.txt", "-rf", ".hidden", "a" * 255, "a_b_.txt"} < set(delivered)
    assert content["stderr"] == ""


async def test_links_pipes_and_devices_are_no_files_of_the_users(request_: Request) -> None:
    content = await request_.bash("cd $OUTPUT_DIR; ln -s /etc/passwd p; ln -s /files f; mkfifo q; echo ok > ok")
    assert await request_.delivered(content) == {"ok": b"ok\n"}


async def test_a_directory_that_the_program_removed_or_replaced_is_no_fault(request_: Request) -> None:
    assert (await request_.bash("rm -r $OUTPUT_DIR; echo gone"))["stdout"] == "gone\n"
    replaced = await request_.bash("rmdir $OUTPUT_DIR; ln -s /etc $OUTPUT_DIR")
    assert (replaced["content"], replaced["return_code"]) == ([], 0)
    await request_.bash("rm -rf /files/output /files/input; touch /files/output")
    assert "$OUTPUT_DIR could not be made" in (await request_.bash("echo still"))["stderr"]


async def test_a_file_over_the_limit_is_left_out_and_the_rest_delivered(request_: Request) -> None:
    content = await request_.bash(
        f"cd $OUTPUT_DIR; truncate -s {MAX_FILE_SIZE + 1} large.bin; truncate -s 1T sparse; echo ok > ok; echo said >&2"
    )
    assert await request_.delivered(content) == {"ok": b"ok\n"}
    assert content["stderr"].startswith("said\n[code execution: not given to the user, larger than 1,000,000 bytes")
    assert "large.bin, sparse" in content["stderr"]


async def test_when_all_files_are_over_the_limit_that_is_the_error(request_: Request) -> None:
    content = await request_.bash(f"truncate -s {MAX_FILE_SIZE + 1} $OUTPUT_DIR/large.bin; echo made it")
    assert content["error_code"] == "output_file_too_large"
    for word in ("large.bin", "return code 0", "made it", "/files/output/"):
        assert word in content["error_message"]


async def test_the_older_tool_has_no_such_error_and_says_it_in_stderr(request_: Request) -> None:
    content = await request_.python(
        f"import os\nopen(os.environ['OUTPUT_DIR'] + '/large.bin', 'wb').truncate({MAX_FILE_SIZE + 1})"
    )
    assert content["content"] == []
    assert "large.bin" in content["stderr"]


async def test_all_files_together_have_a_limit(server: Server) -> None:
    async with server.request(max_output_bytes=1500) as request:
        content = await request.bash("cd $OUTPUT_DIR; for n in a b c; do head -c 700 /dev/zero > $n; done")
        assert list(await request.delivered(content)) == ["a", "b"]
        assert "1,500): c" in content["stderr"]


async def test_too_many_files_are_delivered_up_to_the_limit(server: Server) -> None:
    async with server.request(max_output_files=3) as request:
        content = await request.bash("cd $OUTPUT_DIR; touch 1 2 3 4 5")
        assert list(await request.delivered(content)) == ["1", "2", "3"]
        assert "more than 3 files" in content["stderr"]
