"""Rows written to, read from, changed in and removed from every table, by whatever version is on the path.

Run as a program it opens the database, says `ready`, and does so when a line comes on stdin: as a server that was
there before the schema was changed.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, TypeDecorator, inspect, select
from sqlalchemy.orm.attributes import flag_modified

import codecove
from codecove.store.database import Database
from codecove.store.tables import Table

_MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def use_every_table(database: Database) -> int:
    """The value is the number of tables."""
    classes = {mapper.local_table: mapper.class_ for mapper in Table.registry.mappers}
    tables = Table.metadata.sorted_tables
    made: dict[str, Any] = {}
    for table in tables:
        values = {column.key: _value(column, made) for column in table.columns}
        made[table.name] = classes[table](**{key: value for key, value in values.items() if value is not None})
        async with database.write() as session:
            session.add(made[table.name])
    for table in reversed(tables):
        key = inspect(made[table.name]).identity
        async with database.write() as session:
            row = await session.get_one(classes[table], key)
            for column in table.columns:
                flag_modified(row, column.key)
            await session.flush()
            assert len((await session.scalars(select(classes[table]))).all()) >= 1
            await session.delete(row)
    return len(tables)


def _value(column: Column[Any], made: dict[str, Any]) -> Any:
    """None: the database's own."""
    if column.foreign_keys:
        target = next(iter(column.foreign_keys)).column
        return getattr(made[target.table.name], target.key)
    if isinstance(column.type, TypeDecorator):
        return _MOMENT
    kind = column.type.python_type
    if column is column.table.autoincrement_column:
        return None
    return {str: f"{column.table.name}.{column.name}"[:16], bool: True, int: 7, float: 0.5}[kind]


async def main(url: str) -> None:
    async with Database(url) as database:
        print("ready", codecove.__file__, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("used", await use_every_table(database), "tables", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
