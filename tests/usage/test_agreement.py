"""`/metrics`, `/v1/usage` and the log of one server's mixed work say the same."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.server import Server, started, wait_until
from tests.usage.test_server import assert_sums, http, rows

pytestmark = pytest.mark.sandbox

Json = dict[str, Any]
OLDER = {"type": "code_execution_20250522", "name": "code_execution"}
NEWER = {"type": "code_execution_20250825", "name": "code_execution"}


def question(text: str, tool: Json = NEWER) -> Json:
    """For the built-in model, which runs the code blocks of a message."""
    return {
        "model": "codecove/blocks",
        "max_tokens": 1024,
        "tools": [tool],
        "messages": [{"role": "user", "content": text}],
    }


def mixed_work(client: httpx2.Client) -> None:
    """Both tools, calls that fail, calls without a model, requests that are refused, a batch."""
    for text in ("```bash\necho hi\n```", "```bash\nexit 3\n```\n```python\nprint(1)\n```", "no code"):
        for tool in (OLDER, NEWER):
            client.post("/v1/messages", json=question(text, tool)).raise_for_status()
    container = client.post("/v1/containers", json={}).json()["id"]
    for command in ("view", "create", "nonsense"):
        call = {"name": "text_editor_code_execution", "input": {"command": command, "path": "a", "file_text": "a"}}
        client.post(f"/v1/containers/{container}/executions", json=call).raise_for_status()
    assert client.post("/v1/messages", json={"model": 3}).status_code == 400
    assert client.get("/v1/files/nowhere").status_code == 404
    requests = [{"custom_id": str(n), "params": question("```bash\necho hi\n```")} for n in range(3)]
    batch = client.post("/v1/messages/batches", json={"requests": requests}).json()["id"]
    wait_until(
        lambda: client.get(f"/v1/messages/batches/{batch}").json()["processing_status"] == "ended",
        "the batch does not end",
        seconds=60,
    )


def use_terminal(client: httpx2.Client) -> None:
    container = client.post("/v1/containers", json={}).json()["id"]
    address = f"{str(client.base_url).replace('http', 'ws')}/v1/containers/{{}}/terminal?arg=sh&arg=-c&arg=exit%205"
    headers = {name: client.headers[name] for name in ("x-api-key", "anthropic-version")}
    with pytest.raises(InvalidStatus):
        connect(address.format("container_none"), additional_headers=headers, proxy=None, compression=None)
    with connect(address.format(container), additional_headers=headers, proxy=None, compression=None) as terminal:
        assert [json.loads(message) for message in terminal if isinstance(message, str)] == [
            {"type": "exit", "return_code": 5}
        ]


def logged(server: Server, message: str) -> list[Json]:
    assert server.process is not None
    lines = [line for line in server.process.log.splitlines() if line.startswith("{")]
    return [entry for line in lines if (entry := json.loads(line))["message"] == message]


def exit_of(row: Json) -> str:
    if row["error_code"] is not None:
        return str(row["error_code"])
    if row["return_code"] is None:
        return "done"
    return "0" if row["return_code"] == 0 else "nonzero"


def test_metrics_usage_and_log_agree() -> None:
    with started({"COVE_LOG_FORMAT": "json", "COVE_CONTAINER_IDLE_EXPIRY": "3600"}) as server:
        with http(server.url, server.api_key) as client:
            mixed_work(client)
            use_terminal(client)
            metered = rows(client, "executions")
            assert_sums(client)
            families = list(text_string_to_metric_families(client.get("/metrics").text))
        wait_until(lambda: any(line["path"] == "/metrics" for line in logged(server, "request")), "no line in the log")
        executions, requests = logged(server, "execution"), logged(server, "request")
    samples = [sample for family in families for sample in family.samples]
    by_metric = Counter(
        {
            (sample.labels["tool"], sample.labels["exit"]): int(sample.value)
            for sample in samples
            if sample.name == "codecove_executions_total"
        }
    )
    assert len(metered) > 8
    assert by_metric == Counter((row["tool"], exit_of(row)) for row in metered)
    assert by_metric == Counter((line["tool"], exit_of(line)) for line in executions)
    total = sum(Decimal(str(row["seconds"])) for row in metered)
    assert sum(Decimal(str(line["seconds"])) for line in executions) == total
    timed = sum(sample.value for sample in samples if sample.name == "codecove_execution_seconds_sum")
    assert timed == pytest.approx(float(total), abs=1e-5)
    # The scrape itself is counted when it has been answered.
    before = [line for line in requests if line["path"] != "/metrics"]
    counted = sum(int(sample.value) for sample in samples if sample.name == "codecove_http_requests_total")
    assert counted == len(before)
    assert {row["request_id"] for row in metered} >= {
        line["request_id"] for line in executions if "batch_id" not in line
    }
    assert sum("batch_id" in line for line in executions) == 3
    results = {
        sample.labels["outcome"]: sample.value for sample in samples if sample.name == "codecove_batch_results_total"
    }
    assert results == {"succeeded": 3, "errored": 0, "canceled": 0, "expired": 0}
    terminals = [line for line in before if line["path"].endswith("/terminal")]
    assert sorted((line["method"], line["status"]) for line in terminals) == [("GET", 101), ("GET", 404)]
    assert {row["request_id"] for row in metered if row["tool"] == "terminal"} == {
        line["request_id"] for line in terminals if line["status"] == 101
    }
