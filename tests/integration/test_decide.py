"""Deciding a borrower because something happened: under lock, once per event, or only to look."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from sqlmodel import col, select

from engine.matching import InterpreterMatcher
from store.db import Database
from store.decisions import log
from store.situations import Happened
from store.tables import Contact, DecisionRow, Event, Loan, Person, Run, StageChange
from tests.factories import add_payment
from tests.sweep_books import NOW, DayGate, LoanSpec, PersonSpec, everything, fill, rulebook
from workflows.deciding.allotment import Queue
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.decide import Decided, HandledMeanwhile, decide_borrowers
from workflows.deciding.entry import enter_book
from workflows.deciding.sweep import sweep

BOOK = rulebook()
PAYMENT = frozenset({"payment"})


def decide(database: Database, borrowers: Sequence[int], **options: object) -> Decided:
    given = {"now": NOW, "matcher": InterpreterMatcher(BOOK.strategies)} | options
    return decide_borrowers(database, BOOK, DayGate(), borrower_ids=borrowers, **given)  # type: ignore[arg-type]


def test_an_event_is_handled_once_in_the_transaction_of_its_decision(database: Database) -> None:
    """A payment cures the loan and thanks for it; handled again, by whoever, it changes nothing."""
    fill(database, [PersonSpec((LoanSpec(5, stage="reminded"),))])
    add_payment(database, 1, 100_00, NOW.date())
    with database.write() as session:
        session.add(
            Event(source="bank", key="1", kind="payment", person_id=1, loan_id=1, happened_at=NOW, recorded_at=NOW)
        )
    happened = Happened(by_loan={1: PAYMENT})
    decided = decide(database, [1], happened=happened, event_ids=[1])
    assert [(x.outcome, x.stage_before, x.stage_after) for x in decided[0][0].loans] == [
        ("contact", "reminded", "current")
    ]
    before = everything(database)
    assert [row[3] for row in before["contact"]] == ["thanks"]
    with pytest.raises(HandledMeanwhile):
        decide(database, [1], happened=happened, event_ids=[1], now=NOW + timedelta(minutes=1))
    assert everything(database) == before
    with database.session() as session:
        runs = session.exec(select(Run)).all()
        assert [(run.kind, run.status) for run in runs] == [("events", "done"), ("events", "stopped")]
        assert session.get_one(Event, 1).run_id == runs[0].id
        assert session.get_one(Person, 1).version > 0


def test_looking_writes_nothing_and_sees_what_deciding_would(database: Database) -> None:
    """`duecourse decide LOAN` shows the decision as it would be made, also for a loan with nothing to decide."""
    fill(database, [PersonSpec((LoanSpec(5), LoanSpec(-30)))])
    before = everything(database)
    looked = decide(database, [1], write=False)
    assert everything(database) == before
    assert [(x.loan, x.outcome) for x in looked[0][0].loans] == [(1, "contact"), (2, "nothing")]
    assert decide(database, [1])[0][0] == looked[0][0]


def test_few_and_many_are_seen_alike(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says the facts of a few people, DuckDB those of many: to the letter what the other would have said."""
    fill(sqlite_database, [PersonSpec((LoanSpec(days), LoanSpec(-30, stage="reminded"))) for days in (-3, 0, 5, 40)])
    looks = []
    for few in (100, 0):
        monkeypatch.setattr("workflows.deciding.chunk.LOANS_MAX", few)
        with ChunkReader(BOOK, actor="first_party") as reader:
            looks.append(reader.look(sqlite_database, [1, 2, 3, 4], now=NOW, happened=Happened(by_loan={1: PAYMENT})))
    by_sqlite, by_duckdb = looks
    assert len(by_sqlite.situations) == 4
    assert (by_sqlite.situations, by_sqlite.before) == (by_duckdb.situations, by_duckdb.before)


def test_an_event_takes_only_the_seats_that_are_left(database: Database) -> None:
    """Within a batch in the order of the borrowers, and after what was planned before."""
    call_on_payment = rulebook(
        """
strategy: test-cny
applies_to: currency = 'CNY'
currency: CNY
stages:
  phone:
    - {id: call, on: [payment], when: dpd >= 1, act: {call: {queue: q, script: s}}, repeat: {max: 1, per: stage},
       because: A test.}
"""
    )
    fill(database, [PersonSpec((LoanSpec(5, stage="phone"),)) for _ in range(4)])
    queues = {"q": Queue("q", 2)}
    for borrowers in ([1], [2, 3, 4]):
        decide_borrowers(
            database, call_on_payment, DayGate(), borrower_ids=borrowers, now=NOW, queues=queues,
            matcher=InterpreterMatcher(call_on_payment.strategies),
            happened=Happened(by_person=dict.fromkeys(borrowers, PAYMENT)),
        )  # fmt: skip
    with database.session() as session:
        assert session.exec(select(Contact.loan_id)).all() == [1, 2]


def test_a_rule_that_an_event_called_and_the_gate_put_off_joins_the_next_sweep(database: Database) -> None:
    """Thanks for a payment that could not go within its day go with the sweep, once."""

    class Later(DayGate):
        def check(self, ask, now):  # type: ignore[no-untyped-def]
            from engine.gate import Reason, Verdict

            until = NOW + timedelta(days=2)
            if now < until:
                return Verdict("defer", (Reason("test.later", "defer", "", "not yet", until),), until)
            return Verdict("allow")

    fill(database, [PersonSpec((LoanSpec(-9),))])
    decided = decide_borrowers(
        database, BOOK, Later(), borrower_ids=[1], now=NOW, matcher=InterpreterMatcher(BOOK.strategies),
        happened=Happened(by_loan={1: PAYMENT}),
    )  # fmt: skip
    assert [c.state for c in decided[0][0].loans[0].candidates] == ["too_late"]
    for days in (1, 2, 3):
        sweep(database, BOOK, Later(), now=NOW + timedelta(days=days))
    with database.session() as session:
        contacts = session.exec(select(Contact)).all()
        assert [(c.rule, c.planned_at) for c in contacts] == [("thanks", NOW + timedelta(days=2))]


def test_a_live_book_enters_where_its_rules_say(database: Database) -> None:
    """First match, recorded with its rule; the episode began when the oldest debt fell due; nobody is contacted; once."""
    fill(database, [PersonSpec((LoanSpec(dpd),)) for dpd in (-5, 3, 20, 120)] + [PersonSpec((LoanSpec(9, "EUR"),))])
    assert enter_book(database, BOOK, DayGate(), now=NOW) == {"current": 1, "reminded": 1, "phone": 1, "legal": 1}
    with database.session() as session:
        loans = session.exec(select(Loan).order_by(col(Loan.id))).all()
        assert [(x.stage, x.stage_entry, x.episode) for x in loans] == [
            ("current", 1, 0), ("reminded", 1, 1), ("phone", 1, 1), ("legal", 1, 1), ("current", 0, 0),
        ]  # fmt: skip
        assert loans[2].episode_on == NOW.date() - timedelta(days=20)
        changes = session.exec(select(StageChange).order_by(col(StageChange.loan_id))).all()
        assert [(x.cause, x.reason) for x in changes] == [
            ("entry:none", ""),
            ("entry:book-reminded", ""),
            ("entry:book-phone", ""),
            ("entry:book-legal", "no prelegal_notice was imported"),
        ]
        assert session.exec(select(Contact)).all() == []
    assert enter_book(database, BOOK, DayGate(), now=NOW + timedelta(hours=1)) == {}


def test_the_log_is_read_back_by_what_a_person_asks_for(database: Database) -> None:
    """By loan, day, chosen rule, what the gate said, which gate rule said it, and outcome; newest first."""
    fill(
        database, [PersonSpec((LoanSpec(5),)), PersonSpec((LoanSpec(6),), zones=""), PersonSpec((LoanSpec(3, "EUR"),))]
    )
    sweep(database, BOOK, DayGate(), now=NOW)
    sweep(database, BOOK, DayGate(), now=NOW + timedelta(days=1))

    def found(**asked: object) -> list[tuple[int, date]]:
        with database.session() as session:
            return [(row.loan_id, row.on_on) for row in log(session, **asked)]  # type: ignore[arg-type]

    first, second = date(2026, 11, 24), date(2026, 11, 25)
    assert found(loan=1) == [(1, second), (1, first)]
    assert found(day=first, outcome="no_strategy") == [(3, first)]
    assert found(rule="text", day=first) == [(1, first)]
    assert {loan for loan, _ in found(verdict="deny")} == {2}
    assert {loan for loan, _ in found(verdict="test.unknown_zone")} == {2}
    assert found(verdict="test.unknown") == []
    assert len(found(limit=3)) == 3


def test_the_log_holds_what_was_seen(database: Database) -> None:
    """The facts of each decision, in one spelling, and the hash of the strategy that decided."""
    fill(database, [PersonSpec((LoanSpec(5),))])
    sweep(database, BOOK, DayGate(), now=NOW)
    with database.session() as session:
        row = session.exec(select(DecisionRow)).one()
    assert row.facts_json == (
        '{"arm":"champion","currency":"CNY","days_in_stage":2,"days_since_message":99999,"days_to_due":25,"dpd":5,'
        '"feed_age":2,"has_email":true,"has_mobile":true,"overdue_amount":10000,"product":"personal",'
        '"promise_open":false,"stage":"current"}'
    )
    assert row.strategy_digest == BOOK.strategies["test-cny"].digest
