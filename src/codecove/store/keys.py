"""API keys.

Only a hash of a key is stored. Keys made here are 256 random bits, which nobody can search, so a plain SHA-256
is enough and a request costs no slow password hash; the key that an operator chooses (`COVE_API_KEY`) should be
as random. A key looks like `cove-` and 43 characters of `[A-Za-z0-9_-]`.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from sqlalchemy import bindparam, select

from codecove import clock, ids
from codecove.errors import InvalidRequest, NotFound, Unauthenticated
from codecove.store.audit import note
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.prepared import Prepared
from codecove.store.quotas import container_limit_columns, put_quotas, quota_columns, quotas_of
from codecove.store.tables import KeyRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller, ContainerLimits, Quotas, Role

_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key: all but its secret."""

    id: str
    workspace_id: str
    name: str
    from_settings: bool
    """It was given as `COVE_API_KEY`."""
    role: Role
    created_at: datetime
    revoked_at: datetime | None
    quotas: Quotas


_LIMITS = (quota_columns(WorkspaceRow), quota_columns(KeyRow), container_limit_columns())
_CALLER = Prepared(
    select(WorkspaceRow.id, KeyRow.id, KeyRow.role, *chain(*_LIMITS))
    .join(WorkspaceRow, WorkspaceRow.id == KeyRow.workspace_id)
    .where(KeyRow.secret_hash == bindparam("hash"), KeyRow.revoked_at.is_(None))
)


class Keys:
    """The API keys of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def create(
        self,
        name: str,
        *,
        workspace_id: str = DEFAULT_WORKSPACE_ID,
        role: Role = "user",
        quotas: Quotas = Quotas(),  # noqa: B008 -- it can't be changed
    ) -> tuple[str, Key]:
        """Make a key for a workspace that exists. Returns the secret, which can't be had again, and the key.

        Raises `InvalidRequest` for a name that can't be one.
        """
        if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
            raise InvalidRequest(f"name: 1 to {_MAX_NAME} printable characters")
        secret = f"cove-{secrets.token_urlsafe(32)}"
        row = _new_row(name, secret, workspace_id=workspace_id, role=role)
        put_quotas(quotas, row)
        async with self._database.write() as session:
            session.add(row)
            note(session, "key.create", row.id, workspace_id=workspace_id, details={"name": name, "role": role})
        return secret, _key(row)

    @to_the_end
    async def list(self) -> Sequence[Key]:
        """All keys, revoked ones too, oldest first."""
        async with self._database.read() as session:
            rows = await session.scalars(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))
            return [_key(row) for row in rows]

    @to_the_end
    async def set_quotas(self, key_id: str, change: Callable[[Quotas], Quotas]) -> Key:
        """Change the quotas from now on, also for a server that runs. Raises `NotFound`."""
        async with self._database.write() as session:
            row = await session.get(KeyRow, key_id, with_for_update={"key_share": True})
            if row is None:
                raise _not_found(key_id)
            put_quotas(change(quotas_of(row)), row)
            note(session, "key.set", key_id, workspace_id=row.workspace_id, details=quotas_of(row).to_dict())
        return _key(row)

    @to_the_end
    async def revoke(self, key_id: str) -> None:
        """Make a key useless from now on; revoking it again changes nothing. Raises `NotFound`."""
        async with self._database.write() as session:
            row = await session.get(KeyRow, key_id, with_for_update={"key_share": True})
            if row is None:
                raise _not_found(key_id)
            if row.revoked_at is None:
                row.revoked_at = clock.now()
                note(session, "key.revoke", key_id, workspace_id=row.workspace_id)

    async def authenticate(self, secret: str) -> Caller:
        """Who a secret belongs to. Raises `Unauthenticated`."""
        asked = {"hash": _hash(secret)}
        found = await self._database.read_at_once(lambda transaction: transaction.run(_CALLER, asked))
        if not found:
            raise Unauthenticated("invalid x-api-key")
        workspace_id, key_id, role, *rest = found[0]
        values = iter(rest)
        quotas, key_quotas, limits = (list(islice(values, len(columns))) for columns in _LIMITS)
        return Caller(
            workspace_id=workspace_id,
            key_id=key_id,
            role=role,
            quotas=Quotas(*quotas),
            key_quotas=Quotas(*key_quotas),
            container_limits=ContainerLimits(*limits),
        )

    @to_the_end
    async def ensure(self, secret: str | None) -> None:
        """Make `secret` (`COVE_API_KEY`) a key of the default workspace, and earlier values of it useless.

        None: the setting is gone, and so are its earlier values.
        """
        current = None if secret is None else _hash(secret)
        async with self._database.write() as session:
            outdated = select(KeyRow).where(
                KeyRow.from_settings, KeyRow.secret_hash != (current or ""), KeyRow.revoked_at.is_(None)
            )
            for row in await session.scalars(outdated):
                row.revoked_at = clock.now()
                note(session, "key.revoke", row.id, workspace_id=row.workspace_id)
            if secret is None:
                return
            known = await session.scalar(select(KeyRow).where(KeyRow.secret_hash == current))
            if known is not None and known.revoked_at is None:
                return
            given = known or _new_row("COVE_API_KEY", secret, from_settings=True)
            given.revoked_at = None
            session.add(given)
            note(session, "key.create", given.id, workspace_id=given.workspace_id, details={"name": given.name})


def _not_found(key_id: str) -> NotFound:
    return NotFound(f"no API key {key_id!r}")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _new_row(
    name: str,
    secret: str,
    *,
    workspace_id: str = DEFAULT_WORKSPACE_ID,
    role: Role = "user",
    from_settings: bool = False,
) -> KeyRow:
    return KeyRow(
        id=ids.new("apikey"),
        workspace_id=workspace_id,
        name=name,
        secret_hash=_hash(secret),
        from_settings=from_settings,
        role=role,
        created_at=clock.now(),
        revoked_at=None,
    )


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        from_settings=row.from_settings,
        role=row.role,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        quotas=quotas_of(row),
    )
