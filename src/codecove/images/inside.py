"""Paths and commands inside a root file system that is not running."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_MOST_LINKS = 40


def path_inside(rootfs: Path, path: str) -> Path:
    """Where `path` leads when `rootfs` is `/`: symbolic links, absolute ones too, stay inside.

    The result may not exist. Raises `OSError` for a loop of links.
    """
    waiting = path.strip("/").split("/")
    done: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = rootfs.joinpath(*done, part)
        if not here.is_symlink():
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(f"too many symbolic links: {path}")
        target = here.readlink()
        if target.is_absolute():
            done = []
        waiting = str(target).strip("/").split("/") + waiting
    return rootfs.joinpath(*done)


def everything(rootfs: Path) -> Iterator[Path]:
    """Every file and directory below it. Links are not followed."""
    for directory, directories, files in os.walk(rootfs):
        for name in [*directories, *files]:
            yield Path(directory, name)


_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


# Root of a user namespace may make none, and what mmdebstrap has in their places is gone with its mounts.
_WITH_DEVICES = """
for name in null zero full random urandom; do
    rm -f "$0/dev/$name"
    : > "$0/dev/$name"
    mount --bind "/dev/$name" "$0/dev/$name"
done
exec "$@"
"""


def command_apart(command: Sequence[str]) -> list[str]:
    """A command line that runs `command` so that no mount and no process of it is left when it ends."""
    return [*_APART, *command]


def command_inside(rootfs: Path, command: Sequence[str]) -> list[str]:
    """A command line that runs `command` as root in there, apart, and without a network."""
    environment = ["-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
    root = [f"--root={rootfs}", "--wd=/"]
    inside = [*_APART, "--ipc", "--uts", "--net", *root, "/usr/bin/env", *environment, *command]
    if (rootfs / "dev/null").is_char_device():
        return inside
    return ["unshare", "--mount", "sh", "-ec", _WITH_DEVICES, str(rootfs), *inside]


def run(command: Sequence[str], log: Path, said: Callable[[str], None] = lambda _: None) -> None:
    """Run it to its end, with what it prints added to `log`. `said` is called with each line of that, as it comes.

    Raises `subprocess.CalledProcessError`.
    """
    with (
        log.open("ab") as output,
        subprocess.Popen(  # noqa: S603 - commands of ours; paths are the operator's
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                output.write(line)
                said(line.decode(errors="replace").rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
