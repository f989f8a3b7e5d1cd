"""
The sweep's statement in Spark's tongue, and only as far as it means the same there.

What may stand in it is a list. Whatever is not on it is refused, also where sqlglot would translate it: of dates, decimals
and lists several translations run in both engines and silently answer differently.
"""

from typing import Final

from sqlglot import exp, parse_one

from engine.errors import Place, Problem, RuleError

_MEANT_ALIKE: Final[frozenset[type[exp.Expr]]] = frozenset({
    # the shape of a query
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Distinct,
    exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Paren,
    # what a condition is made of (engine.sql), and the numbers that tell which of them match
    exp.Literal, exp.Boolean, exp.Null, exp.Neg, exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between,
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Add, exp.Sub, exp.BitwiseAnd, exp.Cast, exp.DataType,
    # whole rows gathered by borrower, whose order nobody relies on; a row is never null, so nothing is dropped
    exp.ArrayAgg, exp.Struct, exp.PropertyEQ,
})  # fmt: skip

_WHOLE: Final = "BIGINT"


def to_spark(sql: str) -> str:
    """
    The same statement for Spark.

    Raises:
        RuleError: it holds something that the two do not mean alike, each with its place in the statement.
    """
    tree = parse_one(sql, dialect="duckdb")
    problems = [problem for node in tree.walk() if (problem := _problem(node, sql)) is not None]
    if problems:
        raise RuleError(problems)
    return tree.sql(dialect="spark")


def _problem(node: exp.Expr, sql: str) -> Problem | None:
    mend = "make a fact of it: facts are computed before, by one engine only (docs/scale-out.md)"
    if type(node) not in _MEANT_ALIKE:
        what = f"DuckDB and Spark may not mean the same by `{node.sql('duckdb')[:80]}`"
        return Problem(what, mend, _place(node, sql))
    if isinstance(node, exp.Cast) and node.to.sql("duckdb") != _WHOLE:
        what = f"DuckDB and Spark cast differently: `{node.sql('duckdb')[:80]}`"
        return Problem(what, mend, _place(node, sql))
    if isinstance(node, exp.Literal) and not node.is_string and not node.this.isdecimal():
        return Problem(
            f"`{node.this}` is not a whole number", "count in minor units, days or percent", _place(node, sql)
        )
    return None


def _place(node: exp.Expr, sql: str) -> Place:
    """The first position within the node that the parser noted, as an offset."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    if not starts:
        return Place("the sweep's statement")
    before = sql[: min(starts)]
    return Place("the sweep's statement", before.count("\n") + 1, len(before) - before.rfind("\n"))
