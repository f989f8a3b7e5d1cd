"""From columns to values, grouped by what they belong to: a row as an object of its own would cost more than its value."""

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Groups = dict[Any, list[Any]]
"""Values by what they belong to."""


def among(table: "pa.Table", column: str, values: Iterable[Any]) -> "pa.Table":
    """The rows whose column holds one of the values."""
    return table.filter(is_among(table, column, values))


def is_among(table: "pa.Table", column: str, values: Iterable[Any]) -> "pa.ChunkedArray":
    """Of each row, whether its column holds one of the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table[column], value_set=pa.array(list(values), table.schema.field(column).type))


def grouped(
    table: "pa.Table", by: str, order: Iterable[str], columns: Iterable[str], make: Callable[..., Any] | None = None
) -> Groups:
    """
    The rows by the value of a column.

    Args:
        order: columns that each group is in the order of.
        columns: what is taken of a row: a tuple of them, or what `make` makes of them.
    """
    rows = table.sort_by([(name, "ascending") for name in dict.fromkeys((by, *order))])
    taken = [rows[name].to_pylist() for name in columns]
    values: Iterable[Any] = zip(*taken, strict=True) if make is None else map(make, *taken)
    keyed = zip(rows[by].to_pylist(), values, strict=True)
    return {key: [value for _, value in run] for key, run in groupby(keyed, itemgetter(0))}


def by_key(table: "pa.Table", key: str, value: str) -> dict[Any, Any]:
    """One column by another that is unique."""
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))
