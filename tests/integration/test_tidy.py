"""The inbox lets go of what was handled long ago, on both databases; what it led to stays, and what comes again changes nothing."""

import json
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import col

from channels.reports import StatusReport
from store.db import Database
from store.inbox import put
from store.tables import Arrival, ContactStatus, Deed
from tests.integration.test_fate import EARS
from tests.outgoing import NOW, add, book, contact_of, plan, rows
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import TakenIn, take_in
from workflows.scheduling import tidy
from workflows.scheduling.tidy import tidy_inbox

KEEP = timedelta(days=90)
LATER = NOW + timedelta(days=100)
DAY = timedelta(days=1)


def arrival(key: str, state: str, ended: timedelta | None) -> Arrival:
    at = NOW - ended if ended is not None else None
    return Arrival(
        source="t", key=key, kind="report", state=state, recorded_at=NOW - timedelta(days=400),
        due_at=NOW - timedelta(days=400), ended_at=at, private_json='{"text": "hello"}' if state == "parked" else None,
    )  # fmt: skip


def keys(database: Database) -> list[str]:
    return sorted(one.key for one in rows(database, Arrival))


def test_only_what_was_handled_long_ago_goes(database: Database) -> None:
    """To the day; what waits, is parked or was closed by a person stays, however old; the log says how much went."""
    add(
        database,
        arrival("old", "done", 90 * DAY + timedelta(seconds=1)),
        arrival("young", "done", 90 * DAY - timedelta(seconds=1)),
        arrival("waits", "waiting", None),
        arrival("parked", "parked", 300 * DAY),
        arrival("closed", "closed", 300 * DAY),
    )
    assert tidy_inbox(database, keep=KEEP, now=NOW) == {"purged": 1}
    assert keys(database) == ["closed", "parked", "waits", "young"]
    (deed,) = rows(database, Deed)
    assert (deed.kind, deed.subject) == ("purge", "arrival")
    assert json.loads(deed.detail_json) == {"arrivals": 1, "handled_before": (NOW - KEEP).isoformat()}
    assert tidy_inbox(database, keep=KEEP, now=NOW) == {"purged": 0}
    assert len(rows(database, Deed)) == 1


def test_a_long_list_goes_bit_by_bit(database: Database) -> None:
    """In transactions of ten thousand; told to stop, it ends between two of them and goes on the next night."""
    count = 2 * tidy._BATCH + 5
    with database.write() as session:
        add_all = [arrival(str(n), "done", 200 * DAY).model_dump(exclude={"id"}) for n in range(count)]
        session.connection().execute(Arrival.__table__.insert(), add_all)  # type: ignore[attr-defined]
    told = iter((False, True))
    assert tidy_inbox(database, keep=KEEP, now=NOW, stop=lambda: next(told)) == {"purged": tidy._BATCH}
    assert tidy_inbox(database, keep=KEEP, now=NOW) == {"purged": tidy._BATCH + 5}
    with database.session() as session:
        assert session.execute(text("select count(*) from arrival")).scalar() == 0


def test_a_report_that_comes_again_changes_nothing(database: Database) -> None:
    """What it led to stands in the contact's history, and is final."""
    (loan,) = book(database)
    contact = plan(database, loan, status="sent", provider="twilio", provider_ref="SM1")
    report = StatusReport("twilio", contact, "SM1", "delivered", "", "ok", "")
    for now in (NOW, LATER):
        with database.write() as session:
            assert put(session, [arrival_of(report, nonce=lambda: "n")], now=now) == 1
        assert take_in(database, EARS, lambda now=now: now) == TakenIn(done=1)  # type: ignore[misc]
        if now == NOW:
            assert tidy_inbox(database, keep=KEEP, now=LATER) == {"purged": 1}
    assert contact_of(database, contact).status == "delivered"
    history = rows(database, ContactStatus, col(ContactStatus.contact_id) == contact)
    assert [one.status for one in history] == ["planned", "delivered"]
