"""The Files API of a real server, with the official client and over plain HTTP."""

import hashlib
import io
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anthropic
import httpx2
import pytest

from codecove.api.download import Span, requested_span
from tests.support.server import Server

pytestmark = pytest.mark.sandbox

MIB = 2**20
BIG = 100 * MIB
SETTINGS = {"COVE_UPLOADS_DOWNLOADABLE": "true", "COVE_MAX_FILE_SIZE": str(BIG)}


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-4", Span(0, 5)),
        ("bytes=5-", Span(5, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-30", Span(0, 10)),
        ("bytes=9-99999999", Span(9, 10)),
        ("Bytes=0-0", Span(0, 1)),
        # Of several ranges, and of what is no range, all is sent.
        ("bytes=0-1,5-6", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("lines=1-2", None),
    ],
)
def test_a_range_means_these_bytes(header: str | None, span: Span | None) -> None:
    assert requested_span(header, 10) == span


@pytest.fixture
def server(server_with: Callable[[Mapping[str, str]], Server]) -> Server:
    return server_with(SETTINGS)


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, headers=server.headers, trust_env=False, timeout=60) as client:
        yield client


def upload(http: httpx2.Client, data: bytes, name: str = "a.bin", **fields: str) -> dict[str, Any]:
    answer = http.post("/v1/files", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json())


def error_of(answer: httpx2.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert body["type"] == "error"
    return answer.status_code, body["error"]["type"], body["error"]["message"]


@pytest.mark.parametrize("name", ["数据 2026.csv", "Größe.xlsx", "📈 plot.png", "x" * 255, "a'b (1).txt", "%41.txt"])
def test_names_survive_the_way_there_and_back(client: anthropic.Anthropic, http: httpx2.Client, name: str) -> None:
    file = client.beta.files.upload(file=(name, b"1,2\n"))
    assert (file.filename, file.size_bytes) == (name, 4)
    assert client.beta.files.retrieve_metadata(file.id) == file
    disposition = http.get(f"/v1/files/{file.id}/content").headers["content-disposition"]
    encoded = disposition.removeprefix("attachment; filename*=utf-8''")
    assert httpx2.URL(f"http://x/?name={encoded}").params["name"] == name
    assert client.beta.files.delete(file.id).id == file.id


@pytest.mark.parametrize("name", ["a/b.txt", "a\\b", "a:b", "x" * 256, "..", "a\x07b", "a|b"])
def test_forbidden_names_are_refused(http: httpx2.Client, name: str) -> None:
    head = f'--b\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n1\r\n--b--\r\n'
    answer = http.post("/v1/files", content=head.encode(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert error_of(answer)[:2] == (400, "invalid_request_error")


def test_the_newest_client_pages_through_all_files(client: anthropic.Anthropic, http: httpx2.Client) -> None:
    made = [upload(http, str(number).encode())["id"] for number in range(7)]
    listed = [file.id for file in client.beta.files.list(limit=3)]
    assert listed[:7] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert [file.id for file in client.beta.files.list(ids=[made[1], made[4], "file_nothing"])] == [made[4], made[1]]


def test_an_older_client_pages_both_ways(http: httpx2.Client) -> None:
    made = [upload(http, str(number).encode())["id"] for number in range(5)][::-1]
    page = http.get("/v1/files", params={"limit": 2, "after_id": made[1]}).json()
    assert [file["id"] for file in page["data"]] == made[2:4]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[2], made[3], True)
    back = http.get("/v1/files", params={"limit": 2, "before_id": made[3]}).json()
    assert [file["id"] for file in back["data"]] == made[1:3]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "page=x", "after_id=x", "ids=a&limit=1", "before_id=a&after_id=b"]
)
def test_wrong_queries_are_refused(http: httpx2.Client, query: str) -> None:
    assert error_of(http.get(f"/v1/files?{query}"))[:2] == (400, "invalid_request_error")


@pytest.mark.parametrize("expiry_first", [True, False])
def test_an_upload_may_say_when_it_expires(http: httpx2.Client, expiry_first: bool) -> None:
    parts = [
        b'--b\r\ncontent-disposition: form-data; name="expires_in_seconds"\r\n\r\n3600\r\n',
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n1\r\n',
    ]
    body = b"".join(parts if expiry_first else parts[::-1]) + b"--b--\r\n"
    answer = http.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=5)


@pytest.mark.parametrize("fields", [{"expires_in_seconds": "3599"}, {"expires_in_seconds": "x"}, {"colour": "red"}])
def test_a_wrong_form_leaves_no_file(http: httpx2.Client, fields: dict[str, str]) -> None:
    before = http.get("/v1/files").json()["first_id"]
    answer = http.post("/v1/files", files={"file": ("a", b"1")}, data=fields)
    assert error_of(answer)[:2] == (400, "invalid_request_error")
    assert next(iter(fields)) in error_of(answer)[2]
    assert http.get("/v1/files").json()["first_id"] == before


def test_two_files_in_a_form_are_refused(http: httpx2.Client) -> None:
    answer = http.post("/v1/files", files=[("file", ("a", b"1")), ("file", ("b", b"2"))])
    assert error_of(answer) == (400, "invalid_request_error", "file: the form must have one file")


def test_a_range_of_the_content_is_sent(http: httpx2.Client) -> None:
    data = random.Random(1).randbytes(3 * MIB)
    file = upload(http, data)
    url = f"/v1/files/{file['id']}/content"
    whole = http.get(url)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["accept-ranges"] == "bytes"
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(data).hexdigest()}"'
    part = http.get(url, headers={"range": "bytes=1000-2000999", "if-range": etag})
    assert (part.status_code, part.content) == (206, data[1000:2001000])
    assert part.headers["content-range"] == f"bytes 1000-2000999/{len(data)}"
    assert part.headers["content-length"] == "2000000"
    assert http.get(url, headers={"range": "bytes=5-9", "if-range": '"other"'}).status_code == 200
    assert http.get(url, headers={"range": "bytes=0-1,5-9"}).content == data
    beyond = http.get(url, headers={"range": f"bytes={len(data)}-"})
    assert error_of(beyond)[:2] == (416, "invalid_request_error")
    assert beyond.headers["content-range"] == f"bytes */{len(data)}"
    head = http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


def peak_memory(pid: int, work: Callable[[], None]) -> int:
    """By how many bytes the memory of a process grew while something was done."""

    def memory(field: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024

    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from now on
    before = memory("VmRSS")
    work()
    return memory("VmHWM") - before


class Repeated(io.RawIOBase):
    """A long file that takes no memory here."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = bytes(min(self._left, MIB if size < 0 else size))
        self._left -= len(data)
        return data


def test_a_big_file_does_not_pass_through_memory_whole(server: Server, http: httpx2.Client) -> None:
    if server.process is None:
        pytest.skip("needs a server of our own")
    files: list[dict[str, Any]] = []

    def send() -> None:
        answer = http.post("/v1/files", files={"file": ("big", cast("Any", Repeated(BIG)))})
        files.append(answer.json())

    def fetch() -> None:
        with http.stream("GET", f"/v1/files/{files[0]['id']}/content") as answer:
            assert sum(len(chunk) for chunk in answer.iter_bytes()) == BIG

    assert peak_memory(server.process.pid, send) < 64 * MIB
    assert files[0]["size_bytes"] == BIG
    assert peak_memory(server.process.pid, fetch) < 64 * MIB


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_over_the_limit_is_refused(http: httpx2.Client, declared: bool) -> None:
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(BIG // MIB + 2):
            yield bytes(MIB)
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    if declared:
        headers["content-length"] = str(sum(len(piece) for piece in body()))
    answer = http.post("/v1/files", content=body(), headers=headers)
    assert error_of(answer)[:2] == (413, "request_too_large")


def test_files_sent_at_once_all_arrive(http: httpx2.Client) -> None:
    found: dict[int, bytes] = {}

    def send(number: int) -> None:
        file = upload(http, str(number).encode() * 1000, f"{number}.txt")
        found[number] = http.get(f"/v1/files/{file['id']}/content").content

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number).encode() * 1000 for number in range(20)}
