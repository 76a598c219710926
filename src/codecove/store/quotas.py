"""Quotas in the rows of workspaces and of keys, which have the same columns for them."""

from codecove.store.tables import KeyRow, WorkspaceRow
from codecove.workspaces import Quotas


def quotas_of(row: WorkspaceRow | KeyRow) -> Quotas:
    """What the workspace or the key may use."""
    return Quotas(
        containers=row.max_containers,
        executions=row.max_executions,
        requests_per_minute=row.requests_per_minute,
        execution_seconds_per_day=row.execution_seconds_per_day,
        storage_bytes=row.max_storage_bytes,
    )


def put_quotas(quotas: Quotas, row: WorkspaceRow | KeyRow) -> None:
    """Write all of them into a row."""
    row.max_containers = quotas.containers
    row.max_executions = quotas.executions
    row.requests_per_minute = quotas.requests_per_minute
    row.execution_seconds_per_day = quotas.execution_seconds_per_day
    row.max_storage_bytes = quotas.storage_bytes
