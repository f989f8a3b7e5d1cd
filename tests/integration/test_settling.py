"""A person's word about a message in doubt, on both databases: written down once, final, and never overruled in silence."""

import json
import logging

import pytest
from sqlmodel import col

from channels.reports import StatusReport
from store.db import Database
from store.inbox import put
from store.tables import Arrival, ContactStatus, Event, Notice
from tests.integration.test_fate import EARS, EVIDENCE
from tests.outgoing import NOW, book, contact_of, plan, rows, statuses
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import TakenIn, take_in
from workflows.sending.settling import Finding, Settled, settle

WHO = ("mei", "the provider's invoice lists it", "ticket 12")


def doubtful(database: Database, **values: object) -> str:
    (loan,) = book(database)
    return plan(database, loan, status="unknown", outcome="unknown", **{"provider": "twilio", **values})


def say(database: Database, contact: str, settled: Settled, *who: str) -> str:
    return settle(database, contact, Finding(settled, *(who or WHO)), EVIDENCE, now=NOW)


def hear(database: Database, contact: str, status: str, code: str = "") -> TakenIn:
    meaning = "try_later" if status == "failed" else "ok"
    report = StatusReport("twilio", contact, "SM1", status, code, meaning, "")  # type: ignore[arg-type]
    with database.write() as session:
        put(session, [arrival_of(report, nonce=lambda: "n")], now=NOW)
    return take_in(database, EARS, lambda: NOW)


def test_what_was_sent_has_its_consequences(database: Database) -> None:
    """As when the provider had said so: its notice is served; and whose word it is stands in the history."""
    contact = doubtful(database)
    assert say(database, contact, "sent") == "sent"
    assert (contact_of(database, contact).status, contact_of(database, contact).outcome) == ("sent", "sent")
    assert [notice.contact_id for notice in rows(database, Notice)] == [contact]
    last = rows(database, ContactStatus, col(ContactStatus.contact_id) == contact)[-1]
    assert last.why == "mei settled it as sent: the provider's invoice lists it (evidence: ticket 12)"
    assert json.loads(last.detail_json)["by_hand"] is True


def test_what_was_not_sent_is_news_for_the_rules(database: Database) -> None:
    """It has failed, nobody's number is blamed, and the rules may decide anew."""
    contact = doubtful(database)
    assert say(database, contact, "not_sent") == "failed"
    assert contact_of(database, contact).status == "failed"
    assert [(event.kind, json.loads(event.detail_json)["meaning"]) for event in rows(database, Event)] == [
        ("delivery_failed", "unclear")
    ]
    assert rows(database, Notice) == []


def test_nothing_is_settled_twice_or_by_half(database: Database) -> None:
    """Terminal stays terminal; tasks, strangers and empty words are refused, and nothing is changed."""
    contact = doubtful(database)
    for who, option in ((("", "b", "c"), "by"), (("a", " ", "c"), "because"), (("a", "b", ""), "evidence")):
        with pytest.raises(Exception, match=f"`--{option}` says nothing"):
            say(database, contact, "sent", *who)
    say(database, contact, "not_sent")
    before = statuses(database, contact)
    with pytest.raises(Exception, match=f"contact `{contact}` is failed, and not in doubt"):
        say(database, contact, "sent")
    with pytest.raises(Exception, match="no contact `9-9-9`"):
        say(database, "9-9-9", "sent")
    (loan,) = book(database)
    call = plan(database, loan, "call", status="unknown")
    with pytest.raises(Exception, match=f"contact `{call}` is a task for people"):
        say(database, call, "sent")
    assert statuses(database, contact) == before
    assert contact_of(database, call).status == "unknown"


@pytest.mark.parametrize("status", ["sent", "delivered"])
def test_a_report_that_contradicts_not_sent_waits_for_a_person(
    database: Database, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The contact stays as it was settled, the provider's id included; the report is parked, with an alert."""
    contact = doubtful(database)
    say(database, contact, "not_sent")
    assert hear(database, contact, status) == TakenIn(parked=1)
    assert (contact_of(database, contact).status, contact_of(database, contact).provider_ref) == ("failed", None)
    (arrival,) = rows(database, Arrival)
    assert arrival.why == f"twilio says that contact `{contact}` was {status}, and somebody settled it as not sent"
    assert [record.action for record in caplog.records if record.levelno == logging.ERROR] == ["alert"]


def test_a_report_that_says_the_same_or_more_is_taken(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Sent, and then delivered; not sent, and the provider says failed; sent, and it failed later, which is an alert."""
    first, second, third = (doubtful(database) for _ in range(3))
    say(database, first, "sent")
    assert hear(database, first, "delivered") == TakenIn(done=1)
    assert contact_of(database, first).status == "delivered"
    say(database, second, "not_sent")
    assert hear(database, second, "failed", "30003") == TakenIn(done=1)
    assert contact_of(database, second).status == "failed"
    assert [record for record in caplog.records if record.__dict__.get("action") == "alert"] == []
    say(database, third, "sent")
    assert hear(database, third, "failed", "30003") == TakenIn(done=1)
    assert contact_of(database, third).status == "failed"
    told = [record.getMessage() for record in caplog.records if record.__dict__.get("action") == "alert"]
    assert told == ["a message that somebody settled as sent has failed"]
