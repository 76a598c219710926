"""Where the bytes of files are: an object store, which is a folder or speaks S3."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import LocalStore, S3Store

from codecove.files.places import S3Place
from codecove.store.finish import finish

# S3 takes no smaller parts. Two in flight bound the memory of one upload to about three parts.
_PART_BYTES = 5 * 2**20
_PARTS_AT_ONCE = 2
_CHUNK_BYTES = 2**18
# An outage is told to the client soon; a dropped connection is not.
_RETRIES = 4
_RETRY_TIME = timedelta(seconds=20)
_CONNECT_TIME = timedelta(seconds=5)
_SILENCE = timedelta(seconds=30)

_PROBE = "codecove-probe"


class BlobStoreUnavailable(Exception):
    """The store can't be written to. The message is for the operator."""


class Blobs:
    """Blobs, by key. A key is a relative path of plain components.

    A blob appears whole or not at all.
    """

    def __init__(self, place: Path | S3Place) -> None:
        self._directory = place if isinstance(place, Path) else None
        self._store = LocalStore(place, mkdir=True) if isinstance(place, Path) else _s3(place)

    async def check(self) -> None:
        """Write, read and delete. Raises `BlobStoreUnavailable`."""
        try:
            await obstore.put_async(self._store, _PROBE, b"codecove")
            await obstore.get_async(self._store, _PROBE)
            await obstore.delete_async(self._store, _PROBE)
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            raise BlobStoreUnavailable(f"the store of files can't be used: {first_line}") from error

    async def put(self, key: str, data: AsyncIterable[bytes]) -> None:
        """Write a blob, piece by piece as `data` gives them. If `data` raises, or on cancellation, there is none."""
        writer = obstore.open_writer_async(self._store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        try:
            async for piece in data:
                await writer.write(piece)
        except BaseException as error:
            await finish(writer.__aexit__(type(error), error, error.__traceback__))
            raise
        try:
            await finish(writer.close())
        except BaseException:
            await finish(self.delete(key))
            raise

    async def get(self, key: str, span: tuple[int, int] | None = None) -> AsyncGenerator[bytes, None]:
        """A blob's bytes in pieces; `span`: from the first to before the second, which must be more.

        Raises `FileNotFoundError` before the first piece.
        """
        found = await obstore.get_async(self._store, key, options={"range": span} if span else None)
        async for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield piece

    async def delete(self, key: str) -> None:
        """Remove a blob, and what a killed process has written of it; one that is not there is no error."""
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)
        if self._directory is not None:
            await asyncio.to_thread(_remove_parts, self._directory / key)


def _remove_parts(blob: Path) -> None:
    """In a folder, a blob is written as `<key>#1` and renamed when whole."""
    blob.with_name(f"{blob.name}#1").unlink(missing_ok=True)


def _s3(place: S3Place) -> S3Store:
    with _no_foreign_variables():
        return S3Store(
            place.bucket,
            prefix=place.prefix or None,
            config={
                "endpoint": place.endpoint,
                "region": place.region,
                "access_key_id": place.access_key_id,
                "secret_access_key": place.secret_access_key,
                # Blobs are deleted one by one, and not every server answers the call for many as Amazon does.
                "disable_bulk_delete": True,
            },
            client_options={
                "allow_http": place.endpoint.startswith("http://"),
                "connect_timeout": _CONNECT_TIME,
                "read_timeout": _SILENCE,
                # A whole transfer may take its time; `read_timeout` finds the dead ones.
                "timeout": timedelta(days=1),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIME},
        )


@contextmanager
def _no_foreign_variables() -> Iterator[None]:
    """The library takes what it is not given from `AWS_…` and proxy variables, when a store is made."""
    foreign = {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith("AWS_") or name.upper().endswith("_PROXY")
    }
    for name in foreign:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(foreign)
