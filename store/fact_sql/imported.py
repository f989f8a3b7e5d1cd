"""Facts that somebody else computes: the latest value of each, in its column and within its range."""

from collections.abc import Iterable

from engine.facts import Fact
from store.fact_sql.piece import Piece, texts


def imported_piece(facts: Iterable[Fact]) -> Piece:
    """The piece that turns the latest imported values into one column per fact. A flag is imported as 0 or 1."""
    ordered = sorted(facts, key=lambda fact: fact.name)
    columns = ",\n    ".join(
        f"max(fact_value.{_column(fact)}) filter (where fact_value.name = {texts([fact.name])}) as {fact.name}"
        for fact in ordered
    )
    return Piece(
        name="imported",
        key="loan_id",
        sql=f"\nselect\n    fact_value.loan_id,\n    {columns}\nfrom fact_value\ngroup by fact_value.loan_id\n",
        facts={fact.name: _expression(fact) for fact in ordered},
    )


def _column(fact: Fact) -> str:
    return "text" if fact.type == "text" else "number"


def _expression(fact: Fact) -> str:
    value = f"imported.{fact.name}"
    if fact.type == "bool":
        return f"case {value} when 1 then true when 0 then false end"
    if fact.type == "text" or (fact.low is None and fact.high is None):
        return value
    # Out of range is a value we cannot read, and what we cannot read is unknown.
    limits = [f"{value} >= {fact.low}"] if fact.low is not None else []
    limits += [f"{value} <= {fact.high}"] if fact.high is not None else []
    return f"case when {' and '.join(limits)} then {value} end"
