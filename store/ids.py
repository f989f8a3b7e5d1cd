"""A condition on a long list of ids: handed over as one text, for there may be more than a statement may have parameters."""

from collections.abc import Iterable
from typing import Any, Self

from sqlalchemy import ColumnElement, String, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import Boolean


def among(column: ColumnElement[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """Whether the column is one of these ids. For bulk reads only: on PostgreSQL the ids are written into the statement."""
    return _Among(column, bindparam(None, ",".join(map(str, ids)), String()))


class _Among(FunctionElement[bool]):
    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:
        """As it is: `(...) = 1`, which SQLite would be asked otherwise, reads the whole table instead of the index."""
        del against
        return self


@compiles(_Among, "sqlite")
def _sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} in (select value from json_each('[' || {ids} || ']')))"


@compiles(_Among, "postgresql")
def _postgres(element: Any, compiler: Any, **options: Any) -> str:
    # A constant, so that the planner sees how many there are; and their bounds, since a chunk's ids lie close together:
    # a part of an index is read for them, where the planner would read a whole table rather than look up each.
    column, ids = element.clauses
    name, numbers = compiler.process(column, **options), [int(one) for one in ids.value.split(",") if one]
    within = f" and {name} between {min(numbers)} and {max(numbers)}" if numbers else ""
    return f"({name} = any('{{{ids.value}}}'::bigint[]){within})"
