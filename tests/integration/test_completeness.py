"""Receipts, contacts, entries and decisions matched on real databases: each gap is a finding with an owner and a state."""

import hmac
import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import col

from compliance import PackDates
from engine.matching import InterpreterMatcher
from store.db import Database
from store.inbox import NewArrival, put, settle
from store.log import seal_key
from store.tables import Arrival, Contact, Deed, Duty
from tests.logs import without_triggers
from tests.outgoing import NOW, Silent, SmallGate, book, borrower_of, door_of, go, rows, small_rulebook
from workflows.deciding.decide import decide_borrowers
from workflows.duties import keep_duties
from workflows.duties_by_hand import close_duty, give_duty
from workflows.log.completeness import OWNER, match

SOON = NOW + timedelta(hours=1)
LATER = NOW + timedelta(days=2)
TODAY = LATER.date()


def sent(database: Database, people: int = 6) -> list[Contact]:
    """Contacts that were decided and have left, one for each borrower."""
    rules = small_rulebook()
    owners = [borrower_of(database, loan) for loan in book(database, people)]
    decide_borrowers(
        database, rules, SmallGate(), borrower_ids=owners, now=NOW, matcher=InterpreterMatcher(rules.strategies)
    )
    go(door_of(database, {"sms": Silent(), "email": Silent()}, rulebook=rules))
    texts: list[Contact] = rows(database, Contact, col(Contact.channel) == "sms")
    return sorted(texts, key=lambda one: one.id)


def found(database: Database, at: datetime = LATER) -> set[tuple[str, str]]:
    """What is open after a match: subject and kind."""
    match(database, now=at, zone="UTC")
    still = [one for one in rows(database, Duty) if one.status in ("open", "lapsed")]
    return {(one.subject, one.rule.removeprefix("match.")) for one in still}


def broken(database: Database, sql: str, **params: Any) -> None:
    """Done past the door, by somebody who may do anything."""
    with without_triggers(database) as connection:
        assert connection.execute(text(sql), params).rowcount > 0


def reported(database: Database, contact: str) -> int:
    """A provider's report on a message that nobody knows, parked."""
    with database.write() as session:
        put(session, [NewArrival("silent", f"report:{contact}", "report", {"contact": contact})], now=NOW)
    (arrival,) = [one for one in rows(database, Arrival) if contact in one.key]
    with database.write() as session:
        settle(session, arrival.id, "parked", f"it is about contact `{contact}`, and there is none", now=NOW)
    return arrival.id or 0


def test_what_one_side_has_and_another_has_not_is_found(database: Database) -> None:
    """Each kind of gap, under its name; what left through the door leaves none."""
    one, two, three, four, five, _ = sent(database)
    assert one.status == "sent"
    assert found(database, SOON) == set()
    broken(database, "update contact set status = 'delivered' where id = :id", id=one.id)
    broken(database, "update contact set status = 'unknown' where id = :id", id=two.id)
    broken(database, "update contact_status set status = 'unknown' where contact_id = :id", id=two.id)
    broken(
        database, "delete from decision where run_id = :run and loan_id = :loan", run=three.run_id, loan=three.loan_id
    )
    for table in ("contact_loan", "contact_status"):
        broken(database, f"delete from {table} where contact_id = :id", id=four.id)
    broken(database, "delete from contact where id = :id", id=four.id)
    for other in rows(database, Contact, col(Contact.loan_id) == four.loan_id):
        for table in ("contact_loan", "contact_status", "contact"):
            key = "id" if table == "contact" else "contact_id"
            broken(database, f"delete from {table} where {key} = :id", id=other.id)
    broken(database, "update contact set provider_ref = 'abc' where id = :id", id=five.id)
    broken(database, "delete from contact_status where contact_id = :id and status = 'sent'", id=five.id)
    arrival = reported(database, "9-9-9")
    # Whatever else the third was to hear of is without its decision as well.
    lost = rows(database, Contact, col(Contact.loan_id) == three.loan_id)
    assert found(database) == {
        (f"contact:{one.id}", "contact_without_entry"),
        (f"contact:{two.id}", "entry_without_receipt"),
        *((f"contact:{other.id}", "contact_without_decision") for other in lost),
        (f"decision:{four.run_id}-{four.loan_id}", "decision_without_contact"),
        (f"contact:{five.id}", "receipt_without_entry"),
        (f"contact:{five.id}", "contact_without_entry"),
        (f"arrival:{arrival}", "receipt_without_entry"),
    }
    assert {one.owner for one in rows(database, Duty)} == {OWNER}


def test_a_finding_is_somebodys_until_it_is_settled(database: Database) -> None:
    """It is given away, outlives the job of the duties, ends when it matches again, comes back, and stays as people settled it."""
    contact = sent(database, 1)[0]
    status = "update contact set status = :status where id = :id"
    broken(database, status, status="delivered", id=contact.id)
    counts = match(database, now=LATER, zone="UTC")
    assert counts == {"new": 1, "gone": 0, "reopened": 0, "open": 1}
    (duty,) = rows(database, Duty)
    give_duty(database, duty.id, "mei")
    for day in (0, 5):
        keep_duties(database, PackDates([], actor="first_party"), now=LATER + timedelta(days=day), zone="UTC")
    (duty,) = rows(database, Duty)
    assert (duty.owner, duty.status) == ("mei", "lapsed")
    assert match(database, now=LATER, zone="UTC") == {"new": 0, "gone": 0, "reopened": 0, "open": 1}
    broken(database, status, status="sent", id=contact.id)
    assert match(database, now=LATER, zone="UTC") == {"new": 0, "gone": 1, "reopened": 0, "open": 0}
    broken(database, status, status="delivered", id=contact.id)
    assert match(database, now=LATER, zone="UTC") == {"new": 0, "gone": 0, "reopened": 1, "open": 1}
    close_duty(database, duty.id, by="mei", evidence="ticket 7", today=TODAY, now=LATER)
    assert match(database, now=LATER, zone="UTC") == {"new": 0, "gone": 0, "reopened": 0, "open": 0}
    (duty,) = rows(database, Duty)
    assert (duty.status, duty.closed_by, duty.evidence) == ("done", "mei", "ticket 7")
    (deed,) = rows(database, Deed, col(Deed.kind) == "settled")
    with database.session() as session:
        key = seal_key(session)
    assert key is not None, "who has the log alone can test no guess of what was written"
    said = hmac.digest(key, b'{"by":"mei","evidence":"ticket 7"}', "sha256").hex()
    assert (deed.kind, deed.subject, deed.at) == ("settled", f"duty:{duty.id}", LATER)
    assert json.loads(deed.detail_json) == {"rule": duty.rule, "subject": duty.subject, "digest": said}


def test_a_message_that_nobody_reports_on_is_found(database: Database) -> None:
    """Of providers that report, after three days; what was found stays until it is reported on, and mails are left alone."""
    late, new, *_ = sent(database, 2)
    day = timedelta(days=1)
    options: dict[str, Any] = {"zone": "UTC", "reporting": {"silent"}}

    def open_at(days: int) -> set[str]:
        match(database, now=NOW + days * day, **options)
        return {one.subject for one in rows(database, Duty) if one.status == "open"}

    broken(database, "update contact set provider = 'mail' where channel = 'email'")
    broken(database, "update contact set provider = 'silent' where channel = 'sms'")
    assert open_at(2) == set()
    assert open_at(4) == {f"contact:{late.id}", f"contact:{new.id}"}
    assert {one.rule for one in rows(database, Duty)} == {"match.message_without_report"}
    broken(database, "update contact set status = 'delivered' where id = :id", id=late.id)
    broken(database, "update contact_status set status = 'delivered' where contact_id = :id", id=late.id)
    broken(database, "update duty set due_on = :on", on=(NOW + 60 * day).date().isoformat())
    assert open_at(40) == {f"contact:{new.id}"}


def test_what_was_sent_before_reports_came_is_not_found_whole(database: Database) -> None:
    """A book of years without them is not made into as many findings; and no provider that does not report makes any."""
    sent(database, 2)
    for days, reporting in ((31, {"silent"}), (4, set[str]()), (4, {"other"})):
        assert match(database, now=NOW + timedelta(days=days), zone="UTC", reporting=reporting)["new"] == 0
