"""The sweep's SQL, the live engine and the interpreter decide a whole book alike, by the rules and packs that ship."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from duecourse.workspace import open_workspace, shipped_folder
from engine.decision_json import trace_json
from engine.matching import InterpreterMatcher, LiveMatcherSet, Matcher
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.decisions import canonical_json, is_news
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.sweep import sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

LOANS: Final = int(os.environ.get("TARGETS_LOANS", "20000"))
"""`make targets LOANS=1000000` compares a million."""
BATCH: Final = 1_000

Entry = tuple[str, str, str]
"""What the log says of a loan: its facts, its trace, and what was chosen."""


def test_every_target_decides_every_loan_of_a_book_alike(database: Database) -> None:
    """Twenty thousand loans or a million: the same loans are news to all three, with the same facts, verdicts and contacts."""
    write_book(database, LOANS, on=ON)
    workspace = open_workspace(shipped_folder(), {})
    rulebook, gate = workspace.rulebook, workspace.gate

    def decided(matcher: Matcher) -> Iterator[tuple[int, Entry]]:
        with ChunkReader(rulebook, actor="first_party") as reader:
            for first in range(1, LOANS + 1, BATCH):
                decisions = decide_borrowers(
                    database,
                    rulebook,
                    gate,
                    borrower_ids=range(first, first + BATCH),
                    now=NOW,
                    matcher=matcher,
                    write=False,
                    reader=reader,
                )
                for decision, situation in decisions:
                    facts = {loan.id: loan.facts for loan in situation.loans}
                    for loan in decision.loans:
                        if is_news(loan, facts[loan.loan].get("dpd")):
                            yield loan.loan, (canonical_json(facts[loan.loan]), trace_json(loan), loan.outcome)

    wanted = dict(decided(InterpreterMatcher(rulebook.strategies)))
    live = dict(decided(LiveMatcherSet(rulebook.strategies)))
    assert [loan for loan in wanted if live.get(loan) != wanted[loan]] == []
    assert live.keys() == wanted.keys()

    sweep(database, rulebook, gate, now=NOW)
    swept = logged(database)
    assert [loan for loan in wanted if swept.get(loan) != wanted[loan]] == []
    assert swept.keys() == wanted.keys()
    outcomes = {outcome for _, _, outcome in wanted.values()}
    assert {"contact", "covered", "wait"} <= outcomes, f"the book tries too little: {outcomes}"


def logged(database: Database) -> dict[int, Entry]:
    """What the sweep wrote, by loan."""
    decision = table_of("decision")
    columns = (decision.c.loan_id, decision.c.facts_json, decision.c.trace_json, decision.c.outcome)
    with reading(database) as source:
        loans, *entries = (column.to_pylist() for column in source.read(select(*columns)).columns)
    return dict(zip(loans, zip(*entries, strict=True), strict=True))
