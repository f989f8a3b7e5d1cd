"""
A condition as SQL, for a sweep of the whole book in one statement.

Only what means the same in DuckDB and Spark is generated: columns, literals, comparisons, `between`,
`in`, `is null`, `and`, `or`, `not`, `case` and `concat_ws`. It is built as a tree and written out by
sqlglot, so that no name or text can break out of its quotes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlglot import exp

from engine.tree import All, Any, Condition, Leaf, Named, Value

_COMPARE: Final[Mapping[str, type[exp.Binary]]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def column(fact: str) -> str:
    """The column that holds a fact, quoted."""
    return _column(fact).sql(dialect="duckdb")


def to_sql(condition: Condition) -> str:
    """A boolean expression, in parentheses where it needs them: true, false, or null where the condition is unknown."""
    expression = _expression(condition)
    return (exp.paren(expression, copy=False) if isinstance(expression, exp.Connector) else expression).sql("duckdb")


def case_list(conditions: Mapping[str, Condition]) -> str:
    """
    Which of the conditions match, as text: their positions in the mapping's order, from 0, joined by commas.

    The expression is `''` where none does, never null.
    """
    if not conditions:
        return "''"
    cases = [
        exp.Case().when(_expression(condition), exp.Literal.string(str(position)), copy=False)
        for position, condition in enumerate(conditions.values())
    ]
    # sqlglot's own node for it guards every argument against null; here null is what leaves a position out.
    return exp.Anonymous(this="concat_ws", expressions=[exp.Literal.string(","), *cases]).sql(dialect="duckdb")


BITS_MAX: Final = 62
"""How many conditions one number tells of: both DuckDB and Spark count in 64 bits, one of them the sign."""


def bits(conditions: Sequence[Condition]) -> str:
    """
    Which of the conditions match, as one whole number: the sum of 2 to the power of their positions, from 0.

    Never null. Twice as fast as `case_list`, because no text is put together, for at most BITS_MAX conditions.
    """
    total: exp.Expr | None = None
    for position, condition in enumerate(conditions):
        bit = exp.Literal.number(1 << position)
        one = exp.Case().when(_expression(condition), bit, copy=False).else_(exp.Literal.number(0), copy=False)
        total = one if total is None else exp.Add(this=total, expression=one)
    return "0" if total is None else total.sql(dialect="duckdb")


def _expression(condition: Condition) -> exp.Expr:
    match condition:
        case All(()):
            return exp.true()
        case Any(()):
            return exp.false()
        case All(parts):
            return _join(exp.and_, parts)
        case Any(parts):
            return _join(exp.or_, parts)
        case Named(_, body):
            return _expression(body)
        case Leaf():
            return _leaf(condition)


def _join(join: Callable[..., exp.Expr], parts: tuple[Condition, ...]) -> exp.Expr:
    return join(*(_expression(part) for part in parts), copy=False)


def _leaf(leaf: Leaf) -> exp.Expr:
    fact, values = _column(leaf.fact), [_literal(value) for value in leaf.values]
    match leaf.op:
        case "is null":
            return exp.Is(this=fact, expression=exp.null())
        case "is not null":
            return exp.Not(this=exp.Is(this=fact, expression=exp.null()))
        case "between":
            return exp.Between(this=fact, low=values[0], high=values[1])
        case "not between":
            return exp.Not(this=exp.Between(this=fact, low=values[0], high=values[1]))
        case "in":
            return exp.In(this=fact, expressions=values)
        case "not in":
            return exp.Not(this=exp.In(this=fact, expressions=values))
        case _:
            return _COMPARE[leaf.op](this=fact, expression=values[0])


def _column(fact: str) -> exp.Column:
    return exp.column(fact, quoted=True)


def _literal(value: Value) -> exp.Expr:
    if isinstance(value, bool):
        return exp.true() if value else exp.false()
    return exp.Literal.number(value) if isinstance(value, int) else exp.Literal.string(value)
