"""What the API tells of a batch."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codecove import clock
from codecove.store.tables import BatchRow

OUTCOMES = ("succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests are where. Their sum is the size of the batch at every moment."""

    processing: int
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        """The size of the batch."""
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired

    def to_wire(self) -> dict[str, int]:
        """The `request_counts` object."""
        return {"processing": self.processing, **{name: getattr(self, name) for name in OUTCOMES}}


@dataclass(frozen=True, slots=True)
class Batch:
    """What is known of a batch, beside its requests."""

    id: str
    workspace_id: str
    status: str
    counts: Counts
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    cancel_initiated_at: datetime | None
    archived_at: datetime | None

    def to_wire(self, base_url: str, *, live: bool = False) -> dict[str, Any]:
        """The batch object of the API. `base_url` is the server's, as the client sees it.

        As documented, all requests count as `processing` until the whole batch has ended; with `live`, only those do
        that have no result yet.
        """
        ended = self.status == "ended"
        counts = self.counts if ended or live else Counts(self.counts.total)
        available = ended and self.archived_at is None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": counts.to_wire(),
            "created_at": clock.isoformat(self.created_at),
            "expires_at": clock.isoformat(self.expires_at),
            "ended_at": _isoformat(self.ended_at),
            "cancel_initiated_at": _isoformat(self.cancel_initiated_at),
            "archived_at": _isoformat(self.archived_at),
            "results_url": f"{base_url}/v1/messages/batches/{self.id}/results" if available else None,
        }

    @classmethod
    def of(cls, row: BatchRow) -> "Batch":
        """The batch that a row is about."""
        return cls(
            id=row.id,
            workspace_id=row.workspace_id,
            status=row.state,
            counts=Counts(row.processing, row.succeeded, row.errored, row.canceled, row.expired),
            created_at=row.created_at,
            expires_at=row.expires_at,
            ended_at=row.ended_at,
            cancel_initiated_at=row.cancel_initiated_at,
            archived_at=row.archived_at,
        )


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else clock.isoformat(moment)
