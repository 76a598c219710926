"""How long the kernel takes to be sure that no processor still uses what is being changed (RCU grace periods).

Each start of a `runsc` process waits for one, and so does each mount and each move between control groups: some 10 ms
on an idle machine, a third of a container's start. With `rcu_expedited` the kernel asks all processors at once instead
of waiting until each has passed by (Linux: Documentation/admin-guide/kernel-parameters.txt, `rcupdate.rcu_expedited`).
"""

import logging
from pathlib import Path

_log = logging.getLogger(__name__)

_SWITCH = Path("/sys/kernel/rcu_expedited")


class GracePeriods:
    """The machine's. `restore` gives back what `shorten` has found."""

    def __init__(self, switch: Path = _SWITCH) -> None:
        self._switch = switch
        self._before: str | None = None

    def shorten(self) -> None:
        """From now on. Where the kernel's switch is missing or read-only everything works, but starts are slower."""
        try:
            before = self._switch.read_text().strip()
            if before == "0":
                self._switch.write_text("1")
                self._before = before
        except OSError as error:
            _log.info("containers start slower than they could: %s: %s", self._switch, error.strerror)

    def restore(self) -> None:
        """As they were. Idempotent."""
        before, self._before = self._before, None
        if before is None:
            return
        try:
            self._switch.write_text(before)
        except OSError as error:
            _log.warning("%s could not be set back to %s: %s", self._switch, before, error.strerror)
