"""The OCI runtimes: how each is called. All do the same with the same bundle."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from codecove.sandbox import commands
from codecove.sandbox.cgroup import Hierarchies
from codecove.sandbox.errors import SandboxError

_FLAGS = {
    "runsc": (
        "--platform=systrap",
        "--network=none",  # loopback alone
        "--overlay2=none",  # writes go to the container's own disk, where its limit holds
        "--host-uds=none",
        "--host-fifo=none",
    ),
    "crun": ("--cgroup-manager=disabled",),  # it stays in the group that it was started in
    "runc": (),
}
_CHECKPOINT_OPTIONS = ("--compression=none", "--exclude-committed-zero-pages")
_UNKNOWN_CONTAINER = ("does not exist", "no such file")
# In a view of the file systems of its own: without the version 2 control groups that are mounted beside version 1, at
# which crun gives up ($0, if there are any), and with the bundle in a place that the container's root, who is nobody
# on the host, can reach.
_PREPARE = '[ -z "$0" ] || umount "$0"; mount --rbind . /mnt; cd /mnt; exec "$@"'


class Runtime:
    """One runtime's commands, with its state below `root`."""

    def __init__(self, program: str, root: Path, hierarchies: Hierarchies, *, options: Sequence[str] = ()) -> None:
        """`options`: more for runsc. Raises `SandboxError` when there is no such program, or it is none we know."""
        path = shutil.which(program)
        self.name = Path(program).name
        if self.name not in _FLAGS:
            raise SandboxError(f"runtime {program!r}: known are {', '.join(_FLAGS)}, or a path to one of them")
        if path is None:
            raise SandboxError(f"runtime {program!r} is not installed (Debian: apt-get install {self.name})")
        self.root = root
        self._command = [path, "--root", str(root), *_FLAGS[self.name]]
        self.host_kernel = self.name != "runsc"
        """Whether programs inside talk to the host's kernel."""
        self.checkpoints = self.name == "runsc"
        """Whether it can put processes to sleep."""
        self.version = ""
        self._checkpoint_options: list[str] = []
        if not self.host_kernel:
            self._command += options
        else:
            hybrid = str(hierarchies.hybrid or "")
            self._command = ["/usr/bin/unshare", "-m", "sh", "-ec", _PREPARE, hybrid, *self._command]

    def run_command(self, runtime_id: str, bundle: Path) -> list[str]:
        """The command that boots a container, its first process on the command's own standard streams."""
        return [*self._command, "run", "--detach", "--bundle", "/mnt" if self.host_kernel else str(bundle), runtime_id]

    def restore_command(self, runtime_id: str, bundle: Path, checkpoint: Path) -> list[str]:
        """The command that lets a checkpoint's processes run on, the first of them on the command's own streams."""
        options = ["--detach", "--bundle", str(bundle), "--image-path", str(checkpoint)]
        return [*self._command, "restore", *options, runtime_id]

    async def checkpoint(self, runtime_id: str, directory: Path) -> None:
        """Write a container's processes to files in `directory`, and end them. Raises `CommandFailed`."""
        options = ["--image-path", str(directory), *self._checkpoint_options]
        await commands.run([*self._command, "checkpoint", *options, runtime_id])

    async def probe(self) -> None:
        """Find out what this version can do. Raises `CommandFailed`."""
        self.version = await commands.run([*self._command, "--version"])
        if self.checkpoints:
            known = await commands.run([*self._command, "help", "checkpoint"])
            # To write what is mostly small and short-lived takes less time than to compress it.
            self._checkpoint_options = [
                option for option in _CHECKPOINT_OPTIONS if option.lstrip("-").partition("=")[0] in known
            ]

    async def delete(self, runtime_id: str) -> None:
        """Remove what the runtime knows of a container whose processes are gone. Raises `CommandFailed`."""
        if not any(self.root.glob(f"*{runtime_id}*")):
            return
        try:
            await commands.run([*self._command, "delete", "--force", runtime_id])
        except commands.CommandFailed as error:
            if not any(words in error.output for words in _UNKNOWN_CONTAINER):
                raise
        # A start that was broken off half-way may have left files that are no container yet.
        for path in self.root.glob(f"*{runtime_id}*"):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
