"""Running a command in a container on a server, and showing what became of it."""

import sys
from typing import Any

import typer

from codecove.cli.client import Client, Json, segment

FAILED = 1


def bash(client: Client, container_id: str, command: str) -> Json:
    """The content of the result block of one command."""
    path = f"/v1/containers/{segment(container_id)}/executions"
    block = client.json("POST", path, json={"name": "bash_code_execution", "input": {"command": command}})
    content: Json = block["content"]
    return content


def show(content: dict[str, Any]) -> int:
    """Print a result's streams as they were; the value is the exit code. An error block's is 1."""
    if "error_code" in content:
        typer.echo(f"{content['error_code']}: {content.get('error_message', '')}", err=True)
        return FAILED
    sys.stdout.write(content["stdout"])
    sys.stdout.flush()
    sys.stderr.write(content["stderr"])
    sys.stderr.flush()
    return int(content["return_code"])
