"""Who may be reached at all: switches, environments, the allow list, missing providers and the brake."""

import asyncio
import shutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from channels.message import Message
from engine.errors import SettingsError
from store.db import Database
from store.identity import declare_environment
from store.tables import Contact, Endpoint
from tests.opening import open_database
from tests.outgoing import NOW, Silent, book, contact_of, counts, door_of, go, plan, rows, set_setting, to
from tests.simulation.virtual_time import Time, simulated, us_of
from workflows.brake import apply_brake, release_brake
from workflows.sending.dispatch import dispatch
from workflows.sending.door import Lane


def refused(database: Database, **changes: object) -> str:
    adapter = Silent()
    with pytest.raises(SettingsError) as caught:
        go(door_of(database, {"sms": adapter}, stand_in=False, **changes))
    assert adapter.seen == []
    return str(caught.value)


def test_real_providers_are_reached_from_production_only(database: Database) -> None:
    """Off by default; on only where sending is on and the database was told that it is production."""
    text = plan(database, book(database)[0])
    assert refused(database) == "sending is off\n  mend: run `duecourse db environment --sending on`"
    set_setting(database, "sending", "on")
    assert refused(database) == (
        "this database says it is `development`, so real people are not reached\n"
        "  mend: run `duecourse db environment production`, or name test addresses in `allow_list`"
    )
    set_setting(database, "environment", "production")
    assert refused(database) == (
        "this database says it is production, and it is a copy of the one that was told so\n"
        "  mend: run `duecourse db environment development`; or `... production` if it has taken the other's place"
    )
    assert contact_of(database, text).status == "planned"
    with database.write() as session:
        declare_environment(database, session, "production")
    adapter = Silent()
    assert counts(go(door_of(database, {"sms": adapter}, stand_in=False))) == {"sent": 1}
    assert adapter.seen == [text]


def test_a_copy_of_production_reaches_nobody(sqlite_database: Database, tmp_path: Path) -> None:
    """A copied file says `production` like its original, and refuses to send."""
    plan(sqlite_database, book(sqlite_database)[0])
    set_setting(sqlite_database, "sending", "on")
    with sqlite_database.write() as session:
        declare_environment(sqlite_database, session, "production")
    with sqlite_database.engine.connect() as connection:
        connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
    shutil.copyfile(sqlite_database.place, tmp_path / "copy.db")
    copy = open_database(f"sqlite:///{tmp_path / 'copy.db'}")
    assert refused(copy).startswith("this database says it is production, and it is a copy of the one that was told so")
    copy.close()


def test_outside_production_the_allow_list_is_reached_and_nobody_else(database: Database) -> None:
    """Test addresses are reached however they are spelled; everybody else's contact is cancelled, tasks included."""
    loans = book(database, 2)
    mine, theirs, call = (
        plan(database, loans[0], "mail"),
        plan(database, loans[1], "mail"),
        plan(database, loans[1], "call"),
    )
    set_setting(database, "sending", "on")
    address = next(e.value for e in rows(database, Endpoint) if e.id == contact_of(database, mine).endpoint_id)
    adapter = Silent()
    door = door_of(database, {"email": adapter}, stand_in=False, allow_list=frozenset({f" {address.upper()} "}))
    assert counts(go(door)) == {"sent": 1, "cancelled": 2}
    assert adapter.seen == [mine]
    for contact_id in (theirs, call):
        assert contact_of(database, contact_id).why == "not production, and the address is not on the allow list"


def test_switching_sending_off_stops_what_is_being_looked_at(database: Database) -> None:
    """The switch is asked again in the very transaction that lets a contact out."""
    text = plan(database, book(database)[0])
    set_setting(database, "sending", "on")
    with database.write() as session:
        declare_environment(database, session, "production")
    adapter, wired = to(database)
    door = door_of(**wired, stand_in=False)

    def off(borrowers: object, now: datetime) -> object:
        set_setting(database, "sending", "off")
        return door.situations(borrowers, now)  # type: ignore[arg-type]

    with pytest.raises(SettingsError) as caught:
        go(replace(door, situations=off))  # type: ignore[arg-type]
    assert str(caught.value).startswith("sending is off")
    assert (adapter.seen, contact_of(database, text).status) == ([], "planned")


@pytest.mark.parametrize("switch", ["sending", "brake", "brake.sms"])
def test_a_switch_stops_what_waits_for_its_turn(sqlite_database: Database, switch: str) -> None:
    """Of messages at ten a second no more than those of half a second leave after a switch was turned, by whomever."""
    time, left = Time(us_of(NOW)), list[datetime]()
    for loan in book(sqlite_database, 60):
        plan(sqlite_database, loan)
    set_setting(sqlite_database, "sending", "on")
    with sqlite_database.write() as session:
        declare_environment(sqlite_database, session, "production")

    def turn(_message: Message) -> None:
        left.append(time.at())
        if len(left) == 5:
            set_setting(sqlite_database, switch, "off")

    door = door_of(sqlite_database, {"sms": Silent(before=turn)}, lanes={"sms": Lane(8, 10)}, stand_in=False)
    with simulated(time):
        refuses = nullcontext() if switch == "brake.sms" else pytest.raises(SettingsError)
        with refuses:
            asyncio.run(dispatch(door, time.at))
    assert 5 <= len(left) <= 11
    assert max(left) - left[4] <= timedelta(seconds=0.5)
    assert Counter(contact.status for contact in rows(sqlite_database, Contact)) == {
        "sent": len(left),
        "planned": 60 - len(left),
    }


def test_a_dead_workers_message_is_decided_on_while_nothing_may_leave(database: Database) -> None:
    """The switch is turned after a crash: what the dead worker had in hands is in doubt, so that reports of it are heard."""
    sending = plan(
        database, book(database)[0], status="sending", claimed_by="dead", claimed_until_at=NOW, at=NOW, attempts=1
    )
    assert refused(database).startswith("sending is off")
    assert contact_of(database, sending).status == "unknown"


def test_a_channel_without_a_provider_says_so(database: Database) -> None:
    """What is due on a channel nobody set up waits, and the dispatch says what is missing."""
    loans = book(database, 2)
    text, mail = plan(database, loans[0]), plan(database, loans[1], "mail")
    done = go(door_of(database, {"sms": Silent()}))
    assert counts(done) == {"sent": 1}
    assert [str(problem) for problem in done.problems] == [
        "1 email contacts are due, and no email provider is set up\n  mend: write `mail:` in duecourse.yaml"
    ]
    assert (contact_of(database, text).status, contact_of(database, mail).status) == ("sent", "planned")


def test_the_brake_stops_everything_until_a_person_lets_go(database: Database) -> None:
    """After a sweep that planned for more of the book than usual nothing leaves, and the message says how to go on."""
    loans = book(database, 4)
    for loan in loans[:2]:
        plan(database, loan)
    with database.write() as session:
        assert apply_brake(session, 1, 0, share_max=0.5, now=NOW) is None
    plan(database, loans[2])
    with database.write() as session:
        why = apply_brake(session, 1, 0, share_max=0.5, now=NOW)
    assert why == "3 contacts are planned for 4 loans, more than 50%, at 2026-11-24 04:00Z"
    adapter, wired = to(database)
    with pytest.raises(SettingsError) as caught:
        go(door_of(**wired))
    assert str(caught.value) == (
        f"the brake is on: {why}\n  mend: look at `duecourse sweep --plan`, then run `duecourse dispatch --release`"
    )
    assert adapter.seen == []
    with database.write() as session:
        release_brake(session)
    assert counts(go(door_of(**wired))) == {"sent": 3}
