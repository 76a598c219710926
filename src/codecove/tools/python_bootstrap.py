"""Runs the program on stdin, inside the container, by `python3 -c`. Standard library only.

The program is `__main__`, and its frames and source lines are what a traceback shows, under `<code_execution>`.
It is also kept as a real file where there is room: `multiprocessing` with the start method `spawn` reads it again.
"""

import sys

# A file in the working directory that is named like a module of the standard library is for the program to import,
# and not for us.
PATH = sys.path[:]
OUR_PATH = [entry for entry in PATH if entry]
sys.path[:] = OUR_PATH
STARTED_WITH = set(sys.modules)

import io  # noqa: E402
import linecache  # noqa: E402
import os  # noqa: E402
import traceback  # noqa: E402
from types import TracebackType  # noqa: E402

OUR_MODULES = {name: sys.modules[name] for name in set(sys.modules) - STARTED_WITH}
NAME = "<code_execution>"
COPY = "/tmp/code_execution.py"  # noqa: S108 -- the container's own /tmp


def hide_bootstrap(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: as Python's own, without the frames of this file."""
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    path, modules = sys.path[:], dict(sys.modules)
    sys.path[:] = OUR_PATH  # the module `traceback` imports others while it prints
    sys.modules.update(OUR_MODULES)
    try:
        traceback.print_exception(kind, error.with_traceback(trace), trace)
    finally:
        sys.path[:] = path
        sys.modules.update(modules)


def give_way() -> None:
    """Let the program import from its working directory, also what is named like a module that we needed."""
    sys.path[:] = PATH
    try:
        names = {entry.partition(".")[0] for entry in os.listdir()} if "" in PATH else set()  # noqa: PTH208
    except OSError:
        return
    for name in OUR_MODULES:
        if name.partition(".")[0] in names:
            del sys.modules[name]


def keep_copy(source: str) -> bool:
    """Whether the copy could be written. What was there is removed: a program may have put a link or a FIFO there."""
    try:
        if os.path.lexists(COPY):
            os.unlink(COPY)  # noqa: PTH108 -- pathlib costs start-up time
        with open(COPY, "x", encoding="utf-8", newline="") as file:  # noqa: PTH123
            file.write(source)
    except OSError:
        return False
    return True


def run() -> None:
    """Run the program as `__main__`. What it raises goes on to the interpreter."""
    source = sys.stdin.buffer.read().decode("utf-8")
    main = type(sys)("__main__")
    if keep_copy(source):
        main.__file__ = COPY
    sys.modules["__main__"] = main
    sys.argv = [NAME]
    sys.excepthook = hide_bootstrap
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a program that is killed must not take its output with it
    linecache.cache[NAME] = (len(source), None, list(io.StringIO(source, newline=None)), NAME)
    program = compile(source, NAME, "exec", dont_inherit=True)
    give_way()
    exec(program, main.__dict__)  # noqa: S102 -- what it is for


run()
