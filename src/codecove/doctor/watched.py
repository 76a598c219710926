"""Whether a container's limits hold where the server is not the machine's root, and what holds them there."""

from collections.abc import AsyncIterator
from dataclasses import replace

from codecove.doctor.finding import Finding, bad, good, warning
from codecove.doctor.limits import NOT_HELD, OTHERS, REACHED, SMALL, TESTS, after_all, python, text
from codecove.sandbox.host import Container

_HELD = {
    "memory limit": "held by the server's look every 25 ms, with nothing behind it",
    "process limit": "held by gVisor",
    "output limit": "held by the guest agent",
    "time limit": "held by the server and the guest agent",
    "network": "held by gVisor",
    "user inside": "held by gVisor",
}
_ONE_FILE = """
try:
    with open('/workspace/full', 'wb', buffering=0) as file:
        for _ in range(80): file.write(bytes(1 << 20))
except OSError as error: print(error.strerror)
"""
_PIECES = """
for number in range(10000):
    with open(f'/workspace/full-{number}', 'wb') as file: file.write(bytes(1 << 20))
"""
_FILES = """
import itertools, os
os.mkdir('/workspace/full-of')
for number in itertools.count(): open(f'/workspace/full-of/{number}', 'wb').close()
"""
_REMOVE = ["sh", "-c", "rm -rf /workspace/full*; echo > /workspace/room && rm /workspace/room"]
_BUSY = """
import os, time
end = time.monotonic() + 1
os.fork()
while time.monotonic() < end: pass
"""


async def check(container: Container) -> AsyncIterator[Finding]:
    """Run into every limit of a container that was made with `SMALL`."""
    for part, held in _HELD.items():
        finding = await TESTS[part](part, container)
        yield replace(finding, found=f"{finding.found}; {held}") if finding.verdict == "good" else finding
    yield await _disk(container)
    yield await _files(container)
    yield await _others(container)
    yield await _cpu(container)
    yield await after_all(container)


async def _disk(container: Container) -> Finding:
    part, most = "disk limit", f"{SMALL.disk_bytes >> 20} MiB are the limit"
    one = await python(container, _ONE_FILE)
    await container.run(_REMOVE, env={}, timeout=30)
    if b"too large" not in one.stdout.head:
        return bad(part, f"{most} of one file, but: {text(one)}", NOT_HELD)
    many = await python(container, _PIECES)
    removed = await container.run(_REMOVE, env={}, timeout=30)
    again = await container.run(_REMOVE, env={}, timeout=30)
    if not many.out_of_disk or again.return_code != 0:
        return bad(part, f"{most}, but in many files: {text(many)}; removed: {text(removed)}", NOT_HELD)
    found = "one file got no larger (held by gVisor), what wrote more in many was killed (held by the server's looks"
    return good(part, f"{most}: {found}, so somewhat more may be written)")


async def _files(container: Container) -> Finding:
    part = "files on the disk"
    many = await python(container, _FILES)
    await container.run(_REMOVE, env={}, timeout=60)
    again = await container.run(_REMOVE, env={}, timeout=30)
    if not many.out_of_disk or again.return_code != 0:
        return bad(part, f"no limit: {text(many)}", NOT_HELD)
    return good(part, "what made too many was killed; held by the server's looks, so some more may be made")


async def _others(container: Container) -> Finding:
    part = "other limits"
    run = await python(container, REACHED + OTHERS)
    match run.stdout.head.decode("ascii", "replace").split():
        case [shared, "refused", "0", descriptors] if shared.isdecimal() and descriptors.isdecimal():
            if int(descriptors) < SMALL.open_files:
                found = f"{descriptors} open files, {shared} MiB of shared memory"
                return good(part, f"{found}; memory can't be locked, and no core is dumped; held by gVisor")
    return bad(part, f"shared memory, locked memory, core and open files: {text(run)}", NOT_HELD)


async def _cpu(container: Container) -> Finding:
    run = await python(container, _BUSY)
    share = run.cpu_seconds / run.seconds
    found = f"not held: half a CPU is the limit, and two busy programs took {share:.1f}"
    return warning("cpu limit", found, "Up to one CPU a container stays on one, which it shares; more is not held.")
