"""Official clients of 2025 and of today create a batch, follow it, read its results and delete it."""

import json
import sys

import pytest

from tests.conformance.environments import CLIENTS, node_environment, python_environment, run
from tests.support.script import Json, Turn, bash, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]
COUNTS = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}


def play(upstream: ScriptedUpstream) -> None:
    upstream.script(*[Turn([bash("echo 5.5")]), Turn([say("The mean is 5.5.")])] * 2)


def check(answer: Json, server: Server) -> None:
    for life in answer["lives"].values():
        made, ended = life["made"], life["ended"]
        assert made["processing_status"] == "in_progress"
        assert made["request_counts"] == COUNTS | {"processing": 1}
        assert [made[name] for name in ("results_url", "ended_at", "archived_at", "cancel_initiated_at")] == [None] * 4
        assert ended["request_counts"] == COUNTS | {"succeeded": 1}
        assert ended["results_url"] == f"{server.url}/v1/messages/batches/{made['id']}/results"
        (line,) = life["results"]
        assert (line["custom_id"], line["result"]["type"]) == ("only", "succeeded")
        message = line["result"]["message"]
        assert [block["type"] for block in message["content"]] == [
            "server_tool_use",
            "bash_code_execution_tool_result",
            "text",
        ]
        assert message["content"][1]["content"]["stdout"] == "5.5\n"
        assert life["listed"][0] == made["id"]
        assert life["cancelled"]["processing_status"] == "ended"
        assert life["deleted"] == {"id": made["id"], "type": "message_batch_deleted"}


@pytest.mark.parametrize("version", ["0.54.0", "0.72.0", "today"])
def test_the_python_client(version: str, server: Server, upstream: ScriptedUpstream) -> None:
    interpreter = sys.executable if version == "today" else python_environment(f"python-{version}")
    play(upstream)
    check(json.loads(run([str(interpreter), str(CLIENTS / "batches.py"), server.url, server.api_key, MODEL])), server)


@pytest.mark.parametrize("version", ["0.52.0", "current"])
def test_the_typescript_client(version: str, server: Server, upstream: ScriptedUpstream) -> None:
    directory = node_environment(f"typescript-{version}")
    play(upstream)
    arguments = [str(CLIENTS / "batches.mjs"), str(directory), server.url, server.api_key, MODEL]
    check(json.loads(run(["node", *arguments])), server)
