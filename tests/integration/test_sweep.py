"""The sweep on both databases: what it writes, that it goes on, that it decides anew, that it plans nothing twice."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from engine.errors import StoreError
from engine.gate import Ask, Verdict
from engine.matching import InterpreterMatcher
from store.db import Database
from store.lock import sole
from store.tables import Contact, DecisionRow, Loan, Party, Person, Published, Run, StageChange
from tests.opening import open_database
from tests.sweep_books import CNY, NOW, DayGate, LoanSpec, PersonSpec, everything, fill, rulebook
from workflows.deciding.allotment import Queue
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.sweep import SweepResult, plan_sweep, sweep

BOOK = (
    PersonSpec((LoanSpec(5),)),
    PersonSpec((LoanSpec(5, stage="reminded"), LoanSpec(12, stage="phone"), LoanSpec(-10))),
    PersonSpec((LoanSpec(15, stage="phone"),), bucket=9000),
    PersonSpec((LoanSpec(-10, stage="reminded"),)),
    PersonSpec((LoanSpec(4, "USD", "card", "reminded"), LoanSpec(4, stage="reminded"))),
    PersonSpec((LoanSpec(3, "EUR"),)),
    PersonSpec((LoanSpec(40, stage="legal"),)),
    PersonSpec((LoanSpec(6),), zones=""),
    PersonSpec((LoanSpec(2),), zones="Pacific/Honolulu America/New_York"),
    PersonSpec((LoanSpec(-1),)),
    PersonSpec((LoanSpec(-30),)),
    PersonSpec((LoanSpec(100, stage="phone"),), mobile=False),
    PersonSpec((LoanSpec(2, stage="closed"),)),
)
SMALL = (BOOK[0], BOOK[1], BOOK[2], BOOK[5], BOOK[11])
"""Five chunks of one borrower; three of them want a seat."""
QUEUES = {
    "senior": Queue("senior", 1, (("dpd", True),)),
    "junior": Queue("junior", 2, (("overdue_amount", True),)),
}


def run(database: Database, *, now: datetime = NOW, **options: object) -> SweepResult:
    return sweep(database, rulebook(), DayGate(), now=now, **options)  # type: ignore[arg-type]


def decisions(database: Database) -> dict[int, DecisionRow]:
    with database.session() as session:
        return {row.loan_id: row for row in session.exec(select(DecisionRow))}


def test_every_overdue_loan_has_a_row_and_quiet_loans_have_none(database: Database) -> None:
    """Invariant 5: a contact, a next look, or a written reason for neither; a loan about which nothing is to be said stays silent."""
    fill(database, BOOK)
    result = run(database)
    rows = decisions(database)
    found = {row.loan_id: (row.outcome, row.rule, row.stage_before, row.stage_after) for row in rows.values()}
    assert found == {
        1: ("contact", "text", "current", "reminded"),
        2: ("covered", None, "reminded", "reminded"),
        3: ("contact", "call-senior", "phone", "phone"),
        5: ("contact", "call-senior", "phone", "phone"),
        6: ("nothing", None, "reminded", "current"),
        7: ("contact", "mail", "reminded", "reminded"),
        8: ("covered", None, "reminded", "reminded"),
        9: ("no_strategy", None, "current", "current"),
        10: ("nothing", None, "legal", "legal"),
        11: ("withheld", None, "current", "current"),
        12: ("contact", "text", "current", "reminded"),
        13: ("contact", None, "current", "current"),
        15: ("contact", "call-senior", "phone", "phone"),
    }
    assert result.counts["decisions"] == len(rows)


def test_what_is_written_hangs_together(database: Database) -> None:
    """A move changes the loan and its history alike, every contact belongs to a decision, and the run says what it did."""
    fill(database, BOOK)
    result = run(database)
    with database.session() as session:
        changes = {change.loan_id: change for change in session.exec(select(StageChange))}
        loans = {loan.id: loan for loan in session.exec(select(Loan))}
        contacts = session.exec(select(Contact)).all()
        found = session.get_one(Run, result.run_id)
        published = {row.name: row for row in session.exec(select(Published))}
    for loan_id, change in changes.items():
        loan = loans[loan_id]
        assert (loan.stage, loan.stage_entry, loan.stage_on) == (change.target, change.entry, change.on_on)
    assert (loans[1].episode, loans[1].episode_on is not None) == (1, True)
    assert (loans[6].stage, loans[6].episode, loans[6].episode_on) == ("current", 1, None)
    assert {(c.run_id, c.loan_id) for c in contacts} <= {(r.run_id, r.loan_id) for r in decisions(database).values()}
    assert all(contact.stage_entry == loans[contact.loan_id].stage_entry for contact in contacts)
    assert (found.status, found.kind, found.now_at) == ("done", "sweep", NOW)
    assert result.counts["contacts"] == len(contacts) == Counter(c.status for c in contacts)["planned"]
    assert {"test-cny", "test-usd"} <= published.keys()


def test_the_same_run_again_changes_nothing_and_the_next_of_the_day_plans_nothing_twice(database: Database) -> None:
    """A decision is made once; a second sweep of the day finds its rules used up or the day's limit reached."""
    fill(database, BOOK)
    first = run(database)
    before = everything(database)
    again = run(database)
    assert (again.run_id, again.counts) == (first.run_id, first.counts)
    assert everything(database) == before
    later = run(database, now=NOW + timedelta(hours=1))
    assert later.run_id != first.run_id
    slots = [row[5] for row in everything(database)["contact"]]
    assert len(slots) == len(set(slots))
    with database.session() as session:
        twice = Counter((c.loan_id, c.rule, c.person_id, c.channel) for c in session.exec(select(Contact)))
    assert set(twice.values()) == {1}


@pytest.mark.parametrize("queues", [None, QUEUES], ids=["no limit", "limited queues"])
def test_chunks_make_no_difference(sqlite_template, tmp_path, queues) -> None:  # type: ignore[no-untyped-def]
    """The same book gives the same decisions and seats whatever the size of the chunks."""
    found = []
    for size in (2, 1000):
        path = tmp_path / f"{size}.db"
        shutil.copyfile(sqlite_template, path)
        database = open_database(f"sqlite:///{path}")
        fill(database, BOOK)
        run(database, loans_per_chunk=size, queues=queues)
        found.append(everything(database))
        database.close()
    assert found[0] == found[1]


def test_both_databases_decide_alike(sqlite_database: Database, postgres_database: Database) -> None:
    """SQLite and PostgreSQL end with the same rows for the same book."""
    for database in (sqlite_database, postgres_database):
        fill(database, BOOK)
        run(database, queues=QUEUES)
    assert everything(sqlite_database) == everything(postgres_database)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(
    ("queues", "chunks"), [(None, 1), (None, 3), (QUEUES, 2), (QUEUES, 5), (QUEUES, 6), (QUEUES, 7)]
)
def test_a_killed_sweep_goes_on(
    database: Database,
    sqlite_template,
    tmp_path,
    queues,
    chunks,  # type: ignore[no-untyped-def]
) -> None:
    """Killed between any two chunks and begun again an hour later, it ends with what an undisturbed sweep ends with."""
    path = tmp_path / "whole.db"
    shutil.copyfile(sqlite_template, path)
    whole = open_database(f"sqlite:///{path}")
    fill(whole, SMALL)
    run(whole, loans_per_chunk=1, queues=queues)
    fill(database, SMALL)
    calls = 0

    def die(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == chunks:
            raise Killed

    with pytest.raises(Killed):
        run(database, loans_per_chunk=1, queues=queues, progress=die)
    with database.session() as session:
        assert session.exec(select(Run.status)).all() == ["running"]
    result = run(database, now=NOW + timedelta(hours=1), loans_per_chunk=1, queues=queues)
    assert (result.finished, result.now) == (True, NOW)
    assert everything(database) == everything(whole)
    whole.close()


def test_a_stopped_sweep_says_so_and_goes_on(database: Database) -> None:
    """Asked to stop it ends after a chunk; the next call of the day ends the work under the same run."""
    fill(database, SMALL)
    asked = iter([False, False, True])
    stopped = run(database, loans_per_chunk=1, stop=lambda: next(asked))
    assert not stopped.finished
    finished = run(database, now=NOW + timedelta(hours=2), loans_per_chunk=1)
    assert (finished.finished, finished.run_id, finished.now) == (True, stopped.run_id, NOW)
    assert finished.counts["decisions"] == len(decisions(database))


def test_a_stopped_sweep_of_yesterday_is_left_behind(database: Database) -> None:
    """Another day is another question: the new run decides on the new day, and the old one is closed."""
    fill(database, SMALL)
    stopped = run(database, loans_per_chunk=1, stop=iter([False, True]).__next__)
    tomorrow = run(database, now=NOW + timedelta(days=1), loans_per_chunk=1)
    assert tomorrow.run_id != stopped.run_id
    with database.session() as session:
        assert session.exec(select(Run.status).order_by(col(Run.id))).all() == ["left", "done"]


class MeanwhileGate(DayGate):
    """While the first question is asked, something else is committed."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def check(self, ask: Ask, now: datetime) -> Verdict:
        while self._meanwhile:
            self._meanwhile.pop()()
        return super().check(ask, now)


def test_whoever_moves_between_reading_and_writing_is_decided_again(database: Database) -> None:
    """What lands while the chunk is decided is seen: nothing is decided on facts that are gone."""

    def land() -> None:
        with database.write() as session:
            person = session.get_one(Person, 1)
            person.version, person.zones = person.version + 1, ""

    fill(database, BOOK)
    result = sweep(database, rulebook(), MeanwhileGate(land), now=NOW)
    assert result.counts["redone"] == 1
    assert decisions(database)[1].outcome == "withheld"
    assert len(decisions(database)) == result.counts["decisions"]


def test_a_guarantor_who_moves_has_the_borrower_decided_again(database: Database) -> None:
    """A decision depends on everybody it may address."""

    def land() -> None:
        with database.write() as session:
            session.get_one(Person, 2).version += 1

    fill(database, BOOK)
    with database.write() as session:
        session.add(Party(loan_id=1, person_id=2, role="guarantor"))
    # Person 2 is a borrower as well: both are decided again.
    assert sweep(database, rulebook(), MeanwhileGate(land), now=NOW).counts["redone"] == 2


def test_a_sweep_sees_what_an_event_planned_meanwhile(database: Database) -> None:
    """An event handled while the chunk is decided plans its contact first; the sweep adds no second one."""
    book = rulebook()

    def land() -> None:
        decide_borrowers(
            database, book, DayGate(), borrower_ids=[1], now=NOW, matcher=InterpreterMatcher(book.strategies)
        )

    fill(database, BOOK)
    result = sweep(database, book, MeanwhileGate(land), now=NOW)
    assert result.counts["redone"] == 1
    with database.session() as session:
        runs = dict(session.exec(select(Run.id, Run.kind)).all())
        contacts = session.exec(select(Contact).where(Contact.loan_id == 1)).all()
        assert [(runs[contact.run_id], contact.rule) for contact in contacts] == [("events", "text")]
        assert len(session.exec(select(DecisionRow).where(DecisionRow.loan_id == 1)).all()) == 2


class FailingGate(DayGate):
    """Fails when it is asked about one person, so many times."""

    def __init__(self, person: int, times: int) -> None:
        super().__init__()
        self.person = person
        self.times = times

    def check(self, ask: Ask, now: datetime) -> Verdict:
        if ask.person == self.person and self.times > 0:
            self.times -= 1
            raise ZeroDivisionError("a bug")
        return super().check(ask, now)


def test_a_chunk_that_fails_is_tried_again(database: Database, sqlite_template, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """What was in the way is gone the second time: nobody notices."""
    fill(database, SMALL)
    result = sweep(database, rulebook(), FailingGate(3, times=1), now=NOW, loans_per_chunk=1)
    assert (result.finished, result.failed) == (True, ())
    assert {1, 2, 3, 5, 6, 7} >= decisions(database).keys() > {1}


def test_a_chunk_that_fails_twice_is_reported_and_the_rest_is_decided(database: Database) -> None:
    """One borrower about whom the program fails costs nobody else the night, and is decided when that is mended.

    What is reported says where it failed, and never what the error said: that may quote what is on file.
    """
    fill(database, SMALL)
    result = sweep(database, rulebook(), FailingGate(3, times=2), now=NOW, loans_per_chunk=1, queues=QUEUES)
    (problem,) = result.failed
    assert re.fullmatch(
        r"nothing was decided about the loans of borrowers 3 to 3 \(1 of them\): ZeroDivisionError in check "
        r"\(test_sweep\.py:\d+\)\n  mend: mend that, and run `duecourse sweep` again: it decides those who are left",
        str(problem),
    )
    assert not result.finished
    assert decisions(database).keys() == {1, 2, 3, 6, 7}
    again = run(database, now=NOW + timedelta(minutes=1), loans_per_chunk=1, queues=QUEUES)
    assert (again.run_id, again.now, again.finished) == (result.run_id, NOW, True)
    assert decisions(database).keys() == {1, 2, 3, 5, 6, 7}
    assert again.counts["decisions"] == 6


def test_one_sweep_at_a_time(database: Database) -> None:
    """A second sweep is refused and told who is at it."""
    fill(database, BOOK)
    with sole(database, "sweep", what="a sweep"), pytest.raises(StoreError) as refused:
        run(database)
    assert str(refused.value).startswith("a sweep is running already: process ")
    assert str(refused.value).endswith("\n  mend: wait until it has ended, or stop it")
    assert run(database).finished


def test_a_clock_that_went_backwards_is_refused(database: Database) -> None:
    """A moment before the last sweep's is not decided for."""
    fill(database, BOOK)
    run(database)
    with pytest.raises(StoreError) as refused:
        run(database, now=NOW - timedelta(minutes=1))
    assert str(refused.value) == (
        "the clock went backwards: it is 2026-11-24 03:59+00:00, and the last sweep was at 2026-11-24 04:00+00:00\n"
        "  mend: set the clock right, or wait until it has passed the last sweep"
    )


def test_a_plan_says_what_a_sweep_would_do_and_writes_nothing(database: Database) -> None:
    """The plan's counts are the sweep's, and the book is untouched."""
    fill(database, BOOK)
    before = everything(database)
    plan = plan_sweep(database, rulebook(), DayGate(), now=NOW, queues=QUEUES)
    assert everything(database) == before
    result = run(database, queues=QUEUES)
    assert {k: v for k, v in plan.counts.items() if v} == {k: v for k, v in result.counts.items() if v}
    assert plan.run_id is None


def seats(database: Database) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with database.session() as session:
        for contact in session.exec(
            select(Contact).where(col(Contact.queue).is_not(None)).order_by(col(Contact.loan_id))
        ):
            found.setdefault(contact.queue or "", []).append(contact.loan_id)
    return found


def test_queues_take_the_best_ranked_and_send_the_rest_on(database: Database) -> None:
    """Capacity holds, the ranking decides, who is turned away tries the next candidate, and its trace says why."""
    people = [PersonSpec((LoanSpec(10 + n, stage="phone", amount=100_00 * (6 - n)),)) for n in range(6)]
    fill(database, people)
    result = run(database, queues=QUEUES)
    # The oldest debt gets the senior; of the others the two largest amounts get the juniors; the rest a text.
    assert seats(database) == {"senior": [6], "junior": [1, 2]}
    rows = decisions(database)
    assert [rows[loan].rule for loan in range(1, 7)] == [
        "call", "call", "text-again", "text-again", "text-again", "call-senior",
    ]  # fmt: skip
    assert result.counts["turned_away"] == 5
    assert '"queue_full"' in rows[3].trace_json


def test_seats_taken_earlier_in_the_day_stay_taken(database: Database) -> None:
    """A second sweep, or one after an event, has only what is left."""
    fill(database, [PersonSpec((LoanSpec(10, stage="phone"),)) for _ in range(2)])
    run(database, queues=QUEUES)
    assert seats(database) == {"senior": [1], "junior": [2]}
    with database.write() as session:
        loan = session.get_one(Loan, 2)
        loan.stage_entry += 1
    fill_more(database)
    run(database, now=NOW + timedelta(hours=1), queues=QUEUES)
    assert len(seats(database)["senior"]) == 1


def fill_more(database: Database) -> None:
    with database.write() as session:
        for loan in session.exec(select(Loan).where(col(Loan.id) == 2)):
            loan.stage_on = loan.stage_on + timedelta(days=1)


def test_an_overlap_is_withheld_and_logged(database: Database) -> None:
    """Two strategies for one loan: nothing is sent, and the log says why, for an overdue loan and for another."""
    other = CNY.replace("strategy: test-cny", "strategy: test-second")
    fill(database, (PersonSpec((LoanSpec(5),)),))
    sweep(database, rulebook(CNY, other), DayGate(), now=NOW)
    assert [(row.outcome, row.strategy) for row in decisions(database).values()] == [("overlap", None)]


def test_a_stale_payment_feed_withholds_dunning(database: Database) -> None:
    """Where the strategy bounds the feed's age, an old feed means no contact and no move forward, and a row that says so."""
    fill(database, (PersonSpec((LoanSpec(4, "USD", "card"), LoanSpec(4, "USD", "card", "legal"))),), feed_age_h=40)
    run(database)
    rows = decisions(database)
    assert {loan: (row.outcome, row.stage_after) for loan, row in rows.items()} == {
        1: ("stale_feed", "current"),
        2: ("stale_feed", "legal"),
    }


def test_what_has_expired_is_closed_first(database: Database) -> None:
    """A contact past its time no longer counts for the day's limit, and says what became of it."""
    fill(database, (PersonSpec((LoanSpec(5),)),))
    run(database)
    run(database, now=NOW + timedelta(days=3))
    with database.session() as session:
        assert [c.status for c in session.exec(select(Contact).order_by(col(Contact.planned_at)))] == [
            "expired",
            "planned",
        ]


def test_a_new_episode_starts_counting_anew(database: Database) -> None:
    """`per: episode` counts within one spell of delinquency, also on the very day on which the next one begins."""
    fill(database, (PersonSpec((LoanSpec(2),)),))
    run(database)
    with database.write() as session:
        first = session.exec(select(Contact)).one()
        first.status, first.outcome = "delivered", ""
        session.get_one(Loan, 1).stage = "reminded"
    assert first.period_json == '{"due_date":"2026-11-22","episode":"1"}'
    run(database, now=NOW + timedelta(days=1))
    with database.write() as session:
        # Cured meanwhile, and late again.
        loan = session.get_one(Loan, 1)
        loan.stage, loan.stage_entry, loan.episode_on = "current", 2, None
    run(database, now=NOW + timedelta(days=5))
    with database.session() as session:
        texts = session.exec(select(Contact).where(Contact.rule == "text").order_by(col(Contact.planned_at))).all()
        assert [(c.planned_at, c.stage_entry, c.slot.split(":")[3:5]) for c in texts] == [
            (NOW, 1, ["episode", "1#1"]),
            (NOW + timedelta(days=5), 3, ["episode", "2#1"]),
        ]
        assert session.get_one(Loan, 1).episode == 2
