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
from codecove.settings import Settings

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

CHECKS = find_checks(Recipe.find().checks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def container(image: Path) -> AsyncIterator[Container]:
    async with container_of(image, Settings().runtime, Limits()) as container:
        yield container


async def outcome(container: Container, check: Check) -> Outcome:
    [outcome] = [outcome async for outcome in run_checks(container, [check])]
    return outcome


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_the_image_works(container: Container, check: Check) -> None:
    result = await outcome(container, check)
    assert result.passed, result.text
    assert "\n" not in result.text


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("broken.py", "import no_such_module", "No module named 'no_such_module'"),
        ("broken.sh", "false | true\necho went on", "return code 1"),
        ("hungry.py", "print(len(b'x' * 2**33))", "MemoryError"),
    ],
)
async def test_a_failure_says_why(container: Container, tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / name).write_text(text)
    result = await outcome(container, Check(tmp_path / name))
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
