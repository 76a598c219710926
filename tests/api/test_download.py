"""Files that code has made, as a client gets them."""

import httpx2
import pytest

from tests.support.script import Turn, bash, say
from tests.support.server import Server
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox


def make_file(server: Server, upstream: ScriptedUpstream, command: str) -> str:
    upstream.script(Turn([bash(command)]), Turn([say("done")]))
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "make it"}],
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    }
    answer = httpx2.post(f"{server.url}/v1/messages", json=body, headers=server.headers, trust_env=False, timeout=60)
    result = answer.json()["content"][1]["content"]
    file_id: str = result["content"][0]["file_id"]
    return file_id


def test_made_file_is_downloaded_under_its_name(server: Server, upstream: ScriptedUpstream) -> None:
    file_id = make_file(server, upstream, "printf 'a,b\\n1,2\\n' > \"$OUTPUT_DIR/Größe 1.csv\"")
    answer = httpx2.get(f"{server.url}/v1/files/{file_id}/content", headers=server.headers, trust_env=False)
    assert answer.status_code == 200
    assert answer.content == b"a,b\n1,2\n"
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-length"] == "8"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%201.csv"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_empty_and_large_files_arrive_whole(server: Server, upstream: ScriptedUpstream) -> None:
    empty = make_file(server, upstream, 'touch "$OUTPUT_DIR/empty.txt"')
    large = make_file(server, upstream, 'head -c 20000000 /dev/zero > "$OUTPUT_DIR/large.bin"')
    for file_id, size in ((empty, 0), (large, 20_000_000)):
        answer = httpx2.get(f"{server.url}/v1/files/{file_id}/content", headers=server.headers, trust_env=False)
        assert (answer.status_code, len(answer.content)) == (200, size)
