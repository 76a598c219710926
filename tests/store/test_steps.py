"""Steps to a newer schema, as an operator meets them: before, beside and after the older version."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import URL, NullPool, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from codecove.store.address import address
from codecove.store.database import Database, DatabaseUnavailable
from codecove.store.migrate import MIGRATIONS, prepare, status, upgrade
from codecove.store.steps import SchemaMismatch, phase_of, progress
from tests.cli.cove import invoke
from tests.store.every_table import use_every_table

PRE = '''"""A column more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9001", {last!r}
def upgrade():
    op.add_column("workspaces", sa.Column("colour", sa.String(), nullable=False, server_default="grey"))
'''
POST = '''"""An index less."""
from alembic import op
revision, down_revision, depends_on = "post_9001", {last_post!r}, "9001"
def upgrade():
    op.drop_index("ix_containers_state", table_name="containers")
'''
LATER_PRE = '''"""A table more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9002", "9001"
def upgrade():
    op.create_table("colours", sa.Column("id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("id"))
'''
ADDS = re.compile(
    r"\s*(CREATE (TABLE|(UNIQUE )?INDEX)|ALTER TABLE \S+ ADD COLUMN|UPDATE|INSERT|SELECT|PRAGMA|BEGIN|SET LOCAL)\b"
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    """Of a database with nothing in it."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "codecove.db"))
        return
    async with request.getfixturevalue("postgres").new_database() as url:
        yield url


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a later version."""
    directory = tmp_path / "newer"
    shutil.copytree(MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
    chains = {phase: [step for step in steps() if phase_of(step) == phase] for phase in ("pre", "post")}
    last, last_post = chains["pre"][-1], chains["post"][-1] if chains["post"] else None
    for name, content in {"9001": PRE, "post_9001": POST, "9002": LATER_PRE}.items():
        (directory / f"versions/{name}_next.py").write_text(content.format(last=last, last_post=last_post))
    return directory


def steps() -> list[str]:
    """The ids of this version's, in order."""
    return [step.id for step in progress(ScriptDirectory(str(MIGRATIONS)), []).pending]


async def test_the_code_of_today_runs_on_a_schema_that_a_later_version_has_made_ready(url: URL, newer: Path) -> None:
    async with Database(url) as database:
        await asyncio.to_thread(upgrade, address(url), ["pre"], newer)
        assert await use_every_table(database)
    async with Database(url) as database:
        assert await use_every_table(database)
    found = await asyncio.to_thread(status, address(url))
    assert (found.unknown, found.pending) == (["9002"], [])
    with pytest.raises(SchemaMismatch, match="newer version"):
        await asyncio.to_thread(upgrade, address(url), ["pre", "post"])


async def test_a_later_version_leaves_its_post_steps_to_the_operator(url: URL, newer: Path) -> None:
    async with Database(url):
        pass
    before = await asyncio.to_thread(prepare, address(url), newer)
    assert [step.id for step in before.pending] == ["9001", "9002", "post_9001"]
    found = await asyncio.to_thread(status, address(url), newer)
    assert [step.id for step in found.pending] == ["post_9001"]
    await asyncio.to_thread(upgrade, address(url), ["post"], newer)
    found = await asyncio.to_thread(status, address(url), newer)
    assert (found.unknown, found.pending) == ([], [])


async def test_after_a_post_step_the_older_version_does_not_start(url: URL, newer: Path) -> None:
    await asyncio.to_thread(upgrade, address(url), ["pre", "post"], newer)
    with pytest.raises(DatabaseUnavailable, match="install the newer one again"):
        async with Database(url):
            pass


async def test_a_new_database_gets_all_steps_at_once(url: URL, newer: Path) -> None:
    assert (await asyncio.to_thread(prepare, address(url), newer)).is_new
    found = await asyncio.to_thread(status, address(url), newer)
    pre, post = ([step for step in steps() if phase_of(step) == phase] for phase in ("pre", "post"))
    assert [step.id for step in found.applied] == [*pre, "9001", "9002", *post, "post_9001"]


async def test_post_steps_alone_wait_for_the_pre_steps(url: URL, newer: Path) -> None:
    async with Database(url):
        pass
    with pytest.raises(SchemaMismatch, match="9001 is not applied yet"):
        await asyncio.to_thread(upgrade, address(url), ["post"], newer)


async def test_a_step_that_fails_leaves_the_schema_as_it_was(url: URL, newer: Path) -> None:
    async with Database(url) as database:
        broken = newer / "versions/9002_next.py"
        broken.write_text(broken.read_text() + "    raise OSError('power cut')\n")
        with pytest.raises(OSError, match="power cut"):
            await asyncio.to_thread(upgrade, address(url), ["pre"], newer)
        assert (await asyncio.to_thread(status, address(url), newer)).applied[-1].id == steps()[-1]
        assert await use_every_table(database)


async def test_pre_steps_only_add(url: URL) -> None:
    """Whatever takes away or changes, older code may miss."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await asyncio.to_thread(upgrade, address(url), ["pre"])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    changes = [statement for statement in said if "alembic_version" not in statement]
    assert any("CREATE TABLE" in statement for statement in changes)
    assert [statement for statement in changes if not ADDS.match(statement)] == []


def test_each_phase_is_one_chain_and_no_pre_step_waits_for_a_post_step() -> None:
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    for script in scripts:
        before = script.down_revision
        assert before is None or (isinstance(before, str) and phase_of(before) == phase_of(script.revision))
        assert phase_of(script.revision) == "post" or not script.dependencies, script.path
    for phase in ("pre", "post"):
        chain = [script for script in scripts if phase_of(script.revision) == phase]
        assert len([script for script in chain if script.is_head]) == bool(chain), (
            f"two steps follow the same {phase}-step"
        )


def test_the_commands_apply_and_show_steps(tmp_path: Path) -> None:
    data_dir = str(tmp_path / "data")
    assert "pending" in invoke("database", "status", "--data-dir", data_dir).stdout
    done = invoke("database", "upgrade", "--pre", "--data-dir", data_dir)
    assert "pre 0001: The first schema" in done.stdout
    done = invoke("database", "upgrade", "--data-dir", data_dir)
    assert "pending" not in invoke("database", "status", "--data-dir", data_dir).stdout
    assert invoke("database", "upgrade", "--data-dir", data_dir).stdout == "The schema is this version's.\n"


async def test_a_database_of_something_else_is_named_in_one_line(url: URL) -> None:
    place = address(url)
    engine = create_async_engine(place.url, connect_args=place.connect_args, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE workspaces (name VARCHAR)"))
    await engine.dispose()
    with pytest.raises(DatabaseUnavailable, match="workspaces"):
        async with Database(url):
            pass
