"""The version from before the newest pre-step goes on working while that step is applied beside it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import URL

from codecove.store.address import address
from codecove.store.migrate import MIGRATIONS, upgrade
from codecove.store.steps import phase_of
from tests.store import every_table

ROOT = Path(__file__).parents[2]


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the history of this repository is needed: {done.stderr.decode().strip()}")
    return done.stdout


@pytest.fixture(scope="session")
def older_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `src` of the commit before the one that brought the newest pre-step."""
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    newest = next(script.path for script in scripts if phase_of(script.revision) == "pre")
    brought = git("log", "--format=%H", "--diff-filter=A", "--follow", "-1", "--", newest).decode().strip()
    directory = tmp_path_factory.mktemp("older")
    archive = git("archive", f"{brought}^" if brought else "HEAD", "src")
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive, check=True)
    assert not (directory / Path(newest).relative_to(ROOT)).exists()
    return directory / "src"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, older_source: Path) -> Iterator[URL]:
    """Of a database with nothing in it."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "codecove.db"))
        return
    if not (older_source / "codecove/store/address.py").exists():
        pytest.skip("the version before knew SQLite only")
    database = request.getfixturevalue("postgres").new_database()
    with asyncio.Runner() as runner:
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))


def test_older_code_works_on_while_the_schema_is_made_ready_for_this_one(older_source: Path, url: URL) -> None:
    with subprocess.Popen(
        [sys.executable, every_table.__file__, url.render_as_string(hide_password=False)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(older_source), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as older:
        try:
            assert older.stdout is not None
            assert older.stdout.readline().startswith(f"ready {older_source}")
            before = upgrade(address(url), ["pre"])
            assert before.applied
            assert before.pending
            said, _ = older.communicate("go\n", timeout=60)
            assert said.startswith("used ")
            assert older.returncode == 0
        finally:
            older.kill()
