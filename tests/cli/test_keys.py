"""API keys from the command line."""

import stat
from pathlib import Path

import httpx2
import pytest

from tests.cli.cove import invoke, serving


def keys(data_dir: Path, *arguments: str) -> str:
    done = invoke("keys", *arguments, "--data-dir", str(data_dir))
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    secret = keys(data_dir, "create", "laptop").strip()
    assert secret.startswith("cove-")
    assert "\n" not in secret
    listed = keys(data_dir, "list")
    assert "laptop" in listed
    assert "valid" in listed
    assert secret not in listed
    key_id = next(word for word in listed.split() if word.startswith("apikey_"))
    keys(data_dir, "revoke", key_id)
    assert "revoked" in keys(data_dir, "list")
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_quotas_of_a_key_are_set_one_by_one(tmp_path: Path) -> None:
    keys(tmp_path, "create", "laptop", "--containers", "12345", "--storage", "3GiB")
    key_id = next(word for word in keys(tmp_path, "list").split() if word.startswith("apikey_"))
    shown = keys(tmp_path, "set", key_id, "--executions", "678", "--containers", "never")
    assert "678" in shown
    assert "3.0GiB" in shown
    assert "12345" not in shown
    assert keys(tmp_path, "set", key_id) == shown


@pytest.mark.parametrize(
    ("option", "given"),
    [("--containers", "-1"), ("--executions", "many"), ("--requests-per-minute", "9999999999"), ("--storage", "big")],
)
def test_a_quota_that_is_no_number_is_refused_with_its_name(tmp_path: Path, option: str, given: str) -> None:
    done = invoke("keys", "create", "laptop", option, given, "--data-dir", str(tmp_path))
    assert done.exit_code == 2
    assert option in done.stderr
    assert "Traceback" not in done.stderr


def test_secret_is_not_in_the_database(tmp_path: Path) -> None:
    secret = keys(tmp_path, "create", "laptop").strip()
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_unknown_key_can_not_be_revoked(tmp_path: Path) -> None:
    done = invoke("keys", "revoke", "apikey_x", "--data-dir", str(tmp_path))
    assert done.exit_code == 1
    assert "apikey_x" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = invoke("keys", "list", "--data-dir", str(tmp_path / "file/data"))
    assert done.exit_code == 3
    assert "file/data" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sandbox
def test_a_running_server_knows_a_new_key_and_forgets_a_revoked_one(tmp_path: Path, image: Path) -> None:
    with serving(tmp_path) as (process, url):
        secret = keys(tmp_path, "create", "visitor").strip()
        headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
        assert httpx2.get(f"{url}/v1/files", headers=headers, trust_env=False).status_code == 200
        key_id = next(word for word in keys(tmp_path, "list").split() if word.startswith("apikey_"))
        keys(tmp_path, "revoke", key_id)
        assert httpx2.get(f"{url}/v1/files", headers=headers, trust_env=False).status_code == 401
        process.terminate()
        assert process.wait(30) == 0
