"""What `/metrics` says of a server that has worked, read with Prometheus' own parser."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import body
from tests.support.script import Refusal, Turn, bash, edit, say
from tests.support.server import Server, started
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox


@pytest.fixture
def fresh(upstream: ScriptedUpstream) -> Iterator[Server]:
    """A server that has answered nothing yet."""
    with started({"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": "upstream-key"}) as server:
        yield server


@pytest.fixture
def ask_once(server: Server, upstream: ScriptedUpstream) -> None:
    """Something has been executed."""
    upstream.script(Turn([bash("true")]), Turn([say("Done.")]))
    httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=body(), timeout=60).raise_for_status()


def scrape(server: Server, **headers: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = httpx2.get(f"{server.url}/metrics", headers=headers)
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def test_requests_turns_tokens_and_executions_are_counted(fresh: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([bash("true")]),
        Turn([bash("exit 3"), edit(command="view", path="nowhere")]),
        Turn([edit(command="create", path="a.txt", file_text="a")]),
        Turn([say("Done.")]),
    )
    answer = httpx2.post(f"{fresh.url}/v1/messages", headers=fresh.headers, json=body(), timeout=60)
    assert answer.status_code == 200
    httpx2.get(f"{fresh.url}/v1/files/nowhere", headers=fresh.headers)
    httpx2.get(f"{fresh.url}/no/such/route", headers=fresh.headers)
    found = scrape(fresh)
    bash_name, editor = "bash_code_execution", "text_editor_code_execution"
    messages = {"route": "/v1/messages"}
    assert value(found, "codecove_http_requests_total", method="POST", status="200", **messages) == 1
    assert value(found, "codecove_http_requests_total", method="GET", status="404", route="/v1/files/{file_id}") == 1
    assert value(found, "codecove_http_requests_total", method="GET", status="404", route="none") == 1
    assert value(found, "codecove_http_sent_bytes_total", **messages) == len(answer.content)
    assert value(found, "codecove_http_first_byte_seconds_count", **messages) == 1
    assert value(found, "codecove_executions_total", tool=bash_name, exit="0") == 1
    assert value(found, "codecove_executions_total", tool=bash_name, exit="nonzero") == 1
    assert value(found, "codecove_executions_total", tool=editor, exit="file_not_found") == 1
    assert value(found, "codecove_executions_total", tool=editor, exit="done") == 1
    assert value(found, "codecove_model_turns_total", upstream="default", outcome="ok") == 4
    usage = answer.json()["usage"]
    for kind in ("input", "output"):
        assert value(found, "codecove_model_tokens_total", upstream="default", kind=kind) == usage[f"{kind}_tokens"]


def test_an_upstream_that_fails_is_counted_by_its_status(server: Server, upstream: ScriptedUpstream) -> None:
    def failed() -> float:
        return value(scrape(server), "codecove_model_turns_total", upstream="default", outcome="529")

    before = failed()
    upstream.script(Refusal(529, "overloaded_error"))
    response = httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=body(), timeout=60)
    assert response.status_code == 529
    assert failed() == before + 1


def test_no_label_comes_from_a_client(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Hello.")]))
    httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=body(model="stranger-model"), timeout=60)
    httpx2.request("BREW", f"{server.url}/stranger-path", headers=server.headers)
    text = httpx2.get(f"{server.url}/metrics").text
    assert "stranger" not in text
    assert "BREW" not in text


def test_the_dashboard_and_the_guide_name_only_metrics_that_there_are(server: Server, ask_once: None) -> None:
    root = Path(__file__).parents[2]
    text = httpx2.get(f"{server.url}/metrics").text
    there = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    there |= {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for document in ("deploy/grafana.json", "docs/operating.md"):
        named = set(re.findall(r"\b(?:codecove|process)_[a-z_]+\b", (root / document).read_text()))
        named = {name.removesuffix("_bucket") for name in named}
        assert named - there - {"process_resident_memory_bytes"} == set(), document


def test_everything_that_operators_were_promised_is_there(server: Server, ask_once: None) -> None:
    promised = {
        "codecove_http_requests_total": {"method", "route", "status"},
        "codecove_http_request_seconds_bucket": {"route", "le"},
        "codecove_http_first_byte_seconds_bucket": {"route", "le"},
        "codecove_model_first_event_seconds_bucket": {"upstream", "le"},
        "codecove_model_turn_seconds_bucket": {"upstream", "le"},
        "codecove_execution_seconds_bucket": {"tool", "le"},
        "codecove_model_tokens_total": {"upstream", "kind"},
        "codecove_executions_total": {"tool", "exit"},
        "codecove_pool_takes_total": {"result"},
        "codecove_containers": {"state"},
        "codecove_sandbox_seconds_bucket": {"what", "le"},
        "codecove_http_received_bytes_total": {"route"},
        "codecove_http_sent_bytes_total": {"route"},
        "codecove_batch_requests": {"state"},
        "codecove_batch_oldest_seconds": set(),
        "codecove_batch_results_total": {"outcome"},
        "codecove_model_turns_total": {"upstream", "outcome"},
        "codecove_chore_runs_total": {"chore", "outcome"},
    }
    found = {name: set(dict(labels)) for name, labels in scrape(server)}
    assert {name: found.get(name) for name in promised} == promised


def test_what_the_sandbox_does_is_timed_and_its_containers_are_counted(server: Server, ask_once: None) -> None:
    found = scrape(server)
    assert value(found, "codecove_sandbox_seconds_count", what="execution") >= 1
    assert value(found, "codecove_sandbox_seconds_count", what="boot") >= 1
    alive = sum(value(found, "codecove_containers", state=state) for state in ("idle", "frozen", "asleep"))
    assert alive >= 1
    assert value(found, "codecove_available_memory_bytes") > 2**20
    assert value(found, "codecove_batch_requests", state="waiting") == 0


def test_a_metrics_key_is_needed_when_one_is_set() -> None:
    with started({"COVE_METRICS_KEY": "scrape-key"}) as server:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "scrape-key"}, server.headers):
            assert httpx2.get(f"{server.url}/metrics", headers=headers).status_code == 401
        assert scrape(server, authorization="Bearer scrape-key")
