"""Everything that the image promises, used inside the sandbox; and that a failure is told as one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from codecove.images.checks import Check, Outcome, container_of, find_checks, run_checks
from codecove.images.library import Library
from codecove.images.recipe import Recipe
from codecove.sandbox.host import Container
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from tests.support.host import host_config

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

CHECKS = find_checks(Recipe.find().checks)
OF_THE_KERNEL = {"7zip", "java", "joblib", "pdfkit", "shell_tools", "sqlite", "standard_library", "unrar", "user"}
"""Those that ask more of the kernel than files and memory. Whether a library is whole is seen as well under crun, and
for a third of the processor time: the others run under gVisor in `make soak`, and in `cove image test`."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def under_crun(image: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Container]:
    async with LocalHost(host_config(tmp_path_factory.mktemp("crun"), image, runtime="crun")) as host:
        yield await host.create("crun")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def under_gvisor(image: Path) -> AsyncIterator[Container]:
    async with container_of(image, "runsc", Limits()) as container:
        yield container


async def outcome(container: Container, check: Check) -> Outcome:
    [outcome] = [outcome async for outcome in run_checks(container, [check])]
    return outcome


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_the_image_works(under_crun: Container, check: Check) -> None:
    result = await outcome(under_crun, check)
    assert result.passed, result.text
    assert "\n" not in result.text


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.name, marks=() if check.name in OF_THE_KERNEL else pytest.mark.soak)
        for check in CHECKS
    ],
)
async def test_it_works_under_gvisor_too(under_gvisor: Container, check: Check) -> None:
    result = await outcome(under_gvisor, check)
    assert result.passed, result.text


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("broken.py", "import no_such_module", "No module named 'no_such_module'"),
        ("broken.sh", "false | true\necho went on", "return code 1"),
        ("hungry.py", "print(len(b'x' * 2**33))", "MemoryError"),
    ],
)
async def test_a_failure_says_why(under_gvisor: Container, tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / name).write_text(text)
    result = await outcome(under_gvisor, Check(tmp_path / name))
    assert not result.passed
    assert told in result.text


async def test_an_unknown_check_is_told_from_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no check is named 'nonsense'; there are: .*pandas"):
        find_checks(Recipe.find().checks, ["nonsense"])


async def test_the_manifest_has_what_the_locks_have(image: Path) -> None:
    manifest = Library(image.parents[1]).resolve(image.parent.name).manifest
    if manifest["kind"] != "built":
        pytest.skip("the settings name an imported image")
    lock = Recipe.find().python_lock.read_text()
    for name, version in manifest["python_packages"].items():
        if name != "pycairo":  # Debian's
            assert f"{re.sub('[._]', '-', name).lower()}=={version} " in lock
    assert {"python3", "unar", "wkhtmltopdf"} <= manifest["debian_packages"].keys()
    assert manifest["python"]["wanted"] == Recipe.find().python_version()
    assert manifest["python"]["got"].startswith("3.11.")
    assert manifest["python"]["reason"]
