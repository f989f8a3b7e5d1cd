"""What a sweep asks of the whole book, as SQL to be read by an auditor: the very statements that it runs."""

from typing import Final

from engine.rulebook import Rulebook
from store.fact_query import fact_sql
from workflows.deciding.chunk import arms_of
from workflows.deciding.matching_sql import MatchingSql
from workflows.deciding.screening import known_facts, may_match

_PARTS: Final = (
    (
        "1. Who is looked at: loans of which this is true, from a few columns of every loan of the book. A condition on any",
        "other fact is taken for true, so that nobody is left out about whom something could be decided.",
    ),
    (
        "2. Every fact of every loan of those borrowers. The tables are those of the database, of these borrowers and as far",
        "back as a decision looks; `moment` is now, `clock*` say what day it is where a borrower lives.",
    ),
    (
        "3. What matches each loan in the stage it is in: strategies, moves from that stage, its rules, and those that listen to",
        "an event, for loans whose contact was put off. Each is a number: its lowest bit is the first of them in the file.",
    ),
    ("4. The rules of the stage that a move may lead to, on the facts as they are there.",),
)


def sweep_sql(rulebook: Rulebook) -> str:
    """The statements of these strategies, with a word on each; what they say is what DuckDB runs for every chunk."""
    matching = MatchingSql(rulebook.strategies.values())
    parts = (
        f"select * from facts where {may_match(rulebook, known_facts(rulebook.catalogue))}",
        f"create or replace temp table facts as\n{fact_sql(rulebook.catalogue, arms_of(rulebook))}",
        f"create or replace temp table matched as {matching.matched}",
        f"create or replace temp table matched_moved as {matching.moved}",
    )
    return "\n".join(_part(words, sql) for words, sql in zip(_PARTS, parts, strict=True))


def _part(words: tuple[str, ...], sql: str) -> str:
    from sqlglot import transpile

    (laid_out,) = transpile(sql, read="duckdb", write="duckdb", pretty=True)
    lines = "\n".join(map(_summands, laid_out.splitlines()))
    return "".join(f"-- {line}\n" for line in words) + f"{lines};\n"


def _summands(line: str) -> str:
    """Each condition of a sum of them on a line of its own."""
    indent = line[: len(line) - len(line.lstrip())]
    return line.replace(" + CASE", f"\n{indent}+ CASE")
