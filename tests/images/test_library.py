"""The directory that all servers of a machine share."""

import multiprocessing
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from codecove.images.errors import ImageError, ImageNotFound
from codecove.images.library import Image, Library
from codecove.images.recipe import Recipe

ID = "0123456789abcdef"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "images")


def make(library: Library, image_id: str = ID, *, name: str | None = None, created: str = "2026-01-01") -> Image:
    with library.making() as place:
        (place / "rootfs").mkdir()
        return library.keep(place, image_id, {"created": created}, name=name)


def test_an_image_is_found_by_its_id_and_its_name(library: Library) -> None:
    image = make(library, name="mine")
    assert library.resolve(ID) == library.resolve("mine") == image
    assert image.rootfs.is_dir()
    assert image.rootfs.parent.stat().st_mode & 0o777 == 0o755


def test_default_is_the_image_of_the_current_lists(library: Library) -> None:
    with pytest.raises(ImageNotFound, match="run `cove image build`"):
        library.resolve("default")
    make(library, Recipe.find().image_id())
    assert library.resolve().id == Recipe.find().image_id()
    assert library.resolve().name == "default"


def test_an_unknown_image_names_those_there_are(library: Library) -> None:
    make(library, name="mine")
    with pytest.raises(ImageNotFound, match=r"no image 'yours' .*default, mine.*cove image import"):
        library.resolve("yours")


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "../../etc/passwd"])
def test_a_name_leads_nowhere_else(library: Library, name: str) -> None:
    make(library)
    with pytest.raises(ImageNotFound):
        library.resolve(name)


@pytest.mark.parametrize("name", ["default", ID, "Upper", "a/b", ".x", "", "a" * 65])
def test_some_names_are_refused(library: Library, name: str) -> None:
    with pytest.raises(ImageError, match="can't be the name of an image"):
        library.check_name(name)


def test_a_name_can_move_to_another_image(library: Library) -> None:
    make(library, name="mine")
    other = make(library, "f" * 16, name="mine")
    assert library.resolve("mine").id == other.id


def test_images_are_listed_newest_first_and_nothing_else_is(library: Library) -> None:
    assert library.list() == []
    make(library, created="2026-01-01")
    make(library, "f" * 16, created="2026-02-01", name="new")
    (library.directory / "notes").mkdir()
    (library.directory / ("e" * 16)).mkdir()
    assert [image.name for image in library.list()] == ["new", None]


def test_an_image_that_failed_leaves_nothing(library: Library) -> None:
    with pytest.raises(RuntimeError), library.making() as place:
        (place / "rootfs").mkdir()
        raise RuntimeError
    assert {path.name for path in library.directory.iterdir()} == {".lock"}


def test_what_a_crash_left_is_removed_by_the_next_one(library: Library) -> None:
    (library.directory / ".new-crashed/rootfs").mkdir(parents=True)
    make(library)
    assert list(library.directory.glob(".new-*")) == []


def hold(directory: Path, holding: Event, release: Event) -> None:
    with Library(directory).making():
        holding.set()
        release.wait(30)


def test_two_processes_take_turns(library: Library) -> None:
    context = multiprocessing.get_context("spawn")
    holding, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(library.directory, holding, release))
    process.start()
    assert holding.wait(30)
    waiting = threading.Thread(target=make, args=(library,))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    release.set()
    waiting.join(30)
    process.join(30)
    assert library.resolve(ID).id == ID


def test_a_removed_image_takes_its_names_along(library: Library) -> None:
    image = make(library, name="mine")
    library.remove(image)
    assert library.list() == []
    with pytest.raises(ImageNotFound):
        library.resolve("mine")
