"""`code_execution_20250522`, in real containers."""

import asyncio

import pytest

from tests.tools.conftest import Request, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_a_program_gives_its_output_and_return_code(request_: Request) -> None:
    content = await request_.python("import sys\nprint('mean', 5.5)\nprint('note', file=sys.stderr)\nsys.exit(3)")
    assert content == {
        "type": "code_execution_result",
        "stdout": "mean 5.5\n",
        "stderr": "note\n",
        "return_code": 3,
        "content": [],
    }


async def test_each_call_is_a_new_interpreter_and_files_stay(request_: Request) -> None:
    await request_.python("x = 1\nopen('kept.txt', 'w').write('here')\nopen('helper.py', 'w').write('y = 2')")
    content = await request_.python(
        "import os, helper\nprint(os.getcwd(), open('kept.txt').read(), helper.y)\nprint('x' in globals())"
    )
    assert content["stdout"] == "/workspace here 2\nFalse\n"


async def test_a_traceback_shows_the_users_code_and_nothing_of_ours(request_: Request) -> None:
    content = await request_.python("def half(x):\n    return 1 / x\n\nprint('on')\nhalf(0)\n")
    assert content["return_code"] == 1
    assert content["stdout"] == "on\n"
    lines = content["stderr"].splitlines()
    assert lines[:3] == [
        "Traceback (most recent call last):",
        '  File "<code_execution>", line 5, in <module>',
        "    half(0)",
    ]
    assert '  File "<code_execution>", line 2, in half' in lines
    assert "    return 1 / x" in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert content["stderr"].count("File ") == 2


async def test_a_traceback_is_the_same_in_the_warm_interpreter(request_: Request) -> None:
    code = """import os, sys
import numpy
def half(x):
    return 1 / x

print(os.getppid() != 1)
half(0)
"""
    cold = await request_.python(code.replace("os.getppid() != 1", "'import numpy'"))
    async with asyncio.timeout(30):
        # What the agent starts itself has the agent as its parent. Only a program can see it.
        while not (warm := await request_.python(code))["stdout"].startswith("True"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert warm["stderr"] == cold["stderr"]
    files = [line for line in warm["stderr"].splitlines() if "File " in line]
    assert files == ['  File "<code_execution>", line 7, in <module>', '  File "<code_execution>", line 4, in half']
    assert warm["stderr"].endswith("ZeroDivisionError: division by zero\n")


async def test_a_syntax_error_shows_the_line_and_nothing_of_ours(request_: Request) -> None:
    content = await request_.python("x = 1\ny = = 2\n")
    assert content["stderr"] == (
        '  File "<code_execution>", line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n'
    )


async def test_what_the_program_prints_of_its_own_tracebacks_has_its_lines_too(request_: Request) -> None:
    code = """
import inspect, traceback, sys
def broken():
    raise KeyError("a") from ValueError("b")
try:
    broken()
except KeyError:
    traceback.print_exc(file=sys.stdout)
print(inspect.getsource(broken))
"""
    stdout = (await request_.python(code))["stdout"]
    assert stdout.count('File "<code_execution>"') == 2
    assert stdout.count('raise KeyError("a") from ValueError("b")') == 2


async def test_the_program_is_main_and_has_no_stdin(request_: Request) -> None:
    code = """
import sys, pickle
class Point: pass
print(__name__, sys.argv, type(pickle.loads(pickle.dumps(Point()))) is Point)
print(sorted(name for name in globals() if not name.startswith("__")))
try:
    input()
except EOFError:
    print("no input")
print(repr(sys.stdin.read()))
"""
    stdout = (await request_.python(code))["stdout"]
    assert stdout == "__main__ ['<code_execution>'] True\n['Point', 'pickle', 'sys']\nno input\n''\n"


NEEDED = ["io", "linecache", "os", "traceback", "types", "token", "enum", "operator", "re", "collections", "ast"]


async def test_files_named_like_modules_do_not_touch_a_program_that_does_not_import_them(request_: Request) -> None:
    await request_.bash("for name in " + " ".join(NEEDED) + "; do echo 'raise SystemExit(__name__)' > $name.py; done")
    assert (await request_.python("print('fine')"))["stdout"] == "fine\n"
    content = await request_.python("def broken():\n    return 1 / 0\nbroken()")
    assert content["return_code"] == 1
    assert "    return 1 / 0\n" in content["stderr"]
    assert content["stderr"].endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("name", ["token", "types", "linecache", "traceback", "re", "enum"])
async def test_a_program_can_import_its_own_module_whatever_its_name(request_: Request, name: str) -> None:
    await request_.put(f"/workspace/{name}.py", b"VALUE = 'mine'")
    content = await request_.python(f"import {name}\nprint({name}.VALUE)\n1 / 0")
    assert content["stdout"] == "mine\n"
    assert "    1 / 0\n" in content["stderr"]
    assert content["stderr"].endswith("ZeroDivisionError: division by zero\n")


async def test_a_directory_named_like_a_module_hides_nothing(request_: Request) -> None:
    await request_.bash("mkdir re collections token")
    code = "import re, collections.abc, tokenize\nprint(re.sub('a', 'b', 'aa'), collections.Counter('aa'))"
    assert (await request_.python(code))["stdout"] == "bb Counter({'a': 2})\n"


@pytest.mark.parametrize(
    "place",
    ["mkfifo copy", "ln -s /workspace/data copy", "ln /workspace/data copy", "mkdir copy", "touch copy; chmod 0 copy"],
)
async def test_nothing_in_the_place_of_the_copy_does_harm(request_: Request, place: str) -> None:
    await request_.put("/workspace/data", b"precious")
    await request_.bash("cd /tmp; rm -rf code_execution.py; " + place.replace("copy", "code_execution.py"))
    assert (await request_.python("print('fine')"))["stdout"] == "fine\n"
    assert await request_.get("/workspace/data") == b"precious"


@pytest.mark.parametrize("method", ["fork", "spawn"])
async def test_multiprocessing_works(request_: Request, method: str) -> None:
    code = f"""
import multiprocessing
def square(x):
    return x * x
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        print(pool.map(square, range(4)))
"""
    content = await request_.python(code)
    assert content["stdout"] == "[0, 1, 4, 9]\n", content["stderr"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("a\0b", "null bytes"),
        ("print('ü数🎉')", "ü数🎉\n"),
        ("# -*- coding: latin-1 -*-\nprint('ü')", "ü\n"),
        ("print(1)\r\nprint(2)\r\n", "1\n2\n"),
        ("", ""),
        ("import sys; sys.exit('bye')", "bye\n"),
        ("x = '''" + "a" * 2_000_000 + "'''\nprint(len(x))", "2000000\n"),
    ],
    ids=["NUL", "not ASCII", "coding comment", "CRLF", "empty", "exit text", "2 MB"],
)
async def test_programs_of_every_shape_run(request_: Request, code: str, said: str) -> None:
    content = await request_.python(code)
    assert said in content["stdout"] + content["stderr"]
    assert "Traceback" not in content["stderr"] or "\0" in code


async def test_a_program_over_time_leaves_what_it_printed_in_the_message(server: Server) -> None:
    async with server.request(execution_timeout=2) as request:
        content = await request.python(
            "import os, time\nopen(os.environ['OUTPUT_DIR'] + '/part.csv', 'w')\nprint('step 1')\ntime.sleep(60)"
        )
        assert content["error_code"] == "code_execution_exceeded"
        assert "the limit for one execution is 2 s" in content["error_message"]
        assert "stdout:\nstep 1\n" in content["error_message"]
        assert "Not given to the user: the files in /files/output/" in content["error_message"]
        assert (await request.python("print('alive')"))["stdout"] == "alive\n"


@pytest.mark.parametrize("given", [{}, {"code": None}, {"code": 7}, {"code": "\ud83d"}])
async def test_an_input_that_is_no_program_is_refused_before_a_container_is_made(
    server: Server, given: dict[str, object]
) -> None:
    async with server.request() as request:
        block = await request.call("code_execution", **given)
        assert block["content"]["error_code"] == "invalid_tool_input"
        assert "`code`" in block["content"]["error_message"]
        assert request.lease.container_id is None
