"""Statements that every request runs: made once, and run on SQLite by Python's own driver.

What SQLAlchemy does each time on a statement's way to the driver and back is most of what a small transaction costs
(docs/decisions/http-overhead.md). Here it makes the SQL, and says how values are converted, when one is first run.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Insert, Select, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
"""Of the columns that are written, and of `bindparam`s, by their names."""

Statement = Select[*tuple[Any, ...]] | Insert | Update

_DIALECT = sqlite.dialect(paramstyle="named")
_Convert = Callable[[Any], Any] | None


class Prepared:
    """A statement that is always run with values of the same names: what is written has one for every column that
    has no default in the database.
    """

    def __init__(self, statement: Statement, *, on_sqlite: Insert | None = None) -> None:
        """`on_sqlite`: what it is there instead."""
        self.statement = statement
        self._on_sqlite = statement if on_sqlite is None else on_sqlite
        self._compiled: _Compiled | None = None

    def run(self, connection: sqlite3.Connection, values: Values) -> list[Any]:
        """See `Transaction`."""
        if self._compiled is None:
            self._compiled = _compile(self._on_sqlite, values)
        return self._compiled.run(connection, values)


class Transaction(Protocol):
    """What runs statements, on either database."""

    def run(self, prepared: Prepared, values: Values, /) -> Sequence[Any]:
        """The rows of a SELECT, each a tuple; nothing for another statement."""
        ...


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    parameters: Sequence[tuple[str, Any, _Convert]]
    """Names, with what is in the statement itself, and how a value becomes the driver's."""
    columns: Sequence[_Convert]

    def run(self, connection: sqlite3.Connection, values: Values) -> list[Any]:
        parameters = {name: _converted(values.get(name, own), convert) for name, own, convert in self.parameters}
        rows = connection.execute(self.sql, parameters).fetchall()
        if not any(self.columns):
            return rows
        return [
            tuple(
                value if convert is None else convert(value) for value, convert in zip(row, self.columns, strict=True)
            )
            for row in rows
        ]


def _converted(value: Any, convert: _Convert) -> Any:
    return value if convert is None else convert(value)


def _compile(statement: Statement, values: Values) -> _Compiled:
    compiled = statement.compile(dialect=_DIALECT, column_keys=sorted(values))
    if not isinstance(compiled, SQLCompiler) or compiled.insert_prefetch or compiled.update_prefetch:
        raise TypeError(f"a value is missing, which SQLAlchemy would make: {compiled}")
    parameters = [
        (name, own, _implementation(compiled.binds[name].type).bind_processor(_DIALECT))
        for name, own in compiled.params.items()
    ]
    chosen = statement.selected_columns if isinstance(statement, Select) else ()
    columns = [_implementation(column.type).result_processor(_DIALECT, None) for column in chosen]
    return _Compiled(str(compiled), parameters, columns)


def _implementation(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.dialect_impl(_DIALECT)
