"""What the rows of workspaces and of keys say each may use. Both have the same columns for quotas."""

from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from codecove.store.tables import KeyRow, WorkspaceRow
from codecove.workspaces import ContainerLimits, Quotas


def quota_columns(table: type[WorkspaceRow | KeyRow]) -> tuple[InstrumentedAttribute[int | None], ...]:
    """The columns of the quotas, in the order of the fields of `Quotas`."""
    return (
        table.max_containers,
        table.max_executions,
        table.requests_per_minute,
        table.execution_seconds_per_day,
        table.max_storage_bytes,
    )


def quotas_of(row: WorkspaceRow | KeyRow) -> Quotas:
    """What the workspace or the key may use."""
    return Quotas(*(getattr(row, column.key) for column in quota_columns(type(row))))


def put_quotas(quotas: Quotas, row: WorkspaceRow | KeyRow) -> None:
    """Write all of them into a row."""
    row.max_containers = quotas.containers
    row.max_executions = quotas.executions
    row.requests_per_minute = quotas.requests_per_minute
    row.execution_seconds_per_day = quotas.execution_seconds_per_day
    row.max_storage_bytes = quotas.storage_bytes


def container_limit_columns() -> tuple[InstrumentedAttribute[Any], ...]:
    """The columns of the limits, in the order of the fields of `ContainerLimits`."""
    return (
        WorkspaceRow.container_memory_bytes,
        WorkspaceRow.container_disk_bytes,
        WorkspaceRow.container_cpus,
        WorkspaceRow.container_processes,
        WorkspaceRow.container_open_files,
        WorkspaceRow.execution_timeout,
    )


def container_limits_of(row: WorkspaceRow) -> ContainerLimits:
    """What each of the workspace's containers may use."""
    return ContainerLimits(*(getattr(row, column.key) for column in container_limit_columns()))


def put_container_limits(limits: ContainerLimits, row: WorkspaceRow) -> None:
    """Write all of them into a row."""
    row.container_memory_bytes = limits.memory_bytes
    row.container_disk_bytes = limits.disk_bytes
    row.container_cpus = limits.cpus
    row.container_processes = limits.processes
    row.container_open_files = limits.open_files
    row.execution_timeout = limits.execution_timeout
