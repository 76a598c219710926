"""Whether a container's limits hold: each is run into, in a container with small ones."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from codecove.doctor.finding import Finding, bad, good, warning
from codecove.doctor.throttling import times_throttled
from codecove.sandbox.host import Container, Execution
from codecove.sandbox.limits import Limits

SMALL = Limits(
    memory_bytes=256 * 2**20,
    disk_bytes=64 * 2**20,
    cpus=0.5,
    processes=32,
    open_files=256,
    output_bytes=64 * 2**10,
)

_MOST_FILES = 5000
"""On the small disk: an inode for each 16 KiB."""
NOT_HELD = "Do not run untrusted code here. Check the runtime's version and the control groups above."

_MEMORY = "data = bytearray(1 << 30); print('kept', len(data))"
_PIECES = """
import time
kept = []
try:
    for _ in range(64): kept.append(b'x' * (1 << 24))
except MemoryError: pass
time.sleep(10)  # who sees to the limit may be late on a busy machine
print('kept', len(kept) * 16, 'MiB')
"""
REACHED = """
import ctypes, os, resource, shutil
def reached(act, most):
    try:
        for number in range(most): act(number)
    except OSError: return number
    return 'no limit'
"""
_FILES = """
os.mkdir('/workspace/many')
print(reached(lambda number: os.close(os.open(f'/workspace/many/{number}', os.O_CREAT)), 20000))
shutil.rmtree('/workspace/many')
"""
OTHERS = """
with open('/dev/shm/full', 'wb', buffering=0) as file:
    print(reached(lambda number: file.write(bytes(1 << 20)) == 1 << 20 or os.abort(), 256))
os.remove('/dev/shm/full')
page = ctypes.create_string_buffer(1 << 20)
print(ctypes.CDLL(None).mlock(page, len(page)) and 'refused', resource.getrlimit(resource.RLIMIT_CORE)[1])
print(reached(lambda number: os.open('/dev/null', 0), 20000))
"""
_DISK = """
try:
    with open('/workspace/full', 'wb', buffering=0) as file:
        for _ in range(256): file.write(bytes(1 << 20))
    print('wrote 256 MiB')
except OSError as error: print(error.strerror)
"""
_PROCESSES = """
import subprocess
started = []
try:
    for _ in range(100): started.append(subprocess.Popen(['sleep', '60']))
except OSError as error: print(len(started), error.strerror)
else: print('no limit')
finally:
    for process in started: process.kill()
"""
_BUSY = """
import time
end = time.monotonic() + 1
while time.monotonic() < end: pass
"""
_OUTPUT = "print('x' * (1 << 20))"
_TIME = "import time; time.sleep(60)"
_NETWORK = """
import socket
names = [name for _, name in socket.if_nameindex()]
try: socket.create_connection(('192.0.2.1', 80), 2)
except TimeoutError: print('a route to the outside; interfaces:', *names)
except OSError as error: print('none:', error.strerror)
else: print('connected')
"""
_USER = "import os; print(os.getuid())"


async def check(container: Container, directory: Path) -> AsyncIterator[Finding]:
    """Run into every limit of a container that was made with `SMALL` by a host that works in `directory`."""
    for part, test in TESTS.items():
        yield await test(part, container)
    yield await _cpu(container, directory)
    yield await after_all(container)


async def after_all(container: Container) -> Finding:
    """Whether it has borne them."""
    after = await python(container, "print('still here')")
    if after.return_code == 0:
        return good("after the limits", "the container still works")
    return bad("after the limits", text(after), "The container did not survive its own limits.")


async def python(container: Container, code: str, timeout: float = 30) -> Execution:
    """Run it to its end."""
    return await container.run(["python3", "-c", code], env={}, timeout=timeout)


def text(execution: Execution) -> str:
    """Its exit code and the last line that it printed."""
    lines = (execution.stdout.head + execution.stderr.head).decode("utf-8", "replace").strip().splitlines()
    return f"exit {execution.return_code}: {lines[-1][:120] if lines else 'no output'}"


async def _memory(part: str, container: Container) -> Finding:
    run = await python(container, _MEMORY)
    if run.return_code == 0:
        return bad(part, "a program got 1 GiB where 256 MiB are the limit", NOT_HELD)
    pieces = await python(container, _PIECES)
    if pieces.return_code != 137:
        return bad(part, f"256 MiB are the limit, but in small pieces: {text(pieces)}", NOT_HELD)
    how = "killed" if run.return_code == 137 else "MemoryError"
    return good(part, f"256 MiB are the limit: a program that wanted 1 GiB got {how}, in small pieces it was killed")


async def _disk(part: str, container: Container) -> Finding:
    run = await python(container, _DISK)
    await container.run(["rm", "-f", "/workspace/full"], env={}, timeout=30)
    if b"No space left" in run.stdout.head:
        return good(part, "64 MiB are the limit: a program that wrote more got “No space left on device”")
    return bad(part, f"64 MiB are the limit, but: {text(run)}", NOT_HELD)


async def _processes(part: str, container: Container) -> Finding:
    run = await python(container, _PROCESSES)
    if b"temporarily unavailable" in run.stdout.head:
        return good(part, f"32 are the limit: a program got {run.stdout.head.split()[0].decode()} more started")
    return bad(part, f"32 are the limit, but: {text(run)}", NOT_HELD)


async def _output(part: str, container: Container) -> Finding:
    run = await python(container, _OUTPUT)
    kept = len(run.stdout.head) + len(run.stdout.tail)
    if run.stdout.dropped and kept <= SMALL.output_bytes:
        return good(part, f"of 1 MiB printed, {kept // 1024} KiB were kept")
    return bad(part, f"kept {kept} bytes, {SMALL.output_bytes} are the limit", NOT_HELD)


async def _time(part: str, container: Container) -> Finding:
    run = await python(container, _TIME, timeout=1)
    if run.timed_out and run.seconds < 10:
        return good(part, f"a program with 1 s to run was ended after {run.seconds:.1f} s")
    return bad(part, f"a program with 1 s to run ended after {run.seconds:.1f} s: {text(run)}", NOT_HELD)


async def _others(part: str, container: Container) -> Finding:
    run = await python(container, REACHED + _FILES + OTHERS)
    match run.stdout.head.decode("ascii", "replace").split():
        case [files, shared, "refused", "0", descriptors] if files.isdecimal() and descriptors.isdecimal():
            if shared.isdecimal() and int(files) < _MOST_FILES and int(descriptors) < SMALL.open_files:
                found = f"{files} files on the disk, {descriptors} open ones, {shared} MiB of shared memory"
                return good(part, f"{found}; memory can't be locked, and no core is dumped")
    said = " ".join(run.stdout.head.decode("ascii", "replace").split()) or text(run)
    return bad(part, f"files, shared memory, locked memory, core and open files: {said}", NOT_HELD)


async def _network(part: str, container: Container) -> Finding:
    run = await python(container, _NETWORK)
    if run.stdout.head.startswith(b"none:"):
        return good(part, f"no way out ({run.stdout.head.decode().removeprefix('none:').strip()})")
    return bad(part, text(run), NOT_HELD)


async def _user(part: str, container: Container) -> Finding:
    run = await python(container, _USER)
    uid = run.stdout.head.decode("ascii", "replace").strip()
    if uid.isdecimal() and int(uid) > 0:
        return good(part, f"code runs unprivileged, as user {uid}")
    return bad(part, f"code runs as user {uid or '?'}", NOT_HELD)


async def _cpu(container: Container, directory: Path) -> Finding:
    part = "cpu limit"
    before = times_throttled(directory)
    await python(container, _BUSY)
    after = times_throttled(directory)
    if before is None or after is None:
        return warning(part, "the container's control group was not found", "See docs/security.md for what sets it.")
    if after > before:
        return good(part, f"half a CPU is the limit: a busy program was held back {after - before} times")
    return warning(
        part, "half a CPU is the limit, but a busy program was not held back", "Try again on an idle machine."
    )


TESTS: dict[str, Callable[[str, Container], Awaitable[Finding]]] = {
    "memory limit": _memory,
    "disk limit": _disk,
    "process limit": _processes,
    "output limit": _output,
    "time limit": _time,
    "other limits": _others,
    "network": _network,
    "user inside": _user,
}
