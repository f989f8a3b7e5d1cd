"""A hand-written Polars expression for the sixty rules: what ours is measured against, column by column."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.sixty import NOBODY, Tests
from engine.tree import Leaf

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class Polars:
    """One `when ... then` chain over columns, as one would write it by hand; it runs on every core."""

    name = "hand-written Polars expression"
    module = "polars"

    def __init__(self, tests: Tests) -> None:
        import polars as pl

        chained: Any = pl
        for stage, mine in tests.items():
            for test in mine:
                condition = pl.col("stage") == stage
                for leaf in test.leaves:
                    condition &= _polars(leaf)
                chained = chained.when(condition).then(pl.lit(test.number, pl.Int16))
        self._answer: pl.Expr = chained.otherwise(pl.lit(NOBODY, pl.Int16)).alias("answer")

    def frame(self, facts: "pa.Table") -> "pl.DataFrame":
        """The facts as it takes them."""
        import polars as pl

        frame = pl.from_arrow(facts)
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("a table of facts has columns")
        return frame.rechunk()

    def run(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The answers as a column."""
        return frame.lazy().select(self._answer).collect()


def _polars(leaf: Leaf) -> "pl.Expr":
    import polars as pl

    column, values = pl.col(leaf.fact), list(leaf.values)
    match leaf.op:
        case "between":
            return column.is_between(values[0], values[1])
        case "in":
            return column.is_in(values)
        case "not in":
            return ~column.is_in(values)
        case "=" if isinstance(values[0], bool):
            return column if values[0] else ~column
        case op:
            compare: dict[str, Callable[[Any], pl.Expr]] = {
                "=": column.eq, "!=": column.ne, "<": column.lt, "<=": column.le, ">": column.gt, ">=": column.ge,
            }  # fmt: skip
            return compare[op](values[0])
