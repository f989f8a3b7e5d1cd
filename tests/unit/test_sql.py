"""The SQL of a condition: what it says, and that nothing breaks out of it."""

from collections.abc import Mapping

import pytest

from engine.errors import Place
from engine.sql import BITS_MAX, bits, case_list, column, to_sql
from engine.tree import All, Any, Condition, FactValue, Leaf, Named, Op, Value
from tests.property.strategies import TEXTS

AT = Place("f.yaml", 1, 1)


def leaf(fact: str, op: Op, *values: Value) -> Leaf:
    return Leaf(fact, op, values, f"{fact} {op}", AT)


def answer(expression: str, facts: Mapping[str, FactValue]) -> object:
    """What DuckDB makes of an expression over one loan."""
    from duckdb import connect

    columns = ", ".join(f"? as {column(name)}" for name in facts)
    with connect() as duckdb:
        row = duckdb.execute(f"select {expression} from (select {columns})", list(facts.values())).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("condition", "sql"),
    [
        (leaf("dpd", ">=", 3), '"dpd" >= 3'),
        (leaf("dpd", "!=", -3), '"dpd" <> -3'),
        (leaf("dpd", "between", 1, 3), '"dpd" BETWEEN 1 AND 3'),
        (leaf("dpd", "not between", 1, 3), 'NOT "dpd" BETWEEN 1 AND 3'),
        (leaf("stage", "in", "phone", "legal"), "\"stage\" IN ('phone', 'legal')"),
        (leaf("stage", "not in", "phone"), "NOT \"stage\" IN ('phone')"),
        (leaf("autopay", "=", True), '"autopay" = TRUE'),
        (leaf("autopay", "=", False), '"autopay" = FALSE'),
        (leaf("dpd", "is null"), '"dpd" IS NULL'),
        (leaf("dpd", "is not null"), 'NOT "dpd" IS NULL'),
        (All(()), "TRUE"),
        (Any(()), "FALSE"),
        (
            All((leaf("a", "=", 1), Any((leaf("b", "=", 2), Named("n", leaf("c", "<", 3)))))),
            '("a" = 1 AND ("b" = 2 OR "c" < 3))',
        ),
    ],
)
def test_each_construct_as_sql(condition: Condition, sql: str) -> None:
    """Names quoted, parentheses around what could be misread where it is put."""
    assert to_sql(condition) == sql


@pytest.mark.parametrize("text", [*TEXTS, "'; drop table loan; --", "' or true or product = '", "\\' or true --"])
def test_no_text_breaks_out_of_its_quotes(text: str) -> None:
    """Whatever a file says, it is compared, not run; Spark's spelling reads back as the same text."""
    import sqlglot
    from sqlglot import exp

    sql = to_sql(leaf("product", "=", text))
    assert answer(sql, {"product": text}) is True
    assert answer(sql, {"product": text + "x"}) is False
    spark = sqlglot.transpile(sql, read="duckdb", write="spark")[0]
    assert [literal.this for literal in sqlglot.parse_one(spark, read="spark").find_all(exp.Literal)] == [text]


def test_a_name_is_quoted_whatever_it_is() -> None:
    """A fact called like a word of SQL is a column."""
    assert column("order") == '"order"'
    assert answer(to_sql(leaf("order", "=", 1)), {"order": 1}) is True


def test_the_list_names_positions_that_match() -> None:
    """From 0, in the order of the mapping; unknown is left out like false."""
    rules = {"z": leaf("dpd", ">=", 1), "b": leaf("dpd", ">=", 9), "c": leaf("score", "=", 1), "a": All(())}
    assert answer(case_list(rules), {"dpd": 3, "score": None}) == "0,3"
    assert answer(case_list({"b": leaf("dpd", ">=", 9), "c": leaf("score", "=", 1)}), {"dpd": 3, "score": None}) == ""
    assert answer(case_list({}), {"dpd": 3}) == ""


def test_the_number_has_a_bit_for_each_condition_that_matches() -> None:
    """The first condition is worth 1, the next 2; unknown counts like false; the most there may be still fit."""
    rules = [leaf("dpd", ">=", 1), leaf("dpd", ">=", 9), leaf("score", "=", 1), All(())]
    assert answer(bits(rules), {"dpd": 3, "score": None}) == 0b1001
    assert answer(bits(rules), {"dpd": 9, "score": 1}) == 0b1111
    assert answer(bits([]), {"dpd": 3}) == 0
    assert answer(bits([All(())] * BITS_MAX), {"dpd": 3}) == 2**BITS_MAX - 1


def test_the_list_stays_within_what_spark_means_alike() -> None:
    """Only comparisons, `case` and `concat_ws`: what Spark is sent differs in quotes alone."""
    import sqlglot

    sql = case_list({"a": leaf("dpd", ">=", 1), "b": leaf("stage", "in", "phone", "legal")})
    assert sql == (
        "CONCAT_WS(',', CASE WHEN \"dpd\" >= 1 THEN '0' END, CASE WHEN \"stage\" IN ('phone', 'legal') THEN '1' END)"
    )
    assert (
        to_sql(leaf("dpd", ">=", 1)).replace('"', "`")
        == sqlglot.transpile('"dpd" >= 1', read="duckdb", write="spark")[0]
    )


def test_the_largest_condition_is_written() -> None:
    """Two hundred comparisons, and nesting to the bound, are within every stack."""
    wide = Any(tuple(All((leaf("dpd", ">=", i), leaf("dpd", "<=", i))) for i in range(100)))
    assert answer(to_sql(wide), {"dpd": 99}) is True
    deep: Condition = leaf("dpd", "=", 1)
    for i in range(48):
        deep = (All if i % 2 else Any)((deep, leaf("dpd", "!=", i)))
    assert answer(to_sql(deep), {"dpd": 100}) is True
