"""The sweep's SQL, the live engine and the plain interpreter decide random books alike, in any chunks."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision_json import trace_json
from engine.matching import InterpreterMatcher, LiveMatcherSet, Matcher
from store.db import Database
from store.decisions import canonical_json, is_news
from tests.opening import open_database
from tests.sweep_books import NOW, DayGate, LoanSpec, PersonSpec, everything, fill, rulebook
from workflows.deciding.allotment import Queue
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.sweep import sweep

BOOK = rulebook()


@cache
def live() -> Matcher:
    """One for the process: its threads are never given back."""
    return LiveMatcherSet(BOOK.strategies)


LOANS = st.builds(
    LoanSpec,
    dpd=st.one_of(st.integers(-3, 30), st.sampled_from([7, 8, 9, 10, 60, 89, 90, 91])),
    currency=st.sampled_from(["CNY", "CNY", "USD", "EUR"]),
    product=st.sampled_from(["personal", "card"]),
    stage=st.sampled_from(["current", "reminded", "phone", "legal", "closed"]),
    amount=st.integers(1, 900).map(lambda major: major * 100),
)
PEOPLE = st.builds(
    PersonSpec,
    loans=st.lists(LOANS, min_size=1, max_size=3).map(tuple),
    zones=st.sampled_from(["Asia/Shanghai", "", "Pacific/Honolulu America/New_York", "Europe/Berlin"]),
    mobile=st.booleans(),
    email=st.booleans(),
    bucket=st.integers(0, 9999),
)
BOOKS = st.lists(PEOPLE, min_size=1, max_size=6).map(tuple)


@contextmanager
def fresh(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.db"
        shutil.copyfile(template, path)
        database = open_database(f"sqlite:///{path}")
        yield database
        database.close()


@given(people=BOOKS, feed_age_h=st.sampled_from([1, 36, 37, None]))
@settings(max_examples=25)
def test_the_sweep_decides_like_the_interpreter_and_the_live_engine(
    sqlite_template: Path, people: tuple[PersonSpec, ...], feed_age_h: int | None
) -> None:
    """Loan by loan: outcome, move, candidates, verdicts, contacts and the facts that were seen."""
    with fresh(sqlite_template) as database:
        fill(database, people, feed_age_h=feed_age_h)
        wanted = {}
        for name, matcher in (("interpreter", InterpreterMatcher(BOOK.strategies)), ("live", live())):
            decided = decide_borrowers(
                database,
                BOOK,
                DayGate(),
                borrower_ids=range(1, len(people) + 1),
                now=NOW,
                matcher=matcher,
                write=False,
            )
            wanted[name] = sorted(
                (loan.loan, canonical_json(facts), trace_json(loan))
                for decision, situation in decided
                for loan, facts in zip(decision.loans, (x.facts for x in situation.loans), strict=True)
                if is_news(loan, facts.get("dpd"))
            )
        assert wanted["live"] == wanted["interpreter"]
        sweep(database, BOOK, DayGate(), now=NOW)
        found = [(row[0], row[-2], row[-1]) for row in everything(database)["decision"]]
    assert found == wanted["interpreter"]


@given(
    people=BOOKS,
    size=st.integers(1, 8),
    senior=st.integers(0, 2),
    junior=st.integers(0, 3),
    by=st.sampled_from([(), (("dpd", True),), (("overdue_amount", False), ("product", True))]),
)
@settings(max_examples=20)
def test_any_chunk_size_gives_the_same_decisions_and_seats(
    sqlite_template: Path,
    people: tuple[PersonSpec, ...],
    size: int,
    senior: int,
    junior: int,
    by: tuple[tuple[str, bool], ...],
) -> None:
    """Limited queues included: never more contacts than seats, and the same ones whatever the chunks."""
    queues = {"senior": Queue("senior", senior, by), "junior": Queue("junior", junior, by)}
    found = []
    for loans_per_chunk in (size, 10_000):
        with fresh(sqlite_template) as database:
            fill(database, people)
            sweep(database, BOOK, DayGate(), now=NOW, loans_per_chunk=loans_per_chunk, queues=queues)
            found.append(everything(database))
    assert found[0] == found[1]
    for queue in queues.values():
        assert sum(row[4] == queue.name for row in found[0]["contact"]) <= 2 * (queue.capacity_per_day or 0)
