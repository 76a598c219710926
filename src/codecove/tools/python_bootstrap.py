"""Runs the program on stdin, inside the container, by `python3 -c`. Standard library only.

The program is `__main__`, and its frames and source lines are what a traceback shows, under `<code_execution>`.
It is also kept as a real file where there is room: `multiprocessing` with the start method `spawn` reads it again.
"""

import io
import linecache
import sys
from types import TracebackType

NAME = "<code_execution>"
COPY = "/tmp/code_execution.py"  # noqa: S108 -- the container's own /tmp


def hide_bootstrap(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: as Python's own, without the frames of this file."""
    import traceback  # noqa: PLC0415 -- most programs end without one

    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    traceback.print_exception(kind, error.with_traceback(trace), trace)


def keep_copy(source: str) -> bool:
    """Whether the copy could be written."""
    try:
        with open(COPY, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 -- pathlib costs start-up time
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
    exec(compile(source, NAME, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 -- what it is for


run()
