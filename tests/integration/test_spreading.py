"""A sweep's messages leave over a stretch of time, on both databases: always the same for the same book, and never too late."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from engine.gate import Reason, Verdict
from engine.matching import InterpreterMatcher
from store.db import Database
from store.situations import Happened
from store.tables import Contact, Endpoint
from tests.opening import open_database
from tests.sweep_books import CNY, NOW, USD, DayGate, LoanSpec, PersonSpec, everything, fill, rulebook
from workflows.deciding.allotment import Queue
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.spreading import MARGIN
from workflows.deciding.sweep import sweep

BOOK = [PersonSpec((LoanSpec(5),), bucket=9000)] * 40
HOUR = timedelta(hours=1)


def planned(database: Database, now: datetime = NOW, spread: timedelta = 2 * HOUR, **options: Any) -> list[Contact]:
    """What a sweep plans, the earliest first."""
    texts = options.pop("texts", ())
    sweep(database, rulebook(*texts), DayGate(), now=now, spread=spread, loans_per_chunk=7, **options)
    with database.session() as session:
        found = list(session.exec(select(Contact).order_by(col(Contact.not_before_at))))
        session.expunge_all()
    return found


@contextmanager
def another(template: Path, folder: Path) -> Iterator[Database]:
    path = folder / "another.db"
    shutil.copyfile(template, path)
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


def test_messages_are_dealt_over_the_stretch(database: Database) -> None:
    """Not all at once, not in clusters, none before it may go, none after the stretch; limits count them where they will be."""
    fill(database, BOOK)
    found = planned(database)
    dues = [contact.not_before_at for contact in found]
    assert len(set(dues)) > 35
    assert all(NOW <= due < NOW + 2 * HOUR for due in dues)
    quarters = [sum(NOW + n * HOUR / 2 <= due < NOW + (n + 1) * HOUR / 2 for due in dues) for n in range(4)]
    assert min(quarters) >= 4, quarters
    assert [contact.at for contact in found] == dues


def test_the_decision_and_whatever_decides_again_know_nothing_of_it(
    database: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """The same decisions as all at once; the same instants in another database, in other chunks, and in a queue's second look."""
    fill(database, BOOK)
    found = planned(database)
    with another(sqlite_template, tmp_path) as other:
        fill(other, BOOK)
        planned(other, spread=timedelta(0))
        spread, at_once = everything(database), everything(other)
    assert spread["decision"] == at_once["decision"]
    assert spread["contact"] != at_once["contact"]
    with another(sqlite_template, tmp_path) as other:
        fill(other, BOOK)
        sweep(other, rulebook(), DayGate(), now=NOW, spread=2 * HOUR, queues={"senior": Queue("senior", 1)})
        assert everything(other) == spread
    assert {contact.expires_at for contact in found} == {NOW + 24 * HOUR}


def test_the_stretch_ends_with_the_hours_of_the_day(database: Database) -> None:
    """An hour before they end it is a half, so that nobody has to wait for the next day, which would be another's decision."""
    fill(database, BOOK)
    evening = NOW + 7 * HOUR
    assert all(evening <= contact.not_before_at < evening + HOUR / 2 for contact in planned(database, evening))


def test_so_late_that_nothing_is_left_nothing_is_moved(database: Database) -> None:
    """Three minutes before the hours end."""
    fill(database, BOOK)
    late = NOW + timedelta(hours=7, minutes=57)
    assert {contact.not_before_at for contact in planned(database, late)} == {late}


def test_a_message_is_due_well_before_its_end(database: Database) -> None:
    """The rule's own window ends at one: what is due in the last half hour could miss it."""
    fill(database, BOOK)
    noon = CNY.replace("act: {sms: friendly}", 'act: {sms: friendly}\n      send: {between: "12:00-13:00"}')
    found = planned(database, texts=(noon, USD))
    assert {contact.expires_at for contact in found} == {NOW + HOUR}
    assert all(contact.not_before_at < NOW + HOUR - MARGIN for contact in found)
    assert max(contact.not_before_at for contact in found) > NOW + HOUR / 3


def test_it_stays_the_same_day_where_no_hours_end(database: Database) -> None:
    """A mail that may go by night does not go on the next day."""

    class AnyHour(DayGate):
        def check(self, ask: Any, now: datetime) -> Any:
            return super().check(ask, now.replace(hour=NOW.hour))

    fill(database, BOOK)
    night = NOW + timedelta(hours=11, minutes=30)
    sweep(database, rulebook(), AnyHour(), now=night, spread=2 * HOUR)
    with database.session() as session:
        dues = session.exec(select(Contact.not_before_at)).all()
    assert all(night <= due < night + HOUR / 2 for due in dues)
    assert len(set(dues)) > 20


def test_tasks_of_queues_are_not_spread(database: Database) -> None:
    """Agents begin when they begin; a seat is for a day, and a visit has its own plan."""
    fill(database, [PersonSpec((LoanSpec(15, stage="phone"),), bucket=9000)] * 9)
    found = planned(database, queues={"senior": Queue("senior", 5)})
    assert {(contact.channel, contact.not_before_at) for contact in found} == {("call", NOW)}


@pytest.mark.parametrize("channel", ["letter", "email", "recorded"])
def test_only_what_a_provider_carries_is_spread(database: Database, channel: str) -> None:
    """Letters are printed in batches; mails and calls that no agent makes leave like texts."""
    act = "{call: {recorded: friendly}}" if channel == "recorded" else f"{{{channel}: friendly}}"
    fill(database, BOOK)
    with database.write() as session:
        for person in range(1, len(BOOK) + 1):
            session.add(Endpoint(person_id=person, kind="postal", value="A street", recorded_at=NOW - 9 * HOUR))
    found = planned(database, texts=(CNY.replace("{sms: friendly}", act, 1), USD))
    assert len(found) == 40
    assert (len({contact.not_before_at for contact in found}) > 30) == (channel != "letter")


def test_what_an_event_called_for_goes_at_once(database: Database) -> None:
    """By the event's own run, and by the sweep that it joins where the gate put it off: an answer has waited enough."""

    class Later(DayGate):
        def check(self, ask: Any, now: datetime) -> Any:
            later = NOW + timedelta(days=2)
            return super().check(ask, now) if now >= later or ask.person > 4 else _until(later)

    fill(database, [PersonSpec((LoanSpec(-9),))] * 8)
    decide_borrowers(
        database, rulebook(), Later(), borrower_ids=range(1, 9), now=NOW, actor="first_party",
        matcher=InterpreterMatcher(rulebook().strategies),
        happened=Happened(by_loan=dict.fromkeys(range(1, 9), frozenset({"payment"}))),
    )  # fmt: skip
    sweep(database, rulebook(), Later(), now=NOW + timedelta(days=2), spread=2 * HOUR)
    with database.session() as session:
        dues = session.exec(select(Contact.not_before_at).order_by(col(Contact.person_id))).all()
    assert dues == [NOW + timedelta(days=2)] * 4 + [NOW] * 4


def _until(later: datetime) -> Verdict:
    return Verdict("defer", (Reason("test.later", "defer", "", "not yet", later),), later)
