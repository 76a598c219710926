"""An interpreter that waits to become a program, inside the container.

    warm.py             with the usual libraries loaded, and a fork of it that waits; another one after each program
    warm.py once        the same without a fork: it waits itself
    warm.py plain       without libraries; it waits itself

Started by the agent as root with a socket at descriptor 3. Standard library only. What waits says READY, gets a program
from the agent with its standard streams, takes on the user, the limits and the surroundings that a started process
would have, and runs it. What it can't do exactly like a new interpreter it leaves to one: by `exec`, in its own place.

The libraries are loaded, but not seen: `sys.modules` is that of a new interpreter, and an import finds what is there.
"""

import sys

sys.dont_write_bytecode = True
from hidden_modules import Loaded  # type: ignore[import-not-found]  # noqa: E402, I001 -- first, to see what is there

import atexit  # noqa: E402
import _weakref  # noqa: E402
import builtins  # noqa: E402
import contextlib  # noqa: E402
import ctypes  # noqa: E402
import gc  # noqa: E402
import importlib.machinery  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import site  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import time  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

sys.dont_write_bytecode = False

LIBRARIES = ("numpy", "pandas", "matplotlib.pyplot")
USER = 1000
NOBODY = 19999
"""No process of the user has this id as its real or saved one, so none may signal or trace what has."""
HOME = "/home/user"
READY, ENDED = 1, 2
NOT_FLUSHED = 120
INTERRUPTED = 0x100
"""No exit code: it is to end by SIGINT."""
MESSAGE = struct.Struct("=III")
MAX_PROGRAM = 1 << 17
LIMITS = struct.Struct("<QIQ")
UNLIMITED = (1 << 64) - 1
CAP_SETGID = 1 << 6
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
SIGKILL = 9
CAPABILITIES_VERSION = 0x20080522

REHEARSAL = b"""
try:
    import pandas
    frame = pandas.DataFrame({"key": list("abcab"), "value": range(5)})
    print(frame.groupby("key").value.sum(), frame.describe())
except ImportError:
    pass
"""

mode = sys.argv[1] if len(sys.argv) > 1 else "fork"
libc = ctypes.CDLL(None, use_errno=True)
python = ctypes.pythonapi


class Program(NamedTuple):
    """What the agent hands over."""

    group: int
    address_space: int
    processes: int
    file_size: int
    cwd: bytes
    argv: list[str]
    environment: dict[str, str]


def set_capabilities(bits: int) -> None:
    """Those that this process has, and may have."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def become_nobody() -> None:
    """Reach files as the user does, out of his reach. Of root's rights only that of choosing groups stays."""
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([NOBODY])
    os.setresgid(NOBODY, USER, NOBODY)
    os.setresuid(NOBODY, USER, NOBODY)
    set_capabilities(CAP_SETGID)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def become_user(group: int) -> None:
    """For good."""
    libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    os.setgroups([group])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    set_capabilities(0)
    libc.prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def decode(group: int, data: bytes) -> Program:
    """What is left of the payload of SPAWN (protocol.h), from the address space on."""
    address_space, processes, file_size = LIMITS.unpack_from(data)
    cwd, _, rest = data[LIMITS.size :].partition(b"\0")
    lists = []
    for _ in range(2):
        (count,) = struct.unpack_from("<I", rest)
        *strings, rest = rest[4:].split(b"\0", count)
        lists.append([os.fsdecode(string) for string in strings])
    argv, variables = lists
    pairs = (variable.partition("=") for variable in variables)
    return Program(group, address_space, processes, file_size, cwd, argv, {name: value for name, _, value in pairs})


def wait_for_program(agent: socket.socket) -> tuple[Program, list[int]]:
    """In a fork: say that it is there, and wait."""
    pid = os.getpid()
    agent.send(MESSAGE.pack(READY, pid, 0))
    while True:
        data, fds, _, _ = socket.recv_fds(agent, MAX_PROGRAM, 3)
        if not data:
            os._exit(0)
        to, group, _ = MESSAGE.unpack_from(data)
        if to == pid:
            return decode(group, data[MESSAGE.size :]), fds
        for fd in fds:
            os.close(fd)


def take_place(program: Program, fds: list[int]) -> None:
    """Become what the agent would have started (start.c)."""
    if os.getsid(0) != os.getpid():  # a fork is not yet at the head of a session
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(3, max(fds) + 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (program.processes, program.processes))
    resource.setrlimit(resource.RLIMIT_AS, (program.address_space, program.address_space))
    if program.file_size != UNLIMITED:
        resource.setrlimit(resource.RLIMIT_FSIZE, (program.file_size, program.file_size))
    become_user(program.group)
    try:
        os.chdir(program.cwd)
    except OSError as error:
        os.write(2, program.cwd + f": {error.strerror}, started in / instead\n".encode())
        os.chdir("/")


def open_streams() -> None:
    """As the interpreter does when it starts (CPython, `create_stdio`)."""
    direct = bool(os.environ.get("PYTHONUNBUFFERED"))
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        buffering = 0 if direct and fd else -1
        buffer: Any = open(fd, "wb" if fd else "rb", buffering, closefd=False)  # noqa: SIM115
        (buffer if buffering == 0 else buffer.raw).name = f"<{name}>"
        stream = io.TextIOWrapper(
            buffer,
            old.encoding,
            old.errors,
            newline="\n" if fd else None,
            line_buffering=not direct and (fd == 2 or buffer.isatty()),
            write_through=direct,
        )
        stream.mode = "w" if fd else "r"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def begin_anew(loaded: Loaded, program: Program) -> None:
    """Whatever a new interpreter has that differs from one to the next."""
    os.environ.clear()
    os.environ.update(program.environment)
    time.tzset()
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()
    open_streams()
    known = loaded.modules
    if "random" in known:
        known["random"].seed()
    if "numpy.random" in known:
        known["numpy.random"].seed()
    if "logging" in known and isinstance(getattr(known["logging"], "_startTime", None), float):
        known["logging"].__dict__["_startTime"] = time.time()
    if "tempfile" in known:
        known["tempfile"].__dict__["tempdir"] = None
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={}, __loader__=importlib.machinery.BuiltinImporter)
    sys.modules["__main__"] = main


def is_plain(loaded: Loaded, argv: list[str]) -> bool:
    """Whether a new interpreter would do no more than this one can. Sets what depends on the kind of program."""
    first = argv[1] if len(argv) > 1 else "-"
    if os.path.exists(site.USER_SITE or ""):  # noqa: PTH110 -- of the user's own, with start-up files perhaps
        return False
    directory = ""
    if first == "-c":
        if len(argv) < 3 or any("\ud800" <= letter <= "\udfff" for letter in argv[2]):
            return False
        sys.argv = ["-c", *argv[3:]]
    elif first == "-":
        sys.argv = argv[1:] or [""]
        if os.isatty(0):
            return False
    elif first.startswith("-") or not first.endswith(".py") or not os.access(first, os.R_OK):
        return False
    else:
        sys.argv = argv[1:]
        directory = os.path.dirname(os.path.realpath(first))  # noqa: PTH120
    sys.path[0] = directory
    sys.orig_argv = argv
    loaded.path = list(sys.path)
    return not loaded.shadowed_in(directory or ".")


def rehearse(loaded: Loaded) -> None:
    """Do once what a program does, so that the memory for it is there: after a fork each page is copied when it is
    first written to, and under gVisor that takes long."""
    begin_anew(loaded, Program(0, 0, 0, UNLIMITED, b"/", [], dict(os.environ)))
    is_plain(loaded, ["python3", "-c", ""])
    rehearsal = b"print()" if mode == "plain" else REHEARSAL
    exec(compile(rehearsal, "", "exec", dont_inherit=True), {})  # noqa: S102
    flush()
    loaded.hide()


def become_program(loaded: Loaded, agent: socket.socket) -> Program:
    """Wait for one."""
    program, fds = wait_for_program(agent)
    agent.close()
    take_place(program, fds)
    begin_anew(loaded, program)
    return program


def serve(loaded: Loaded, agent: socket.socket) -> Program:
    """Keep one fork ready. Returns in one that has become a program."""

    def scheduling() -> tuple[object, ...]:
        return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.sched_getaffinity(0)

    before = scheduling()
    parent = os.getpid()
    # With the user as its effective id it can be rescheduled by him. Then one that he could not reach takes over.
    while scheduling() == before:
        pid = os.fork()
        if pid == 0:
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # gVisor forgets it
            libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)  # as long as it is no program yet
            if os.getppid() != parent:
                os._exit(0)
            rehearse(loaded)
            return become_program(loaded, agent)
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert end is not None  # noqa: S101
        status = end.si_status << 8 if end.si_code == os.CLD_EXITED else end.si_status
        agent.send(MESSAGE.pack(ENDED, pid, status))
        os.waitpid(pid, 0)  # not before: if this process is killed, the agent inherits what it has not heard of
    sys.exit(0)


def prepare() -> tuple[Loaded, socket.socket]:
    """Load what is to be loaded, as who is to load it."""
    become_nobody()
    os.environ["HOME"] = HOME  # not before: the interpreter reads start-up files there
    sys.path[0] = ""
    loaded = Loaded()
    if mode != "plain":
        loaded.load(LIBRARIES)
        if not any(name.partition(".")[0] in sys.modules for name in LIBRARIES):
            sys.exit(1)
    agent = socket.socket(fileno=3)
    agent.set_inheritable(False)
    loaded.hide()
    sys.meta_path.insert(0, loaded)
    rehearse(loaded)
    gc.collect()
    if mode != "plain":
        gc.freeze()
    return loaded, agent


def source_of(argv: list[str]) -> tuple[bytes, str]:
    """A program's source, and the name that its frames have. Raises `OSError`."""
    first = argv[1] if len(argv) > 1 else "-"
    if first == "-c":
        return f"{argv[2]}\n".encode(), "<string>"
    if first == "-":
        return sys.stdin.buffer.read(), "<stdin>"
    name = first if first.startswith("/") else f"{os.getcwd()}/{first}"  # noqa: PTH109
    with open(first, "rb") as file:  # noqa: PTH123
        source = file.read()
    main = sys.modules["__main__"]
    main.__file__ = name
    main.__dict__["__cached__"] = None
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", name)
    return source, name


def report(error: BaseException) -> int:
    """What became of a program that ended with an exception. The first frame of its traceback is ours."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
            return code & 0xFF if -(2**63) <= code < 2**63 else 0xFF
        print(error.code, file=sys.stderr)  # noqa: T201
        return 1
    trace = None if error.__traceback__ is None else error.__traceback__.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as ending:
        return report(ending)
    except BaseException as second:  # noqa: BLE001 -- as the interpreter
        second.__context__ = None
        print("Error in sys.excepthook:", file=sys.stderr)  # noqa: T201
        within = None if second.__traceback__ is None else second.__traceback__.tb_next
        sys.__excepthook__(type(second), second.with_traceback(within), within)
        print("\nOriginal exception was:", file=sys.stderr)  # noqa: T201
        sys.__excepthook__(type(error), error, trace)
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def flush() -> bool:
    """Whether standard output could be flushed. If not, that is said as the interpreter says it."""
    done = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception as error:  # noqa: BLE001 -- whatever it is
            if stream is sys.stdout:
                done = False
                print(f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    return done


def empty(module: ModuleType) -> None:
    """As the interpreter empties modules at its end: private names first."""
    names = module.__dict__
    for private in (True, False):
        for name in list(names):
            if name != "__builtins__" and (name.startswith("_") and not name.startswith("__")) == private:
                names[name] = None


def end(status: int) -> None:
    """Do what the interpreter does at its end, but for taking the libraries apart, which takes longer than all else."""
    with contextlib.suppress(KeyError):
        sys.modules["threading"]._shutdown()  # noqa: SLF001 -- as the interpreter
    atexit._run_exitfuncs()  # noqa: SLF001
    if not flush():
        status = NOT_FLUSHED
    sys.last_type = sys.last_value = sys.last_traceback = None
    # By its type: what only says that it is a module may have no weak references.
    modules = [(name, module) for name, module in sys.modules.items() if issubclass(type(module), ModuleType)]
    theirs = [_weakref.ref(module) for name, module in modules if loaded.is_theirs(name, module)]
    modules.clear()
    sys.modules.clear()
    gc.collect()
    for reference in reversed(theirs):
        module = reference()
        if module is not None:
            empty(module)
    gc.collect()
    if status != NOT_FLUSHED:
        flush()  # what was printed meanwhile
    libc.fflush(None)
    if status == INTERRUPTED:
        libc.signal(2, None)
        os.kill(os.getpid(), 2)
    os._exit(status)


loaded, agent = prepare()
program = serve(loaded, agent) if mode == "fork" else become_program(loaded, agent)
if not is_plain(loaded, program.argv):
    os.execvpe(program.argv[0], program.argv, program.environment)  # noqa: S606
loaded.hide()
status = 0
try:
    source, name = source_of(program.argv)
    exec(compile(source, name, "exec", dont_inherit=True), sys.modules["__main__"].__dict__)  # noqa: S102
except BaseException as error:  # noqa: BLE001 -- everything, as the interpreter does
    status = report(error)
end(status)
