"""A server whose database and files are elsewhere: PostgreSQL and S3."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from codecove.demo.process import ServerFailed, ServerProcess, running_server, temporary_data_dir
from tests.support.postgres import Postgres
from tests.support.s3 import S3Server

pytestmark = pytest.mark.sandbox

KEY = "cove-tests"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


@pytest.fixture
async def elsewhere(postgres: Postgres, s3_server: S3Server) -> AsyncIterator[dict[str, str]]:
    """Settings of a server that keeps nothing on its machine but containers."""
    place = s3_server.place(f"server-{uuid.uuid4().hex}")
    async with postgres.new_database() as url:
        yield {
            "COVE_API_KEY": KEY,
            "COVE_DATABASE_URL": url.render_as_string(hide_password=False),
            "COVE_BLOB_URL": f"s3://{place.bucket}/{place.prefix}",
            "COVE_S3_ENDPOINT": place.endpoint,
            "COVE_S3_ACCESS_KEY_ID": place.access_key_id,
            "COVE_S3_SECRET_ACCESS_KEY": place.secret_access_key,
            "COVE_UPLOADS_DOWNLOADABLE": "true",
        }


def client_of(server: ServerProcess) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, headers=HEADERS, trust_env=False, timeout=30)


async def test_files_outlive_the_machine_and_one_server_at_a_time_has_them(
    elsewhere: dict[str, str], tmp_path: Path
) -> None:
    data = bytes(range(256)) * 40_000
    with temporary_data_dir() as one, running_server(one, elsewhere) as server, client_of(server) as http:
        file: dict[str, Any] = http.post("/v1/files", files={"file": ("a.bin", data)}).json()
        assert not list(one.glob("*.db"))
        assert not (one / "blobs").exists()
        refused = pytest.raises(ServerFailed, match="another server is using this database")
        with refused, running_server(tmp_path, elsewhere):
            pass
    with temporary_data_dir() as two, running_server(two, elsewhere) as server, client_of(server) as http:
        assert http.get(f"/v1/files/{file['id']}").json() == file
        assert http.get(f"/v1/files/{file['id']}/content").content == data
        part = http.get(f"/v1/files/{file['id']}/content", headers={"range": "bytes=-5"})
        assert (part.status_code, part.content) == (206, data[-5:])


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("COVE_DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/db", "the database can't be used"),
        ("COVE_DATABASE_URL", "mysql://me@localhost/db", "only sqlite and postgresql"),
        ("COVE_S3_SECRET_ACCESS_KEY", "hush", "the store of files can't be used"),
        ("COVE_BLOB_URL", "gopher://bucket", "expected s3://"),
    ],
)
async def test_what_is_not_there_is_said_at_the_start(
    elsewhere: dict[str, str], tmp_path: Path, setting: str, value: str, problem: str
) -> None:
    wrong = elsewhere | {setting: value}
    with pytest.raises(ServerFailed, match=problem) as raised, running_server(tmp_path, wrong):
        pass
    assert "hush" not in str(raised.value)


async def test_an_upload_whose_store_dies_is_an_error_and_the_next_one_works(
    elsewhere: dict[str, str], s3_server: S3Server
) -> None:
    with temporary_data_dir() as one, running_server(one, elsewhere) as server, client_of(server) as http:
        s3_server.kill()
        try:
            answer = http.post("/v1/files", files={"file": ("a.bin", b"1")})
        finally:
            s3_server.start()
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
        assert http.get("/v1/files").json()["data"] == []
        assert http.post("/v1/files", files={"file": ("a.bin", b"1")}).status_code == 200
