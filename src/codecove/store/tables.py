"""The tables. The migrations make them; a test compares the two.

Every row but a workspace's own belongs to one workspace, directly or through its container.
"""

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import BigInteger, DateTime, Dialect, ForeignKey, Index, MetaData, String, TypeDecorator, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from codecove.workspaces import Role

ContainerState = Literal["running", "expired", "failed", "deleted"]
BatchState = Literal["creating", "in_progress", "canceling", "ended", "deleted"]
BatchRequestState = Literal["waiting", "running", "succeeded", "errored", "canceled", "expired"]
EventState = Literal["running", "asleep", "crashed", "expired", "failed", "deleted"]
"""Of one that is `running`, its sandbox may be `asleep`, or have `crashed`: the next request brings it back."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, in UTC whatever the database: SQLite has no time zones, so there it is stored without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables. Constraints are named, so that a later migration can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own form
        datetime: UtcDateTime,
        ContainerState: String(16),
        BatchState: String(16),
        BatchRequestState: String(16),
        EventState: String(16),
        Role: String(16),
    }


class WorkspaceRow(Table):
    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    max_containers: Mapped[int | None]
    """Running at once. None, here and below: no limit but the server's."""
    max_executions: Mapped[int | None]
    """Running at once."""
    requests_per_minute: Mapped[int | None]
    execution_seconds_per_day: Mapped[int | None]
    max_storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    container_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Of each of its containers, as the next five. None: what the server's settings say."""
    container_disk_bytes: Mapped[int | None] = mapped_column(BigInteger)
    container_cpus: Mapped[float | None]
    container_processes: Mapped[int | None]
    container_open_files: Mapped[int | None]
    execution_timeout: Mapped[float | None]
    storage_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """The sizes of its files, summed."""
    deleted_at: Mapped[datetime | None]
    """From then on nobody can name it; what it has used stays on record."""


class KeyRow(Table):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    """SHA-256 of the secret, in hex."""
    from_settings: Mapped[bool]
    """It was given as COVE_API_KEY, not made by `cove keys create`."""
    role: Mapped[Role] = mapped_column(server_default="user")
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    max_containers: Mapped[int | None]
    """Running at once. None, here and below: no limit but the workspace's."""
    max_executions: Mapped[int | None]
    """Running at once."""
    requests_per_minute: Mapped[int | None]
    execution_seconds_per_day: Mapped[int | None]
    max_storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    storage_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """The sizes of the files that came with this key and are still there, summed."""


class ContainerRow(Table):
    __tablename__ = "containers"
    __table_args__ = (Index(None, "state"), Index(None, "workspace_id", "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    state: Mapped[ContainerState]
    created_at: Mapped[datetime]
    last_active_at: Mapped[datetime]
    """When a request last used it. When it expires follows from this and the policy in force."""
    ended_at: Mapped[datetime | None]
    """When it stopped running, in whatever way."""
    key_id: Mapped[str | None]
    """The key that it was made with; None: before keys were recorded."""
    gives_way: Mapped[bool] = mapped_column(default=False, server_default=false())
    """It was made for a request of a batch, and nobody has named it since: it ends when its place is needed."""


class ContainerEventRow(Table):
    """One change of a container's state, or of its sandbox's. The newest one says why it is in the state it is in."""

    __tablename__ = "container_events"
    __table_args__ = (Index(None, "container_id"),)

    sequence: Mapped[int] = mapped_column(primary_key=True)
    container_id: Mapped[str] = mapped_column(ForeignKey("containers.id"))
    at: Mapped[datetime]
    state: Mapped[EventState]
    reason: Mapped[str]


class ContainerFileRow(Table):
    """A file that has been put into a container: it need not be copied again."""

    __tablename__ = "container_files"

    container_id: Mapped[str] = mapped_column(ForeignKey("containers.id"), primary_key=True)
    file_id: Mapped[str] = mapped_column(primary_key=True)
    """No foreign key: what was loaded stays loaded when the file is deleted."""


class CallRow(Table):
    """A tool call, and the container that it ran in or, if its result is still due, is to run in."""

    __tablename__ = "calls"

    call_id: Mapped[str] = mapped_column(primary_key=True)
    container_id: Mapped[str] = mapped_column(ForeignKey("containers.id"))


class ExecutionRow(Table):
    """One tool call, or terminal, that reached its container. `finished_at` is None while it runs.

    What is None of an execution that has ended is not known of it.
    """

    __tablename__ = "executions"
    __table_args__ = (
        Index(None, "workspace_id", "started_at"),
        Index(None, "container_id", "started_at"),
        Index(None, "key_id", "started_at"),
        Index(None, "started_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    container_id: Mapped[str] = mapped_column(ForeignKey("containers.id"))
    key_id: Mapped[str | None]
    request_id: Mapped[str | None]
    call_id: Mapped[str]
    tool: Mapped[str]
    input_sha256: Mapped[str | None]
    """Of the code, in hex; see `tools.base.Call`."""
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime | None]
    """When it was last seen running."""
    finished_at: Mapped[datetime | None]
    microseconds: Mapped[int | None] = mapped_column(BigInteger)
    """Wall clock, without what it waited for others in its container."""
    cpu_microseconds: Mapped[int | None] = mapped_column(BigInteger)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """What it printed, also what was cut."""
    return_code: Mapped[int | None]
    error_code: Mapped[str | None]
    """As in the result block; or `cancelled` when the client went away, `interrupted` when the server did."""


class ContainerSessionRow(Table):
    """A stretch of time for which a container is billed. Those of one container never overlap.

    See docs/decisions/usage-sessions.md.
    """

    __tablename__ = "container_sessions"
    __table_args__ = (
        Index(None, "container_id", "started_at"),
        Index(None, "workspace_id", "started_at"),
        Index(None, "started_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    container_id: Mapped[str]
    """No foreign key: what was billed stays when the container's rows go."""
    key_id: Mapped[str]
    """Of the request that began it; so is the next one."""
    request_id: Mapped[str | None]
    started_at: Mapped[datetime]
    used_until: Mapped[datetime]
    """When a request last used the container, or was last seen to do so."""
    billed_microseconds: Mapped[int] = mapped_column(BigInteger)
    """From `started_at` to `used_until`, and never less than the minimum of the time."""


class AuditRow(Table):
    """One administrative act. See `store/audit.py`."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "at"), {"sqlite_autoincrement": True})

    sequence: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    workspace_id: Mapped[str | None]
    """No foreign key: what was done to a workspace outlives it."""
    request_id: Mapped[str | None]
    details: Mapped[str]
    """JSON."""


class UsageDayRow(Table):
    """What is kept of the executions and sessions of one day when their rows go: their sums."""

    __tablename__ = "usage_days"

    day: Mapped[str] = mapped_column(primary_key=True)
    """`2026-07-30`, of UTC; what began on that day."""
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    key_id: Mapped[str] = mapped_column(primary_key=True)
    """Empty: not known."""
    tool: Mapped[str] = mapped_column(primary_key=True)
    """Empty in the row of the sessions."""
    executions: Mapped[int]
    errors: Mapped[int]
    microseconds: Mapped[int] = mapped_column(BigInteger)
    cpu_microseconds: Mapped[int] = mapped_column(BigInteger)
    peak_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    output_bytes: Mapped[int] = mapped_column(BigInteger)
    sessions: Mapped[int]
    session_microseconds: Mapped[int] = mapped_column(BigInteger)


class FileRow(Table):
    __tablename__ = "files"
    __table_args__ = (
        Index(None, "workspace_id", "sequence"),
        Index(None, "workspace_id", "sha256"),
        # So that SQLite never gives a deleted file's place to a new one.
        {"sqlite_autoincrement": True},
    )

    sequence: Mapped[int] = mapped_column(primary_key=True)
    """The order of creation, which lists follow."""
    id: Mapped[str] = mapped_column(unique=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    filename: Mapped[str]
    mime_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    """Of the content, in hex."""
    blob: Mapped[str]
    """The blob's key. Files of one workspace that have the same content share it."""
    downloadable: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    """From then on it is gone for the API; None: it stays."""
    key_id: Mapped[str | None]
    """The key that it came with, whose storage it counts to; None: before keys were recorded."""


class DeletedFileRow(Table):
    """Where in the lists a file was that is gone: a client that pages may name it as the last one it saw."""

    __tablename__ = "deleted_files"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    sequence: Mapped[int]
    deleted_at: Mapped[datetime] = mapped_column(index=True)


class UnownedBlobRow(Table):
    """A blob that no file names: it is being written, or is to be deleted.

    The row is there before the blob is, and until after it has gone: a crash at any moment leaves no blob that
    neither a file nor a row here names.
    """

    __tablename__ = "unowned_blobs"

    key: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    doomed: Mapped[bool]
    """It is to be deleted; otherwise it is being written."""


class BatchRow(Table):
    __tablename__ = "batches"
    __table_args__ = (
        Index(None, "workspace_id", "sequence"),
        Index(None, "state"),
        # So that SQLite never gives a deleted batch's place to a new one.
        {"sqlite_autoincrement": True},
    )

    sequence: Mapped[int] = mapped_column(primary_key=True)
    """The order of creation, which lists follow."""
    id: Mapped[str] = mapped_column(unique=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    """The key that created it, as which its requests run."""
    api_version: Mapped[str]
    betas: Mapped[str]
    """Those of the request that created it, separated by commas."""
    state: Mapped[BatchState]
    """Visible from `in_progress` to `ended`. One that is being created or deleted may have any part of its requests."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    cancel_initiated_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    """Since then its requests and results are gone; or it is deleted, and is kept for clients that page."""
    processing: Mapped[int]
    """Requests that wait or run. This and the next four change in one transaction with the requests' own states."""
    succeeded: Mapped[int] = mapped_column(default=0)
    errored: Mapped[int] = mapped_column(default=0)
    canceled: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    queued: Mapped[bool]
    """The durable queue may have work of it."""
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """What it counts for in the storage of its workspace and its key: the size of its requests, until those go."""


class BatchRequestRow(Table):
    """One request of a batch."""

    __tablename__ = "batch_requests"
    __table_args__ = (Index(None, "state"),)

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """Its place in the batch, from 0."""
    custom_id: Mapped[str]
    state: Mapped[BatchRequestState]
    request: Mapped[str | None]
    """The JSON of its entry, as it came. None once there is a result."""
    result: Mapped[str | None]
    """The JSON of its `result`, from the moment when it has one."""
