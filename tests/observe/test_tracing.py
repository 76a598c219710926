"""The trace of a request, as a collector gets it by OTLP."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.conftest import body, stream_events
from tests.support.script import Refusal, Turn, bash, say
from tests.support.server import started, wait_until
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox


class Collector:
    """A server that takes traces and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                for resource in sent.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing: the tests' output stays readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def named(self, name: str) -> list[Span]:
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time_unix_nano)


def attributes(span: Span) -> dict[str, str | int]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_a_request_is_one_trace_of_its_turns_and_executions(upstream: ScriptedUpstream) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    environment = {"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": "upstream-key"}
    upstream.script(
        Turn([bash("echo sesame; exit 4")]), Turn([say("Open sesame.")]), Refusal(400, "invalid_request_error")
    )
    with Collector().running() as collector:
        with started(environment | {"COVE_OTLP_ENDPOINT": collector.url}) as server:
            headers = server.headers | {"traceparent": caller}
            with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
                stream_events(client, body())
                client.post("/v1/messages", json=body())
        wait_until(lambda: len(collector.named("request")) == 2, "the server's end sends what is left")
        request, refused = collector.named("request")
        turns, executions = collector.named("model turn"), collector.named("execution")
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert attributes(request)["http.route"] == "/v1/messages"
    assert attributes(request)["http.response.status_code"] == 200
    assert attributes(request)["codecove.request_id"] != attributes(refused)["codecove.request_id"]
    assert [turn.parent_span_id for turn in turns] == [request.span_id, request.span_id, refused.span_id]
    assert [attributes(turn)["codecove.outcome"] for turn in turns] == ["ok", "ok", "400"]
    assert [span.parent_span_id for span in executions] == [request.span_id]
    assert attributes(executions[0])["codecove.return_code"] == 4
    assert turns[2].status.code == Status.STATUS_CODE_ERROR
    assert "sesame" not in str(collector.spans)


def test_a_collector_that_is_away_holds_nothing_up(upstream: ScriptedUpstream) -> None:
    environment = {"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": "upstream-key"}
    upstream.script(Turn([say("Hello.")]))
    with started(environment | {"COVE_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as server:
        answer = httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=body(), timeout=60)
        assert answer.status_code == 200
