"""The statement for Spark: what means the same there is translated, and everything else refused with its place."""

import pytest

from duecourse.workspace import open_workspace, shipped_folder
from engine.errors import RuleError
from workflows.deciding.matching_sql import MatchingSql
from workflows.offline.portable import to_spark
from workflows.offline.statement import steps


def test_the_statement_of_the_shipped_rules_is_taken_whole() -> None:
    """Every step of it; only quotes and the name of gathering rows differ."""
    book = open_workspace(shipped_folder(), {}).rulebook
    texts = dict(steps(MatchingSql(book.strategies.values()), book.catalogue))
    spark = {name: to_spark(text) for name, text in texts.items()}
    assert "CASE stage WHEN 'current'" in spark["matched"]
    assert "`dpd`" in spark["matched"]
    assert '"' not in spark["matched"]
    assert "COLLECT_LIST(STRUCT(facts.`loan_id` AS loan_id" in spark["asked"]


@pytest.mark.parametrize(
    "expression",
    [
        # what runs in both engines and silently answers differently, or is refused by Spark only when it runs
        "balance / 3",
        "balance // 3",
        "cast(balance as int)",
        "cast(balance as decimal(18, 2)) > 1",
        "extract(dow from on_on) = 0",
        "extract(isodow from on_on) = 1",
        "dayofweek(on_on) = 0",
        "date_diff('month', on_on, on_on) > 1",
        "on_on + interval 30 day > on_on",
        "epoch(on_on) > 1",
        "avg(balance) over ()",
        "[balance]",
        "balance > 1.5",
        "lower(stage) = 'phone'",
        "stage like 'p%'",
        "stage ilike 'p%'",
    ],
)
def test_what_the_two_do_not_mean_alike_is_refused(expression: str) -> None:
    """Also where sqlglot has a translation."""
    with pytest.raises(RuleError):
        to_spark(f"select loan_id from facts where {expression}")


def test_a_refusal_says_where_and_what_to_do() -> None:
    """The place within the statement, what it is, and the mend; all of them at once."""
    with pytest.raises(RuleError) as refused:
        to_spark("select loan_id\nfrom facts\nwhere lower(stage) = 'phone' and dpd > 1.5")
    assert [str(problem) for problem in refused.value.problems] == [
        (
            "the sweep's statement:3:7: DuckDB and Spark may not mean the same by `LOWER(stage)`\n"
            "  mend: make a fact of it: facts are computed before, by one engine only (docs/scale-out.md)"
        ),
        "the sweep's statement:3:40: `1.5` is not a whole number\n  mend: count in minor units, days or percent",
    ]
