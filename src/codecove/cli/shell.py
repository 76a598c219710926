"""A shell in a container, line by line.

For input that comes from a pipe or a file; on a terminal there is one inside. Each line is one execution of its own.
What a shell keeps between lines, the working directory and the exported variables, is kept in a file in the container.
"""

import contextlib
import secrets
import shlex
import sys

from codecove.cli import executions
from codecove.cli.client import Client, RequestFailed, segment

_LINE = """\
if [ -e {state} ]; then
  __in=$INPUT_DIR __out=$OUTPUT_DIR
  . {state}
  export INPUT_DIR=$__in OUTPUT_DIR=$__out
  unset __in __out
fi
trap '{{ export -p; printf "cd -- %q\\n" "$PWD"; }} > {state}' EXIT
eval {line}
"""
"""The trap does not change the exit status, and runs after `exit` too."""

_CLEAN = "rm -f -- {state}"


class Shell:
    """One shell. Its state is a file in the container, removed by `close`."""

    def __init__(self, client: Client, container_id: str) -> None:
        self._client = client
        self._container_id = container_id
        self._state = f"/tmp/.cove-shell-{secrets.token_hex(4)}"  # noqa: S108  # in the container

    def run(self, line: str) -> int:
        """Run one line and show its output; the value is its exit code."""
        command = _LINE.format(state=self._state, line=shlex.quote(line))
        return executions.show(executions.bash(self._client, self._container_id, command))

    def close(self) -> None:
        """Remove the state."""
        with contextlib.suppress(RequestFailed):
            executions.bash(self._client, self._container_id, _CLEAN.format(state=self._state))


def interact(client: Client, container_id: str) -> int:
    """Run the lines of stdin until it ends, or says `exit`; the value is the exit code of the last."""
    client.json("GET", f"/v1/containers/{segment(container_id)}")
    shell, status = Shell(client, container_id), 0
    try:
        for line in (line.rstrip("\n") for line in sys.stdin):
            if line.strip() == "exit":
                break
            if line.strip():
                status = shell.run(line)
    finally:
        shell.close()
    return status
