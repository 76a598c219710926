"""What the API tells of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codecove import clock
from codecove.errors import InvalidRequest
from codecove.ids import is_valid
from codecove.store.tables import FileRow

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
MAX_IDS = 100
MIN_EXPIRY = 3_600
MAX_EXPIRY = 7_776_000
"""Seconds: an hour, ninety days."""


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file, beside its bytes."""

    id: str
    filename: str
    mime_type: str
    size_bytes: int
    sha256: str
    """Of its bytes, in hex."""
    created_at: datetime
    downloadable: bool
    expires_at: datetime | None

    def to_wire(self) -> dict[str, Any]:
        """The file object of the API."""
        return {
            "type": "file",
            "id": self.id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "created_at": clock.isoformat(self.created_at),
            "downloadable": self.downloadable,
            "expires_at": None if self.expires_at is None else clock.isoformat(self.expires_at),
        }

    @classmethod
    def of(cls, row: FileRow) -> "File":
        """The file that a row is about."""
        return cls(
            id=row.id,
            filename=row.filename,
            mime_type=row.mime_type,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            created_at=row.created_at,
            downloadable=row.downloadable,
            expires_at=row.expires_at,
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the list of files, newest first."""

    data: list[File]
    has_more: bool
    """There are more in the direction of the list that was asked for."""
    forward: bool = True
    """It was read from the newest on, not towards it."""

    def to_wire(self) -> dict[str, Any]:
        """The list object of the API: of both its generations."""
        goes_on = self.has_more and self.forward
        return {
            "data": [file.to_wire() for file in self.data],
            "has_more": self.has_more,
            "first_id": self.data[0].id if self.data else None,
            "last_id": self.data[-1].id if self.data else None,
            "next_page": _token(self.data[-1].id) if goes_on else None,
        }


@dataclass(frozen=True, slots=True)
class Cursor:
    """The file next to which a page begins, and which parameter of the request named it."""

    parameter: str
    file_id: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files a request for the list means. At most one of `before`, `after` and `ids` is given."""

    limit: int = DEFAULT_LIMIT
    before: Cursor | None = None
    """Those that come just before this one, which are newer."""
    after: Cursor | None = None
    """Those that follow this one, which are older."""
    ids: tuple[str, ...] | None = None
    """These, as far as they exist."""


def select_files(
    *,
    limit: int | None = None,
    before_id: str | None = None,
    after_id: str | None = None,
    page: str | None = None,
    ids: Sequence[str] | None = None,
) -> Selection:
    """What the parameters of a request for the list ask for. Raises `InvalidRequest`."""
    given = {"ids": ids or None, "before_id": before_id, "after_id": after_id, "page": page, "limit": limit}
    ways = [name for name, value in given.items() if value is not None and (name != "limit" or ids)]
    if len(ways) > 1:
        raise InvalidRequest(f"{ways[0]}: may not be given together with {ways[1]}")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}, not {limit}")
    if ids:
        wanted = tuple(dict.fromkeys(ids))
        if len(wanted) > MAX_IDS:
            raise InvalidRequest(f"ids: at most {MAX_IDS} may be given, not {len(wanted)}")
        return Selection(limit=MAX_IDS, ids=wanted)
    after = Cursor("after_id", after_id) if after_id is not None else None
    if page is not None:
        after = Cursor("page", _file_id(page))
    return Selection(
        limit=DEFAULT_LIMIT if limit is None else limit,
        before=Cursor("before_id", before_id) if before_id is not None else None,
        after=after,
    )


def check_expiry(seconds: int) -> None:
    """Raises `InvalidRequest` for a number of seconds after which no file may expire."""
    if not MIN_EXPIRY <= seconds <= MAX_EXPIRY:
        raise InvalidRequest(f"expires_in_seconds: must be from {MIN_EXPIRY} to {MAX_EXPIRY}, not {seconds}")


def _token(file_id: str) -> str:
    """The page that follows a file."""
    return f"page_{file_id.removeprefix('file_')}"


def _file_id(token: str) -> str:
    file_id = f"file_{token.removeprefix('page_')}"
    if not token.startswith("page_") or not is_valid("file", file_id):
        raise InvalidRequest("page: must be the `next_page` of an earlier answer")
    return file_id
