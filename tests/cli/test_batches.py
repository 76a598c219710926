"""`cove batches` on a server that runs: a batch is listed, watched, read and removed."""

import json
import time
from collections.abc import Iterator

import httpx2
import pytest
from typer.testing import CliRunner, Result

from codecove.cli.app import app
from tests.cli.cove import environment, serving

pytestmark = pytest.mark.sandbox

KEY = "cove-batches-tests"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("batches"), COVE_API_KEY=KEY) as (process, url):
        yield url
        process.terminate()
        assert process.wait(60) == 0


def test_a_batch_is_listed_watched_read_and_removed(url: str) -> None:
    def run(*arguments: str) -> Result:
        settings = environment({"COVE_URL": url, "COVE_API_KEY": KEY})
        return CliRunner().invoke(app, ["batches", *arguments], env=settings, catch_exceptions=False)

    params = {"model": "codecove/blocks", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    body = {"requests": [{"custom_id": f"r{number}", "params": params} for number in range(3)]}
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    batch_id = httpx2.post(f"{url}/v1/messages/batches", headers=headers, json=body, trust_env=False).json()["id"]
    deadline = time.monotonic() + 60
    while "processing_status: ended" not in (shown := run("show", batch_id).stdout):
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
    assert "succeeded: 3\n" in shown
    assert "processing_status: ended" in run("cancel", batch_id).stdout
    listed = run("ls").stdout
    assert batch_id in listed
    assert "ended" in listed
    lines = [json.loads(line) for line in run("results", batch_id).stdout.splitlines()]
    assert [line["custom_id"] for line in lines] == ["r0", "r1", "r2"]
    assert run("rm", batch_id).exit_code == 0
    gone = run("show", batch_id)
    assert (gone.exit_code, batch_id in gone.stderr) == (1, True)
