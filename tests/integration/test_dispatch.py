"""Dispatch against real databases: what leaves, when, and that nobody can read from the log to whom."""

import logging
from datetime import timedelta

import pytest

from channels.message import Receipt
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import FakeProvider
from store.db import Database
from store.tables import Endpoint, Person
from tests.outgoing import NOW, Silent, book, contact_of, counts, door_of, go, plan, real_adapters, rows, statuses, to
from workflows.sending.door import Lane


def test_what_is_due_leaves_over_http_and_smtp(database: Database) -> None:
    """A text goes to the provider, a mail to the mail server and a call to its queue; each is logged as it goes."""
    first, second, third = book(database, 3)
    text, mail, call = plan(database, first), plan(database, second, "mail"), plan(database, third, "call")
    with FakeProvider() as provider, FakeMailServer() as mails:
        done = go(door_of(database, real_adapters(provider, mails)))
        assert counts(done) == {"sent": 2, "handed over": 1}
        assert [m.to for m in provider.of_contact(text)] == [rows(database, Endpoint)[0].value]
        assert len(mails.of_contact(mail)) == 1
        assert counts(go(door_of(database, real_adapters(provider, mails)))) == {}
        assert (len(provider.accepted), len(mails.taken)) == (1, 1)
    assert statuses(database, text) == ["planned", "sending", "sent"]
    assert statuses(database, call) == ["planned", "sending", "sent"]
    sent = contact_of(database, text)
    assert (sent.provider, sent.at, sent.attempts, sent.outcome) == ("twilio", NOW, 1, "sent")
    assert sent.provider_ref is not None
    assert contact_of(database, call).claimed_by is None


def test_nothing_leaves_before_its_time_or_after(database: Database) -> None:
    """A contact waits for its instant, and one whose time has passed is closed, not sent late."""
    early, late = (
        plan(database, book(database)[0], not_before_at=NOW + timedelta(minutes=1)),
        plan(database, book(database)[0], expires_at=NOW),
    )
    adapter, wired = to(database)
    assert counts(go(door_of(**wired))) == {"expired": 1}
    assert adapter.seen == []
    assert contact_of(database, early).status == "planned"
    assert (contact_of(database, late).status, contact_of(database, late).why) == (
        "expired",
        "its time had passed before it could go",
    )


def test_nothing_personal_is_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Names, numbers, addresses and message texts of the book appear in no log line, whatever happens."""
    caplog.set_level(logging.DEBUG)
    loans = book(database, 6)
    answers = iter([
        Receipt("unknown", "p", "", "timeout", "unclear", "x"), Receipt("failed", "p", "", "30007", "blocked", "x"),
        Receipt("failed", "p", "", "21610", "opted_out", "x"), Receipt("failed", "p", "", "30005", "bad_address", "x"),
        Receipt("retry", "p", "", "20003", "misconfigured", "x"),
    ])  # fmt: skip
    for loan in loans:
        plan(database, loan, name="friendly")
    with FakeProvider() as provider, FakeMailServer() as mails:
        for loan in loans[:2]:
            plan(database, loan, "mail")
        adapters = {**real_adapters(provider, mails), "sms": Silent(lambda _: next(answers))}
        go(door_of(database, adapters, lanes={"sms": Lane(1)}))
    # The mail server's own log is no log of ours.
    ours = [record for record in caplog.records if record.name != "mail.log"]
    said = " ".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    assert any(getattr(record, "action", "") == "alert" for record in caplog.records)
    for person in rows(database, Person):
        assert person.name not in said
    for endpoint in rows(database, Endpoint):
        assert endpoint.value not in said
    assert "please pay" not in said
