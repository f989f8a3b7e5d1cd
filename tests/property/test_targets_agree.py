"""The three targets mean the same: interpreter, durable-rules and SQL, over random conditions and random facts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.condition import Scope, parse_condition
from engine.errors import DuecourseError, Problem
from engine.facts import Catalogue
from engine.interpreter import evaluate, trace
from engine.live import LiveMatcher
from engine.source import Text, read_yaml
from engine.sql import bits, case_list, column, to_sql
from engine.tree import Condition, FactValue, leaves, negated
from tests.property.strategies import AT, Case, cases, catalogues, conditions, fact, facts_of, texts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SQL_TYPES = {"int": "bigint", "money": "bigint", "bool": "boolean", "text": "varchar"}

WORDS = (
    " dpd ", " paid ", " product ", " not ", " and ", " or ", " in ", " is ", " null ", " between ", " true ", " as ", " case ", "::int",
    " like ", " 'x' ", " 3 ", "--", "/*", "*/", " not (", " in (", "dpd >= 3", "product = 'a'", "e'x'", "$$", " select ", " cast(",
)  # fmt: skip


def made_of(pieces: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts strung together from pieces."""
    return st.lists(st.sampled_from(pieces), max_size=25).map("".join)


@pytest.fixture(scope="module")
def duckdb() -> Iterator["DuckDBPyConnection"]:
    """One connection for the whole module; each example makes its own table."""
    from duckdb import connect

    with connect() as connection:
        connection.execute("set threads = 1")
        yield connection


def table(duckdb: "DuckDBPyConnection", catalogue: Catalogue, loans: tuple[Mapping[str, FactValue], ...]) -> None:
    """A table of facts, one row per loan, null where a fact is missing."""
    columns = ", ".join(f"{column(name)} {SQL_TYPES[fact.type]}" for name, fact in catalogue.facts.items())
    duckdb.execute(f"create or replace temp table loan_facts (loan int, {columns})")
    marks = ", ".join("?" for _ in range(len(catalogue.facts) + 1))
    rows = [[i, *(loan.get(name) for name in catalogue.facts)] for i, loan in enumerate(loans)]
    duckdb.executemany(f"insert into loan_facts values ({marks})", rows)


def parsed(text: str, catalogue: Catalogue, currency: str | None = "JPY") -> tuple[Condition | None, list[Problem]]:
    """What the parser makes of one text."""
    problems: list[Problem] = []
    node = Text(text, text, quoted=False, at=AT)
    return parse_condition(node, Scope(catalogue, currency, {}, problems)), problems


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_every_target_decides_alike(duckdb: "DuckDBPyConnection", case: Case) -> None:
    """SQL says true, false and unknown where the interpreter does; the live engine, the list and the number match what is true."""
    want = [[evaluate(condition, loan) for condition in case.conditions.values()] for loan in case.loans]
    table(duckdb, case.catalogue, case.loans)
    each = ", ".join(to_sql(condition) for condition in case.conditions.values())
    number = bits(list(case.conditions.values()))
    rows = duckdb.execute(
        f"select {case_list(case.conditions)}, {number}, {each} from loan_facts order by loan"
    ).fetchall()
    live = LiveMatcher(case.conditions)
    for loan, row, results in zip(case.loans, rows, want, strict=True):
        assert list(row[2:]) == results
        assert row[0] == ",".join(str(i) for i, result in enumerate(results) if result)
        assert row[1] == sum(1 << i for i, result in enumerate(results) if result)
        true = {name for name, result in zip(case.conditions, results, strict=True) if result}
        assert live.matching(loan) == true


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_was_written_is_what_is_meant(duckdb: "DuckDBPyConnection", data: st.DataObject) -> None:
    """A condition as parsed, `not` pushed down, is what DuckDB makes of the very text its author wrote."""
    catalogue = data.draw(catalogues())
    text = data.draw(texts(catalogue))
    loans = tuple(data.draw(st.lists(facts_of(catalogue), min_size=1, max_size=10)))
    condition, problems = parsed(text, catalogue)
    if condition is None:
        # The generator knows nothing of what can never be true; everything else it writes is accepted.
        assert all("can never be true" in problem.what or "not not" in problem.what for problem in problems), problems
        return
    table(duckdb, catalogue, loans)
    rows = duckdb.execute(f"select {text}, {to_sql(condition)} from loan_facts order by loan").fetchall()
    assert [(evaluate(condition, loan),) * 2 for loan in loans] == rows


@given(data=st.data())
def test_not_turns_true_and_false_and_leaves_unknown(data: st.DataObject) -> None:
    """`not` of unknown is unknown; twice `not` is what was there."""
    catalogue = data.draw(catalogues())
    condition, loan = data.draw(conditions(catalogue)), data.draw(facts_of(catalogue))
    result = evaluate(condition, loan)
    assert evaluate(negated(condition), loan) == (None if result is None else not result)
    assert negated(negated(condition)) == condition


@given(data=st.data())
def test_learning_a_fact_never_turns_an_answer_round(data: st.DataObject) -> None:
    """Where no condition asks whether a fact is known, filling in a missing one keeps every true and every false."""
    catalogue = data.draw(catalogues())
    text = data.draw(texts(catalogue).filter(lambda text: "null" not in text))
    condition, _ = parsed(text, catalogue)
    loan = data.draw(facts_of(catalogue))
    if condition is None:
        return
    full = data.draw(facts_of(catalogue)) | {name: value for name, value in loan.items() if value is not None}
    if (before := evaluate(condition, loan)) is not None:
        assert evaluate(condition, full) is before


@given(data=st.data())
def test_a_trace_shows_every_leaf_and_the_result(data: st.DataObject) -> None:
    """The explanation's root is the evaluation, and it has one line per comparison, with the value seen."""
    catalogue = data.draw(catalogues())
    condition, loan = data.draw(conditions(catalogue)), data.draw(facts_of(catalogue))
    root = trace(condition, loan)
    assert root.result == evaluate(condition, loan)
    lines = [root]
    seen = 0
    while lines:
        line = lines.pop()
        lines += line.children
        if line.fact is not None:
            seen += 1
            assert line.value == loan.get(line.fact)
            assert (line.note == "unknown: fact is missing") == (line.result is None)
    assert seen == leaves(condition)


@settings(max_examples=300)
@given(text=st.one_of(made_of([*"()=<>!-,;.'\"% *x1\n", *WORDS]), st.text(max_size=30)))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever is written, the answer is a condition or a problem with its place and mend."""
    catalogue = Catalogue(
        {"dpd": fact("dpd", "int", 0, 9), "product": fact("product", "text"), "paid": fact("paid", "bool")}, {}
    )
    condition, problems = parsed(text, catalogue)
    assert (condition is None) == bool(problems)
    assert all(problem.at is not None and problem.what and problem.mend for problem in problems)


@settings(max_examples=300)
@given(text=st.one_of(made_of([*"[]{}:,-'\"|>&*!#?%@ \n\ta1", ": ", "\n- ", "\n  ", "---\n"]), st.text(max_size=30)))
def test_no_text_breaks_the_yaml_reader(text: str) -> None:
    """Whatever a file holds, it is read or refused with every problem in its place."""
    refusals: list[Problem] = []
    try:
        read_yaml(text, "any.yaml")
    except DuecourseError as refusal:
        refusals += refusal.problems
    assert all(problem.at is not None and problem.at.file == "any.yaml" for problem in refusals)
