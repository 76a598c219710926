"""The list of a workspace's batches, newest first, in pages."""

from dataclasses import dataclass
from typing import Any

from codecove.batches.batch import Batch
from codecove.errors import InvalidRequest
from codecove.ids import is_valid

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of the list: the first `limit`, or those after (older) or just before (newer) one of it.

    `page` is the `next_page` of an earlier answer: newer clients send it where older ones send `after_id`.
    """

    limit: int = DEFAULT_LIMIT
    before_id: str | None = None
    after_id: str | None = None
    page: str | None = None

    def __post_init__(self) -> None:
        """Raises `InvalidRequest`."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}, not {self.limit}")
        given = [name for name in ("before_id", "after_id", "page") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidRequest(f"{given[0]}: may not be given together with {given[1]}")

    @property
    def cursor(self) -> tuple[str, str] | None:
        """The parameter that says where the page begins, and the batch that it names. Raises `InvalidRequest`."""
        if self.page is not None:
            batch_id = f"msgbatch_{self.page.removeprefix('page_')}"
            if not self.page.startswith("page_") or not is_valid("msgbatch", batch_id):
                raise InvalidRequest("page: must be the `next_page` of an earlier answer")
            return "page", batch_id
        if self.before_id is not None:
            return "before_id", self.before_id
        return None if self.after_id is None else ("after_id", self.after_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the list."""

    data: list[Batch]
    has_more: bool
    """There are more in the direction of the list that was asked for."""
    forward: bool
    """It was read from the newest on, not towards it."""

    def to_wire(self, base_url: str) -> dict[str, Any]:
        """The list object of the API: of both its generations."""
        goes_on = self.has_more and self.forward and bool(self.data)
        return {
            "data": [batch.to_wire(base_url) for batch in self.data],
            "has_more": self.has_more,
            "first_id": self.data[0].id if self.data else None,
            "last_id": self.data[-1].id if self.data else None,
            "next_page": f"page_{self.data[-1].id.removeprefix('msgbatch_')}" if goes_on else None,
        }
