"""Files and folders, to a container and out of it. Links are never followed, in neither direction."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import httpx2
import typer

from codecove.cli import transfer
from codecove.cli.client import Client, Json, RequestFailed, segment


def files_path(container_id: str, path: str) -> str:
    """The endpoint of an absolute path in a container."""
    names = os.fsencode(path).decode("utf-8", "surrogateescape").split("/")
    return f"/v1/containers/{segment(container_id)}/files{'/'.join(segment(name) for name in names)}"


def put(client: Client, local: Path, container_id: str, path: str) -> None:
    """Copy a local file or folder into a container: under its own name if `path` is a directory or ends with a slash.

    Of a folder, empty directories and what is neither file nor directory are left out, the latter with a message.
    """
    if path.endswith("/") or _is_directory(client, container_id, path):
        path = f"{path.rstrip('/')}/{local.resolve().name}"
    if not local.is_dir():
        _put_file(client, local, container_id, path)
        return
    for file in _files_below(local):
        inside = PurePosixPath(path, *file.relative_to(local).parts)
        _put_file(client, file, container_id, str(inside))


def fetch(client: Client, container_id: str, path: str, target: Path, *, force: bool) -> None:
    """Copy a file or a folder out of a container: under its own name if `target` is a directory.

    A folder is put into `target`, which is made; whatever names a program chose, nothing is written elsewhere.
    """
    if target.is_dir():
        name = PurePosixPath(path).name
        if not _is_plain(name) or name.startswith("."):
            raise RequestFailed(f"{path}: say what it is to be called here.")
        target /= name
    left = 0
    waiting = [(path, target)]
    while waiting:
        inside, here = waiting.pop()
        with client.stream("GET", files_path(container_id, inside)) as answer:
            if not _is_listing(answer):
                left += not _save(answer, here, force=force)
                continue
            answer.read()
            listing: Json = answer.json()
        _make_directory(here)
        left += listing["truncated"]
        if listing["truncated"]:
            typer.echo(f"{transfer.printable(inside)} has too many entries: not all are copied", err=True)
        waiting += [(f"{inside.rstrip('/')}/{name}", here / name) for name in _names(listing)]
    if left:
        raise RequestFailed("Not everything was copied.")


def _put_file(client: Client, local: Path, container_id: str, path: str) -> None:
    with transfer.reading(local) as file:
        client.json("PUT", files_path(container_id, path), content=iter(file))


def _files_below(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                typer.echo(f"left out: {transfer.printable(str(path))} is neither a file nor a directory", err=True)
            elif path.is_dir():
                waiting.append(path)
            else:
                yield path


def _is_directory(client: Client, container_id: str, path: str) -> bool:
    try:
        with client.stream("GET", files_path(container_id, path)) as answer:
            return _is_listing(answer)
    except RequestFailed:
        return False  # nothing is there, or what is wrong shows when it is written


def _is_listing(answer: httpx2.Response) -> bool:
    """Of a file the server never says that it is JSON."""
    return bool(answer.headers["content-type"] == "application/json")


def _names(listing: Json) -> Iterator[str]:
    """Of the files and directories in it that may have their names here too."""
    for entry in listing["entries"]:
        shown = transfer.printable(f"{listing['path']}/{entry['name']}")
        if entry["type"] not in ("file", "directory"):
            typer.echo(f"left out: {shown} is neither a file nor a directory", err=True)
        elif not _is_plain(entry["name"]):
            typer.echo(f"left out: {shown} can't have its name here", err=True)
        else:
            yield entry["name"]


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _make_directory(path: Path) -> None:
    if path.is_symlink():
        raise RequestFailed(f"{path} is a link: nothing is copied through it.")
    path.mkdir(exist_ok=True)


def _save(answer: httpx2.Response, path: Path, *, force: bool) -> bool:
    if transfer.save(answer, path, force=force):
        return True
    typer.echo(f"{transfer.printable(str(path))} is there already: --force overwrites it.", err=True)
    return False
