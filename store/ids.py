"""
Many ids: a condition on a long list of them, and going over all that there are.

A list is handed over as one text, for there may be more than a statement may have parameters.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

from sqlalchemy import BigInteger, ColumnElement, String, bindparam, cast, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import Boolean

from store.bulk_arrow import Reader

FIRST: Final = -(2**63)
LAST: Final = 2**63 - 1
"""The smallest and the largest number that a column of ids holds."""


def among(column: ColumnElement[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """Whether the column is one of these ids. For bulk reads only: on PostgreSQL the ids are written into the statement."""
    return _Among(column, bindparam(None, ",".join(map(str, ids)), String()))


def first_from(reader: Reader, column: ColumnElement[Any], start: int = FIRST) -> int | None:
    """The first number from there on that stands in the column; None where none does."""
    # As a whole number: SQLite keeps half ones where somebody writes them.
    least = cast(func.min(column), BigInteger).label("least")
    found: int | None = reader.read(select(least).where(column.between(start, LAST)))["least"][0].as_py()
    return found


def pages(reader: Reader, column: ColumnElement[Any], size: int) -> Iterator[tuple[int, int]]:
    """
    Ranges of at most so many numbers, from the first to the last of each, that hold all that stand in the column.

    Over what is there: one row with a number far away would make it a walk of years over what is not.
    """
    first = first_from(reader, column)
    while first is not None:
        last = min(first + size - 1, LAST)
        yield first, last
        first = first_from(reader, column, last + 1) if last < LAST else None


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
