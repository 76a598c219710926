"""The lists, and the address that follows from them."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from codecove.images.checks import find_checks
from codecove.images.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(ROOT / "image")
LOCKS = [ROOT / "requirements/runtime.txt", ROOT / "requirements/dev.txt", RECIPE.python_lock]

# The documentation of both tool versions.
LIBRARIES = [
    "pandas",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "matplotlib",
    "seaborn",
    "pyarrow",
    "openpyxl",
    "xlrd",
    "xlsxwriter",
    "pillow",
    "python-pptx",
    "python-docx",
    "pypdf",
    "pdfplumber",
    "pypdfium2",
    "pdf2image",
    "pdfkit",
    "tabula-py",
    "reportlab",
    "img2pdf",
    "sympy",
    "mpmath",
    "tqdm",
    "python-dateutil",
    "pytz",
    "joblib",
]
PROGRAMS = {
    "unzip": "unzip",
    "unrar": "unar",
    "7zip": "7zip",
    "bc": "bc",
    "rg": "ripgrep",
    "fd": "fd-find",
    "sqlite": "sqlite3",
}


@pytest.fixture
def copy(tmp_path: Path) -> Recipe:
    shutil.copytree(RECIPE.directory, tmp_path / "image")
    return Recipe(tmp_path / "image")


def locked(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_documented_library_is_listed_locked_and_used_by_a_check(name: str) -> None:
    wanted = {re.split(r"[\[<>=~ #]", line)[0] for line in RECIPE.python_list.read_text().splitlines()}
    assert name in wanted
    assert name in locked(RECIPE.python_lock)
    assert find_checks(RECIPE.checks, [name.replace("-", "_")])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_documented_program_is_listed_and_used_by_a_check(program: str) -> None:
    assert PROGRAMS[program] in RECIPE.debian_packages()
    assert find_checks(RECIPE.checks, [program])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_a_hash_for_everything_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry


def test_the_locks_of_the_server_agree() -> None:
    runtime, dev = (locked(lock) for lock in LOCKS[:2])
    assert runtime.items() <= dev.items()


def test_the_dockerfile_is_made_of_the_same_files() -> None:
    text = (RECIPE.directory / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    assert copied == ["debian.txt python.txt install.sh", "overlay/"]
    assert f"FROM python:{RECIPE.python_version()}-slim-bookworm" in text
    assert "sed 's/#.*//' /tmp/recipe/debian.txt | xargs apt-get install" in text
    assert "sh /tmp/recipe/install.sh" in text


def test_the_same_files_have_the_same_address_wherever_they_are(copy: Recipe) -> None:
    assert copy.image_id() == RECIPE.image_id()
    assert re.fullmatch("[0-9a-f]{16}", copy.image_id())


@pytest.mark.parametrize("name", ["debian.txt", "python.txt", "install.sh", "python-version", "overlay/etc/motd"])
def test_a_changed_file_makes_another_image(copy: Recipe, name: str) -> None:
    before = copy.image_id()
    file = copy.directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "1")
    assert copy.image_id() != before


def test_checks_and_documents_make_no_other_image(copy: Recipe) -> None:
    before = copy.image_id()
    for name in ("README.md", "Dockerfile", "python.in", "checks/pandas.py"):
        (copy.directory / name).write_text("changed")
    assert copy.image_id() == before


def test_an_installed_package_brings_the_recipe_along(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert Recipe(tmp_path / "installed/codecove/images/recipe").image_id() == RECIPE.image_id()
