"""A shell in a container, line by line.

Each line is one execution of its own: that is what the server has. What a shell keeps between lines, the working
directory and the exported variables, is kept in a file in the container. There is no terminal in there: programs that
want one (editors, pagers, prompts) don't work, and output is shown when a command has ended.
"""

import contextlib
import secrets
import shlex
import sys
from collections.abc import Iterator

import typer

from codecove.cli import executions
from codecove.cli.client import Client, RequestFailed, segment
from codecove.cli.transfer import printable

_LINE = """\
if [ -e {state} ]; then
  __in=$INPUT_DIR __out=$OUTPUT_DIR
  . {state}
  export INPUT_DIR=$__in OUTPUT_DIR=$__out
  unset __in __out
fi
trap '{{ export -p; printf "cd -- %q\\n" "$PWD"; }} > {state}; printf %s "$PWD" > {state}.cwd' EXIT
eval {line}
"""
"""The trap does not change the exit status, and runs after `exit` too."""

_CLEAN = "rm -f -- {state} {state}.cwd"


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

    def directory(self) -> str:
        """Where the next line runs."""
        path = f"/v1/containers/{segment(self._container_id)}/files{self._state}.cwd"
        try:
            with self._client.stream("GET", path) as answer:
                return answer.read().decode("utf-8", "replace")
        except RequestFailed:
            return "/workspace"

    def close(self) -> None:
        """Remove the state."""
        with contextlib.suppress(RequestFailed):
            executions.bash(self._client, self._container_id, _CLEAN.format(state=self._state))


def interact(client: Client, container_id: str) -> int:
    """Run the lines of stdin until it ends, or says `exit`; the value is the exit code of the last."""
    client.json("GET", f"/v1/containers/{segment(container_id)}")
    shell, status = Shell(client, container_id), 0
    try:
        for line in _lines(shell):
            if line.strip() == "exit":
                break
            if line.strip():
                status = shell.run(line)
    finally:
        shell.close()
    return status


def _lines(shell: Shell) -> Iterator[str]:
    """The lines of stdin, after a prompt if that is a terminal."""
    if not sys.stdin.isatty():
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415  # gives `input` its history and its keys; not every Python has it
    typer.echo("Each line is run on its own; Ctrl-D or `exit` ends. There is no terminal inside.", err=True)
    while True:
        try:
            yield input(f"{printable(shell.directory())} $ ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()
