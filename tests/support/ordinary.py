"""An ordinary user of this machine: no root, no capability, only a range of subordinate ids.

The machine stays as it is: in a file system view of its own the user is in /etc/passwd and /etc/subuid.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

USER_ID = 64242
_FIRST_ID = 1_610_612_736
_IDS = 65536
_NAME = "cove-tests"
_ENTRIES = {
    "passwd": f"{_NAME}:x:{USER_ID}:{USER_ID}::/nowhere:/bin/sh\n",
    "group": f"{_NAME}:x:{USER_ID}:\n",
    "subuid": f"{_NAME}:{_FIRST_ID}:{_IDS}\n",
    "subgid": f"{_NAME}:{_FIRST_ID}:{_IDS}\n",
}
_BECOME = """
directory=$1 user=$2
shift 2
for name in passwd group subuid subgid; do
    [ -e /etc/$name ] || : > /etc/$name
    mount --bind "$directory/$name" /etc/$name
done
exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all "$@"
"""


class OrdinaryUser:
    """Programs as one, with a home below a directory that must be reachable for everybody."""

    def __init__(self, directory: Path, *, ids: bool = True) -> None:
        """Without `ids` the user has no subordinate ones."""
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        os.chown(self.home, USER_ID, USER_ID)
        self._files = directory / "etc"
        self._files.mkdir()
        for name, entry in _ENTRIES.items():
            file = Path("/etc", name)
            before = file.read_text() if file.exists() else ""
            (self._files / name).write_text(before + (entry if ids or name in ("passwd", "group") else ""))

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs this as the user, in the same process."""
        become = ["unshare", "--mount", "sh", "-ec", _BECOME, "sh", str(self._files), str(USER_ID)]
        return [*become, *command]

    def run(self, command: Sequence[str], *, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(command),
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)} | environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def why_not(directory: Path, needed: Sequence[Path]) -> str:
    """Why there can be none on this machine, who reads these files. Empty if there can."""
    if os.geteuid() != 0:
        return "only root can become another user"
    user = OrdinaryUser(directory)
    namespace = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "true"]
    for command in (["test", "-r", str(path)] for path in needed):
        if user.run(command, environment={}).returncode != 0:
            return f"an ordinary user can't read {command[-1]}"
    tried = user.run(namespace, environment={})
    return "" if tried.returncode == 0 else f"no user namespaces: {tried.stderr.strip()}"
