"""A file that is not there yet."""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from codecove.files.file import check_expiry
from codecove.files.media_types import media_type
from codecove.files.upload import Upload
from codecove.store.tables import FileRow
from codecove.workspaces import Caller


def _never() -> None:
    return None


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is to be stored. Its bytes are taken as they come."""

    filename: str
    data: AsyncIterable[bytes]
    mime_type: str | None = None
    """None: by its name and its first bytes."""
    downloadable: bool = False
    expires_in: Callable[[], int | None] = _never
    """Asked when `data` has ended: after how many seconds it is gone; None: it stays."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is being stored."""

    new: NewFile
    id: str
    blob: str
    """Where its bytes are written to."""

    def row(self, upload: Upload, caller: Caller, now: datetime) -> FileRow:
        """The file's row, when all its bytes are there. Raises `InvalidRequest` for an expiry that is not allowed."""
        seconds = self.new.expires_in()
        if seconds is not None:
            check_expiry(seconds)
        return FileRow(
            id=self.id,
            workspace_id=caller.workspace_id,
            filename=self.new.filename,
            mime_type=media_type(self.new.mime_type, self.new.filename, upload.head),
            size_bytes=upload.size,
            sha256=upload.sha256,
            blob=self.blob,
            downloadable=self.new.downloadable,
            created_at=now,
            expires_at=None if seconds is None else now + timedelta(seconds=seconds),
            key_id=caller.key_id,
        )
