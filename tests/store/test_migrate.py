import random
import subprocess
import sys
import time
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, make_url, text

from codecove.store.migrate import upgrade
from codecove.store.tables import Table
from codecove.workspaces import DEFAULT_WORKSPACE_ID

UPGRADE = """
import sys
from sqlalchemy import make_url
from codecove.store.migrate import upgrade
upgrade(make_url(sys.argv[1]))
"""


def url(tmp_path: Path) -> URL:
    return make_url(f"sqlite:///{tmp_path}/codecove.db")


def differences(tmp_path: Path) -> list[object]:
    engine = create_engine(url(tmp_path))
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), Table.metadata))
    finally:
        engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    upgrade(url(tmp_path))
    assert differences(tmp_path) == []


def test_a_new_database_has_the_default_workspace(tmp_path: Path) -> None:
    upgrade(url(tmp_path))
    upgrade(url(tmp_path))
    engine = create_engine(url(tmp_path))
    try:
        with engine.connect() as connection:
            assert connection.execute(text("SELECT id, name FROM workspaces")).all() == [
                (DEFAULT_WORKSPACE_ID, "default")
            ]
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    finally:
        engine.dispose()


def test_a_directory_with_odd_characters_in_its_name_does(tmp_path: Path) -> None:
    odd = tmp_path / "100% ünïcode"
    odd.mkdir()
    upgrade(URL.create("sqlite", database=str(odd / "codecove.db")))
    assert (odd / "codecove.db").exists()


def test_servers_that_start_at_once_all_find_the_schema(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", UPGRADE, str(url(tmp_path))], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert differences(tmp_path) == []


def test_a_server_killed_while_migrating_leaves_what_the_next_one_can_use(tmp_path: Path) -> None:
    pick = random.Random(2)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", UPGRADE, str(url(tmp_path))])
        time.sleep(0.1 + pick.random() * 0.4)
        process.kill()
        process.wait()
    upgrade(url(tmp_path))
    assert differences(tmp_path) == []
