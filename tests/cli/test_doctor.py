"""cove doctor: finds what is wrong, says what to do, and finds nothing wrong here."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cove import cove, invoke
from tests.support.server import leftovers
from tests.support.upstream import ScriptedUpstream


def findings(output: str) -> dict[str, dict[str, Any]]:
    return {finding["part"]: finding for finding in json.loads(output)}


def test_what_is_missing_is_bad_and_has_a_remedy(tmp_path: Path) -> None:
    settings = {
        "COVE_DATA_DIR": str(tmp_path / "data"),
        "COVE_IMAGE_DIR": str(tmp_path / "images"),
        "COVE_RUNTIME": "no-such-runtime",
        "COVE_UPSTREAM_URL": "http://127.0.0.1:9",
    }
    done = invoke("doctor", "--json", settings=settings)
    assert done.exit_code == 1
    found = findings(done.stdout)
    for part in ("runtime", "image", "upstream"):
        assert found[part]["verdict"] == "bad"
        assert found[part]["remedy"]
    assert "container" not in found
    told = invoke("doctor", settings=settings).stdout
    assert "no-such-runtime" in told
    assert "checks failed" in told


@pytest.mark.sandbox
def test_this_machine_is_good(tmp_path: Path, image: Path, upstream: ScriptedUpstream) -> None:
    settings = {
        "COVE_DATA_DIR": str(tmp_path / "data"),
        "COVE_UPSTREAM_URL": upstream.url,
        "COVE_UPSTREAM_API_KEY": "upstream-key",
    }
    done = cove("doctor", "--json", settings=settings)
    found = findings(done.stdout)
    assert {part: finding for part, finding in found.items() if finding["verdict"] == "bad"} == {}
    assert done.returncode == 0
    limits = {
        "memory limit",
        "disk limit",
        "process limit",
        "output limit",
        "time limit",
        "other limits",
        "network",
        "user inside",
    }
    assert limits | {"container", "clean-up", "upstream"} <= set(found)
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "data").iterdir()) == []
