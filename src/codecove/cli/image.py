"""cove image: build, list, show, import and test the root file systems that containers start from."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.building import building
from codecove.cli.configuration import as_root, fail, load_settings
from codecove.images.build import build as build_image
from codecove.images.checks import Check, Outcome, container_of, find_checks, run_checks
from codecove.images.errors import ImageError
from codecove.images.importing import import_archive
from codecove.images.library import DEFAULT, Image, Library
from codecove.images.recipe import Recipe
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.limits import Limits
from codecove.settings import Settings

app = typer.Typer(name="image", help="Build, list, show, import and test sandbox images.", no_args_is_help=True)

_console = Console()
_ImageDir = Annotated[Path | None, typer.Option("--image-dir", help="Where the machine's sandbox images are.")]
_Name = Annotated[str, typer.Argument(help="A name or an id, as `cove image list` shows them.")]


@app.command()
def build(
    again: Annotated[bool, typer.Option("--again", help="Make it anew, to take in Debian's updates.")] = False,
    image_dir: _ImageDir = None,
) -> None:
    """Build the default image from the lists, unless it is there already."""
    as_root()
    library = Library(load_settings(image_dir=image_dir).image_dir)
    try:
        with building(_console) as report:
            image = build_image(library, Recipe.find(), report, again=again)
    except ImageError as error:
        fail(f"The image could not be built: {error}")
    _console.print(f"Image [bold]{image.id}[/] is ready: {image.rootfs}", soft_wrap=True)


@app.command("list")
def list_images(image_dir: _ImageDir = None) -> None:
    """List the images of this machine."""
    library = Library(load_settings(image_dir=image_dir).image_dir)
    images = library.list()
    if not images:
        typer.echo(f"No images in {library.directory} yet: cove image build", err=True)
        return
    table = Table("Id", "Name", "Kind", "Made", "Size", "Python")
    for image in images:
        name = image.name or "(lists have changed)"
        table.add_row(image.id, name, image.manifest["kind"], image.manifest["created"], _size(image), _python(image))
    _console.print(table)


@app.command()
def show(name: _Name = DEFAULT, image_dir: _ImageDir = None) -> None:
    """Print an image's manifest as JSON: where it is, and the version of everything in it."""
    image = _resolve(Library(load_settings(image_dir=image_dir).image_dir), name)
    facts = {"id": image.id, "name": image.name, "rootfs": str(image.rootfs), **image.manifest}
    typer.echo(json.dumps(facts, indent=2))


@app.command("import")
def import_image(
    archive: Annotated[Path, typer.Argument(help="A tar archive of a root file system, as by `docker export`.")],
    name: Annotated[str, typer.Option("--name", help="What to call it: `cove serve --image NAME` then uses it.")],
    image_dir: _ImageDir = None,
) -> None:
    """Take any root file system as an image."""
    as_root()
    library = Library(load_settings(image_dir=image_dir).image_dir)
    try:
        with _console.status(f"Unpacking {archive}"):
            image, missing = import_archive(library, archive, name)
    except ImageError as error:
        fail(f"The image could not be imported: {error}")
    for sentence in missing:
        typer.echo(f"warning: {sentence}", err=True)
    _console.print(f"Image [bold]{name}[/] ({image.id}) is ready. Start a server on it: cove serve --image {name}")


@app.command()
def test(
    checks: Annotated[list[str] | None, typer.Argument(help="Run these checks only.")] = None,
    name: Annotated[
        str | None, typer.Option("--image", help="A name or an id, in place of the settings' image.")
    ] = None,
    image_dir: _ImageDir = None,
) -> None:
    """Use every listed library and program once, inside the sandbox. Exit code 1 if one fails."""
    as_root()
    settings = load_settings(image_dir=image_dir, image=name)
    image = _resolve(Library(settings.image_dir), settings.image)
    try:
        chosen = find_checks(Recipe.find().checks, checks or ())
    except ValueError as error:
        fail(str(error))
    try:
        outcomes = asyncio.run(_test(image, settings, chosen))
    except SandboxError as error:
        fail(f"The sandbox can't run: {error}", "`cove doctor` says more.")
    failed = [outcome for outcome in outcomes if not outcome.passed]
    seconds = sum(outcome.seconds for outcome in outcomes)
    _console.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} work; {seconds:.0f} s")
    if failed:
        raise typer.Exit(1)


async def _test(image: Image, settings: Settings, checks: Sequence[Check]) -> list[Outcome]:
    limits = Limits(
        memory_bytes=settings.memory,
        disk_bytes=settings.disk,
        cpus=settings.cpus,
        processes=settings.processes,
        open_files=settings.open_files,
    )
    outcomes: list[Outcome] = []
    async with container_of(image.rootfs, settings.runtime, limits) as container:
        with _console.status("Starting") as status:
            async for outcome in run_checks(container, checks):
                status.update(f"{len(outcomes) + 1} of {len(checks)}")
                outcomes.append(outcome)
                mark = "[green]ok  [/]" if outcome.passed else "[red]FAIL[/]"
                _console.print(f"{mark} {outcome.check.name:<18}", f"{outcome.seconds:5.1f} s ", end=" ")
                _console.print(outcome.text, markup=False, highlight=False, soft_wrap=True)
    return outcomes


def _resolve(library: Library, name: str) -> Image:
    try:
        return library.resolve(name)
    except ImageError as error:
        fail(str(error))


def _size(image: Image) -> str:
    return f"{image.manifest['size_bytes'] / 1e9:.2f} GB"


def _python(image: Image) -> str:
    python: dict[str, Any] = image.manifest.get("python", {})
    return str(python.get("got", "as imported"))
