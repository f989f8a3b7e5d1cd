"""Runs that never happen: what was to be said is said later and once, and what has become stale is not said at all."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import col, select

from engine.errors import SettingsError
from engine.rulebook import Rulebook
from store.db import Database
from store.tables import Contact, ContactStatus
from tests.opening import open_database
from tests.outgoing import Silent, counts, door_of, go
from tests.sweep_books import NOW, DayGate, LoanSpec, PersonSpec, fill, rulebook
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.sweep import sweep
from workflows.sending.door import Door

LADDER = """
strategy: test-cny
applies_to: currency = 'CNY'
currency: CNY
stages:
  reminded:
    - id: first
      when: [dpd between 1 and 14, has_mobile]
      act: {sms: friendly}
      repeat: {max: 1, per: episode}
      because: A test.
    - id: second
      when: [dpd >= 5, days_since_message between 3 and 900]
      act: {sms: friendly}
      repeat: {max: 1, per: episode}
      because: It speaks of the first.
    - id: notice
      purpose: required_notice
      when: [dpd >= 10, has_email]
      act: {email: friendly}
      repeat: {max: 1, per: episode}
      because: A test.
"""
DAYS = 30
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BOOK = [PersonSpec((LoanSpec(dpd, stage="reminded"),), bucket=dpd * 7 + 50) for dpd in (-4, -1, 1, 3, 5)]
SHANGHAI = ZoneInfo("Asia/Shanghai")


@contextmanager
def fresh(template: Path, path: Path) -> Iterator[Database]:
    shutil.copyfile(template, path)
    database = open_database(f"sqlite:///{path}")
    fill(database, BOOK)
    yield database
    database.close()


def lived(database: Database, rules: Rulebook, happens: Callable[[], bool]) -> dict[tuple[int, str], date]:
    """A sweep and two dispatches a day, of which some do not happen; (person, rule) -> the day it was said on, each once."""
    door = door_of(database, {"sms": Silent(), "email": Silent()}, rulebook=rules, gate=DayGate())
    reader = ChunkReader(rules, actor="first_party")
    for number in range(DAYS):
        day = NOW + number * DAY
        if happens():
            sweep(database, rules, DayGate(), now=day, reader=reader)
        for hour in (1, 5):
            if happens():
                go(door, day + hour * HOUR)
    with database.session() as session:
        said = session.exec(select(Contact).where(col(Contact.status) == "sent")).all()
        assert Counter((one.person_id, one.rule) for one in said).most_common(1)[0][1] == 1
        return {(one.person_id, one.rule or ""): one.at.astimezone(SHANGHAI).date() for one in said}


def test_any_runs_may_be_missed_and_everybody_is_told_the_same_once(sqlite_template: Path, tmp_path: Path) -> None:
    """Later perhaps, never twice, never the second before the first; of thirty days' runs a third to three fifths are dropped."""
    rules = rulebook(LADDER)
    with fresh(sqlite_template, tmp_path / "all.db") as database:
        wanted = lived(database, rules, lambda: True)
    assert len(wanted) == 3 * len(BOOK)
    later = 0
    for seed in range(3):
        chance, dropped = Random(seed), 0.3 + seed * 0.15
        with fresh(sqlite_template, tmp_path / f"{seed}.db") as database:
            said = lived(database, rules, lambda chance=chance, dropped=dropped: chance.random() > dropped)  # type: ignore[misc]
        assert said.keys() == wanted.keys(), seed
        assert all(said[one] >= wanted[one] for one in wanted), seed
        later += sum(said[one] > wanted[one] for one in wanted)
        people = {person for person, _ in wanted}
        assert all(said[person, "second"] >= said[person, "first"] + 3 * DAY for person in people), seed
    assert later > 10


@contextmanager
def stopped(database: Database) -> Iterator[tuple[Door, Silent, datetime]]:
    """A scheduler that stopped just after its sweep, with everything planned, and three days later."""
    fill(database, [PersonSpec((LoanSpec(5, stage="reminded"),))] * 6)
    rules, adapter = rulebook(LADDER), Silent()
    sweep(database, rules, DayGate(), now=NOW)
    yield door_of(database, {"sms": adapter, "email": adapter}, rulebook=rules, gate=DayGate()), adapter, NOW + 3 * DAY


def stale(database: Database) -> list[tuple[str, str]]:
    with database.session() as session:
        wanted = select(ContactStatus.contact_id, ContactStatus.why).where(col(ContactStatus.status) == "expired")
        return sorted(session.exec(wanted).all())


WHY = "its time had passed before it could go"


def test_after_three_days_dispatch_lets_nothing_stale_out(database: Database) -> None:
    """It comes first, every two minutes: each contact of then is closed, with a reason, and counted in what the job says."""
    with stopped(database) as (door, adapter, back):
        assert counts(go(door, back)) == {"expired": 6}
    assert adapter.seen == []
    assert [why for _, why in stale(database)] == [WHY] * 6


@pytest.mark.parametrize("braked", [True, False])
def test_after_three_days_everybody_hears_once_by_that_days_decision(
    database: Database, caplog: pytest.LogCaptureFixture, braked: bool
) -> None:
    """The sweep comes first: what it drops it says, what it plans waits for a person where that is much, and is one each."""
    caplog.set_level(logging.INFO, logger="workflows.deciding.sweep")
    with stopped(database) as (door, adapter, back):
        share_max = 0.5 if braked else 1
        result = sweep(database, door.rulebook, DayGate(), now=back, backlog_share_max=share_max)
        said = [record for record in caplog.records if getattr(record, "action", "") == "contacts_expired"]
        assert [record.count for record in said] == [6]  # type: ignore[attr-defined]
        assert [why for _, why in stale(database)] == [WHY] * 6
        if braked:
            with pytest.raises(SettingsError, match="the brake is on: 6 contacts are planned for 6 loans"):
                go(door, back)
            assert adapter.seen == []
            return
        for hour in range(3):
            go(door, back + hour * HOUR)
    assert len(adapter.seen) == 6
    assert all(contact.startswith(f"{result.run_id}-") for contact in adapter.seen)
    with database.session() as session:
        told = session.exec(select(Contact.person_id).where(col(Contact.status) == "sent")).all()
    assert len(set(told)) == 6
