"""What the rows of workspaces and of keys say each may use. Both have the same columns for quotas."""

from codecove.store.tables import KeyRow, WorkspaceRow
from codecove.workspaces import ContainerLimits, Quotas


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


def container_limits_of(row: WorkspaceRow) -> ContainerLimits:
    """What each of the workspace's containers may use."""
    return ContainerLimits(
        memory_bytes=row.container_memory_bytes,
        disk_bytes=row.container_disk_bytes,
        cpus=row.container_cpus,
        processes=row.container_processes,
        execution_timeout=row.execution_timeout,
    )


def put_container_limits(limits: ContainerLimits, row: WorkspaceRow) -> None:
    """Write all of them into a row."""
    row.container_memory_bytes = limits.memory_bytes
    row.container_disk_bytes = limits.disk_bytes
    row.container_cpus = limits.cpus
    row.container_processes = limits.processes
    row.execution_timeout = limits.execution_timeout
