"""What every test can have: the built image, a strict scripted model, real servers, the official client."""

import contextlib
import gc
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anthropic
import pytest
from sqlalchemy import URL

from tests.support.postgres import Postgres, running_postgres
from tests.support.s3 import S3Server, running_s3
from tests.support.server import Server, Servers
from tests.support.sqlite import new_sqlite
from tests.support.upstream import ScriptedUpstream, running

# The clients under test read these, and so do the HTTP libraries below them.
for _name in [name for name in os.environ if name.startswith("ANTHROPIC_") or name.upper().endswith("_PROXY")]:
    os.environ.pop(_name)

_LOOPBACK = ("127.", "::1", "localhost")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "test a server that runs already")
    group.addoption("--base-url", help="where it answers; it must have the scripted model as its upstream")
    group.addoption("--api-key", help="a key it accepts")
    group.addoption("--report", action="store_true", help="write docs/compatibility.md from this run")
    group.addoption("--upstream-port", type=int, default=0, help="port of the scripted model (its key: upstream-key)")


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files of one run: apart from those of other runs at the same time, and gone when it ends.

    pytest's own directory is shared by all runs of a user, and one that keeps nothing clears it for all of them.
    """
    if hasattr(config, "workerinput"):
        return  # a worker's are within those of the run that started it
    root = tempfile.mkdtemp(prefix="codecove-tests-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = root
    config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))


def pytest_collection(session: pytest.Session) -> None:
    """What is imported and collected stays: not to look for garbage in it saves a third of the time that it takes."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: the others then fill up what is left of the workers' time.

    `make test` deals them out in this order.
    """
    rank = {f"tests/{name}.py": place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


# More than ten seconds each; `make test ARGS="--durations=0"` tells when the list has become wrong.
_LONGEST = (
    "sandbox/test_warm_python",
    "conformance/test_examples",
    "sandbox/test_limits",
    "conformance/test_clients",
    "sandbox/test_life",
    "sandbox/test_sleep",
    "security/test_warm_interpreter",
    "e2e/test_life",
    "images/test_checks",
    "e2e/test_demo",
    "sandbox/test_crash",
    "sandbox/test_template",
    "batches/test_service",
    "conformance/test_error_codes",
    "e2e/test_settings",
    "cli/test_serve",
    "api/test_storage",
    "tools/test_python",
    "e2e/test_killed",
    "conformance/test_containers_and_files",
    "conformance/test_python_files",
    "sandbox/test_run",
    "conformance/test_loop",
    "batches/test_killed",
    "containers/test_local_host",
    "e2e/test_no_room",
    "e2e/test_without_root",
    "cli/test_terminal",
    "cli/test_doctor",
    "cli/test_remote",
    "usage/test_server",
    "observe/test_metrics",
    "conformance/test_quickstart",
    "api/test_expiry",
    "files/test_upkeep",
)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches for another machine."""
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the session."""
    with running_postgres() as postgres:
        yield postgres


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    """A database of each kind: a test that uses this runs over both."""
    if request.param == "sqlite":
        yield new_sqlite(tmp_path)
        return
    async with request.getfixturevalue("postgres").database() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session. A test that kills it starts it again."""
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def image() -> Path:
    """The root file system of the built image."""
    from codecove.images.library import Library  # noqa: PLC0415  (most tests do without an image)
    from codecove.settings import Settings  # noqa: PLC0415

    settings = Settings()
    try:
        return Library(settings.image_dir).resolve(settings.image).rootfs
    except Exception as error:  # noqa: BLE001  (whatever it is, the remedy is the same)
        pytest.fail(f"no sandbox image: run `make setup` or `cove image build` first ({error})", pytrace=False)


@pytest.fixture(scope="session")
def upstream_server(pytestconfig: pytest.Config) -> Iterator[ScriptedUpstream]:
    """One scripted model for the session: every server under test asks it."""
    with running(ScriptedUpstream(), port=pytestconfig.getoption("--upstream-port")) as upstream:
        yield upstream


@pytest.fixture
def upstream(upstream_server: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The scripted model, with nothing to say yet. Fails the test if anything that reached it was invalid."""
    upstream_server.reset()
    yield upstream_server
    assert upstream_server.violations == []
    assert upstream_server.unplayed == 0, f"{upstream_server.unplayed} turns of the script were never asked for"


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config, upstream_server: ScriptedUpstream) -> Iterator[Servers]:
    base_url = pytestconfig.getoption("--base-url")
    given = Server(base_url.rstrip("/"), pytestconfig.getoption("--api-key") or "") if base_url else None
    with contextlib.ExitStack() as stack:
        yield Servers(stack, upstream_server.url, given)


@pytest.fixture
def server_with(servers: Servers, upstream: ScriptedUpstream) -> Callable[[Mapping[str, str]], Server]:
    """A server with other settings than the usual ones: `server_with({"COVE_MAX_TURNS": "2"})`."""

    def get(environment: Mapping[str, str]) -> Server:
        server = servers.get(environment)
        if server is None:
            pytest.skip(f"needs a server with {environment}")
        return server

    return get


@pytest.fixture
def server(servers: Servers, upstream: ScriptedUpstream) -> Server:
    """A server with the scripted model behind it."""
    server = servers.get()
    assert server is not None
    return server


@pytest.fixture
def client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=server.url, api_key=server.api_key, max_retries=0, timeout=60
    ) as client:
        yield client
