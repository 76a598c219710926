"""How long the kernel takes to be sure that no processor still uses what is being changed (RCU grace periods).

Each start of a `runsc` process waits for one, and so does each mount and each move between control groups: some 10 ms
on an idle machine, a third of a container's start. With `rcu_expedited` the kernel asks all processors at once instead
of waiting until each has passed by (Linux: Documentation/admin-guide/kernel-parameters.txt, `rcupdate.rcu_expedited`).

The switch is the machine's, and several servers may run. What the first of them found is kept in a file, of which each
holds a shared lock. The last to leave is the one that gets it for itself alone, and puts the switch back. A server that
is killed loses its lock: if nobody is left to put the switch back, the next server that ends does.
"""

import contextlib
import fcntl
import logging
import os
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)

_SWITCH = Path("/sys/kernel/rcu_expedited")
_FOUND = Path("/run/codecove.rcu_expedited")


class GracePeriods:
    """The machine's. `restore` gives back what `shorten` has found, unless another server still needs it."""

    def __init__(self, switch: Path = _SWITCH, found: Path = _FOUND) -> None:
        """`found` keeps the switch's value as long as one server runs; like the switch it ends with the machine."""
        self._switch = switch
        self._found = found
        self._file: IO[str] | None = None

    def shorten(self) -> None:
        """From now on. Where the kernel's switch is missing or read-only everything works, but starts are slower."""
        try:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(open(self._found, "a+", opener=_private))
                if _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    self._begin(file)
                _lock(file, fcntl.LOCK_SH)  # nobody has it for himself alone for longer than that takes
                self._file = file
                stack.pop_all()
        except OSError as error:
            _log.info("containers start slower than they could: %s: %s", error.filename, error.strerror)

    def restore(self) -> None:
        """As they were, if nobody else needs them short. Idempotent."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            if not _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
            try:
                if _content(file) == "0":
                    self._switch.write_text("0")
                file.truncate(0)
            except OSError as error:
                _log.warning("%s could not be set back: %s", self._switch, error.strerror)

    def _begin(self, file: IO[str]) -> None:
        """As the only one. What a server that was killed had found is what counts."""
        if not _content(file):
            file.write(self._switch.read_text().strip())
            file.flush()
        if _content(file) == "0":
            try:
                self._switch.write_text("1")
            except OSError:
                file.truncate(0)
                raise


def _private(path: str, flags: int) -> int:
    """Who may open it may lock it: that is root alone, or any user of the machine could keep servers from starting."""
    return os.open(path, flags, 0o600)


def _lock(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
