"""Root of the machine, or of a user namespace only (user_namespaces(7)): which it is, and how to become the second.

Mounts, owners of files and namespaces need a root. An ordinary user gets one that is good for that, and for nothing
that others have, by `unshare` and the ids that /etc/subuid says are his: docs/operating.md, "Without root".
"""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_EVERYBODY = 2**32 - 1
_IDS_NEEDED = 65536
"""As many as the owners of files inside may be."""
_KERNEL_NEEDED = (5, 11)
"""The first one whose overlay file systems can be mounted in a user namespace."""
_MAP = Path("/proc/self/uid_map")
_NAMESPACE = ("--user", "--map-auto", "--map-root-user", "--mount", "--propagation", "private", "--")
_SWITCHES = (
    ("user.max_user_namespaces", "0"),
    ("kernel.unprivileged_userns_clone", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
)
"""Of the kernel (sysctl), and the value with which an ordinary user can't make a namespace."""
_SECONDS = 10


class NoNamespace(Exception):
    """It can't be had here. The message says why, and what the machine's administrator has to do."""


def in_user_namespace() -> bool:
    """Whether some of the machine's users do not exist here: then root is not the machine's."""
    return _ids(_MAP.read_text()) < _EVERYBODY


def is_root_of_machine() -> bool:
    """Whether it may do everything there is to do."""
    return os.geteuid() == 0 and not in_user_namespace()


def become_root() -> None:
    """Unless it is root already, begin this process again as root of a new user namespace; then this does not return.

    It is the same process for everybody: pid, signals, exit code, working directory, environment. Raises `NoNamespace`.
    """
    if os.geteuid() == 0:
        return
    unshare = _look()
    with contextlib.suppress(KeyError):
        os.environ.setdefault("HOME", pwd.getpwuid(os.getuid()).pw_dir)  # in the namespace its name is root's
    os.execv(unshare, [unshare, *_NAMESPACE, sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _look() -> str:
    """Make one for a moment. Where `unshare` is."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NoNamespace(_message("unshare is not installed (Debian: apt-get install util-linux)"))
    tried = subprocess.run(  # noqa: S603
        [unshare, *_NAMESPACE, "cat", str(_MAP)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    obstacles = list(_obstacles(unshare, tried))
    if obstacles:
        raise NoNamespace(_message(*obstacles))
    return unshare


def _obstacles(unshare: str, tried: subprocess.CompletedProcess[str]) -> Iterator[str]:
    release = os.uname().release
    if tuple(map(int, re.findall(r"\d+", release)[:2])) < _KERNEL_NEEDED:
        yield f"Linux {release} is too old: overlay file systems of a user need {'.'.join(map(str, _KERNEL_NEEDED))}"
    if tried.returncode == 0 and _ids(tried.stdout) >= _IDS_NEEDED:
        return
    known = list(_likely_causes(unshare))
    yield from known or [f"unshare {' '.join(_NAMESPACE)}: {tried.stderr.strip() or tried.stdout.strip()}"]


def _likely_causes(unshare: str) -> Iterator[str]:
    known = subprocess.run([unshare, "--help"], capture_output=True, text=True, timeout=_SECONDS, check=False).stdout  # noqa: S603
    if "--map-auto" not in known:
        yield "unshare has no --map-auto: install util-linux 2.38 or newer"
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        yield "newuidmap is not installed (Debian: apt-get install uidmap)"
    user = _name()
    for kind, file in (("uids", "/etc/subuid"), ("gids", "/etc/subgid")):
        if _given(Path(file), user) < _IDS_NEEDED:
            yield (
                f"{file} gives {user} fewer than {_IDS_NEEDED} subordinate ids "
                f"(as root: usermod --add-sub{kind} 100000-165535 {user}, or any such range that nobody has)"
            )
    for name, off in _SWITCHES:
        if _read(Path("/proc/sys", *name.split("."))).strip() == off:
            yield f"user namespaces are switched off for users (sysctl {name}={off})"
    if "NoNewPrivs:\t1" in _read(Path("/proc/self/status")):
        yield "this process may gain no privileges (no_new_privs), which newuidmap needs"


def _given(file: Path, user: str) -> int:
    """The most ids in one range of his."""
    fields = (line.split(":") for line in _read(file).splitlines())
    counts = [int(entry[2]) for entry in fields if len(entry) == 3 and entry[0] in (user, str(os.getuid()))]
    return max(counts, default=0)


def _name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _ids(mapping: str) -> int:
    return sum(int(line.split()[2]) for line in mapping.splitlines())


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _message(*reasons: str) -> str:
    lines = ["containers need root, or a user namespace with 65536 ids, which can't be had here:"]
    return "\n".join([*lines, *(f"  {reason}" for reason in reasons), '  docs/operating.md, "Without root", has more'])
