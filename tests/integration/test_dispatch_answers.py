"""What becomes of a contact by the answer of a provider: in doubt, tried again, failed, or its channel stopped."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import col

from channels.message import Meaning, Message, Receipt, Status
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import FakeProvider
from store.db import Database
from store.outbox import NEXT, TASK_CHANNELS, move
from store.tables import Consent, Contact, Endpoint, Event
from tests.outgoing import (
    NOW,
    Silent,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    real_adapters,
    rows,
    to,
)
from workflows.brake import release_brake
from workflows.sending.door import Lane


def receipt(status: Status, meaning: Meaning = "try_later", code: str = "30003") -> Callable[[Message], Receipt]:
    return lambda _: Receipt(status, "silent", "", code, meaning, "in words")


def test_unknown_is_never_sent_again(database: Database) -> None:
    """A send in doubt counts, stays in doubt, and no later round touches it."""
    text = plan(database, book(database)[0])
    adapter, wired = to(database, receipt("unknown", "unclear", "timeout"))
    assert counts(go(door_of(**wired))) == {"unknown": 1}
    for hours in (1, 3, 30):
        assert counts(go(door_of(**wired), NOW + timedelta(hours=hours))) == {}
    assert adapter.seen == [text]
    assert contact_of(database, text).status == "unknown"


def test_retry_backs_off_and_ends(sqlite_database: Database) -> None:
    """What was surely not sent is tried four times, five, ten and twenty minutes apart, and then has failed."""
    text = plan(sqlite_database, book(sqlite_database)[0])
    adapter, wired = to(sqlite_database, receipt("retry"))
    tries = [NOW]
    while True:
        done = counts(go(door_of(**wired), tries[-1]))
        contact = contact_of(sqlite_database, text)
        if contact.status != "planned":
            break
        assert done == {"retry": 1}
        assert contact.at == contact.not_before_at
        assert counts(go(door_of(**wired), contact.not_before_at - timedelta(seconds=1))) == {}
        tries.append(contact.not_before_at)
    assert [(at - NOW) // timedelta(minutes=1) for at in tries] == [0, 5, 15, 35]
    assert (done, contact.status, contact.attempts, len(adapter.seen)) == ({"failed": 1}, "failed", 4, 4)
    (event,) = rows(sqlite_database, Event)
    assert (event.kind, event.source, event.key) == ("delivery_failed", "dispatch", f"{text}:4")
    assert json.loads(event.detail_json) == {"channel": "sms", "code": "30003", "meaning": "try_later"}


def test_retry_does_not_outlive_the_contact(database: Database) -> None:
    """A contact that would be too late by the next try has failed, so that another channel gets its turn."""
    text = plan(database, book(database)[0], expires_at=NOW + timedelta(minutes=5))
    _, wired = to(database, receipt("retry"))
    assert counts(go(door_of(**wired))) == {"failed": 1}
    assert contact_of(database, text).status == "failed"


def test_an_opt_out_the_provider_knows_of_is_ours_from_then_on(database: Database) -> None:
    """A refusal for opting out writes the consent ledger; the next text to that person is refused by the gate."""
    (loan,) = book(database)
    plan(database, loan)
    _, wired = to(database, receipt("failed", "opted_out", "21610"))
    assert counts(go(door_of(**wired))) == {"failed": 1}
    (said,) = rows(database, Consent)
    assert (said.person_id, said.kind, said.channels, said.how) == (
        borrower_of(database, loan), "opt_out", "sms", "refused by silent with 21610",
    )  # fmt: skip
    again = plan(database, loan)
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert contact_of(database, again).why == "refused: test.opted_out"


def test_a_dead_number_is_not_used_again(database: Database) -> None:
    """A bad address invalidates the endpoint and tells the rules that listen."""
    (loan,) = book(database)
    text = plan(database, loan)
    _, wired = to(database, receipt("failed", "bad_address", "30005"))
    assert counts(go(door_of(**wired))) == {"failed": 1}
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.id) == contact_of(database, text).endpoint_id)] == [
        False
    ]
    assert [event.kind for event in rows(database, Event)] == ["delivery_failed"]


def test_settings_that_a_provider_refuses_stop_its_channel(sqlite_database: Database) -> None:
    """One refusal of our account stops texts, not mail; nobody's tries are used up; a person lets it go on."""
    loans = book(sqlite_database, 12)
    texts = [plan(sqlite_database, loan) for loan in loans[:10]]
    mail = plan(sqlite_database, loans[10], "mail")
    sms, email = Silent(receipt("retry", "misconfigured", "20003")), Silent()
    wired = {"database": sqlite_database, "adapters": {"sms": sms, "email": email}, "lanes": {"sms": Lane(1)}}
    done = go(door_of(**wired))
    assert counts(done) == {"retry": 1, "waiting": 9, "sent": 1}
    assert (len(sms.seen), email.seen) == (1, [mail])
    (problem,) = done.problems
    assert str(problem) == (
        "sms stands still: silent refused our settings (20003): in words\n"
        "  mend: mend that, then run `duecourse dispatch --release`"
    )
    later = NOW + timedelta(minutes=6)
    assert counts(go(door_of(**wired), later)) == {}
    with sqlite_database.write() as session:
        release_brake(session)
    sms.answer = lambda _: Receipt("sent", "silent")
    assert counts(go(door_of(**wired), later)) == {"sent": 10}
    assert sorted(contact_of(sqlite_database, text).attempts for text in texts) == [1] * 9 + [2]


def test_an_adapter_that_breaks_or_hangs_leaves_one_contact_in_doubt(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception or silence of an adapter is `unknown` for its message; the others of the round are sent."""
    loans = book(database, 3)
    breaks, hangs, goes = (plan(database, loan) for loan in loans)

    class Odd(Silent):
        async def send(self, message: Message) -> Receipt:
            if message.contact_id == breaks:
                raise RuntimeError(f"no route to {message.to}")
            if message.contact_id == hangs:
                await asyncio.sleep(3600)
            return await super().send(message)

    began = time.monotonic()
    done = go(door_of(database, {"sms": Odd()}, send_seconds_max=0.3))
    assert time.monotonic() - began < 5
    assert counts(done) == {"unknown": 2, "sent": 1}
    assert {contact_of(database, c).error for c in (breaks, hangs)} == {"broken", "timeout"}
    assert contact_of(database, goes).status == "sent"
    assert "+86" not in caplog.text


@pytest.mark.parametrize(("fault", "status", "word"), [
    ("drop", "unknown", "unknown"), ("drop_after_accept", "unknown", "unknown"), (503, "unknown", "unknown"),
    (429, "planned", "retry"), (21610, "failed", "failed"), (30005, "failed", "failed"),
])  # fmt: skip
def test_what_the_real_protocol_says_of_a_text(
    sqlite_database: Database, fault: object, status: str, word: str
) -> None:
    """A cut connection or a server's fault is in doubt, a plain refusal is sure; nothing is offered twice."""
    text = plan(sqlite_database, book(sqlite_database)[0])
    with FakeProvider() as provider, FakeMailServer() as mails:
        provider.fault(rows(sqlite_database, Endpoint)[0].value, fault)  # type: ignore[arg-type]
        assert counts(go(door_of(sqlite_database, real_adapters(provider, mails)))) == {word: 1}
        assert provider.requests == 1
    assert contact_of(sqlite_database, text).status == status


def test_a_number_in_a_region_that_is_not_enabled_stops_nobody_elses_texts(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails alone, keeps its number, and somebody is told; the others of the round and of the next go."""
    abroad, *others = (plan(sqlite_database, loan) for loan in book(sqlite_database, 4))
    contact = contact_of(sqlite_database, abroad)
    (number,) = rows(sqlite_database, Endpoint, col(Endpoint.id) == contact.endpoint_id)
    with FakeProvider() as provider, FakeMailServer() as mails:
        provider.fault(number.value, 21408, always=True)
        wired = {"database": sqlite_database, "adapters": real_adapters(provider, mails), "lanes": {"sms": Lane(1)}}
        done = go(door_of(**wired))
        assert (counts(done), done.problems) == ({"failed": 1, "sent": 3}, [])
        plan(sqlite_database, book(sqlite_database)[0])
        assert counts(go(door_of(**wired), NOW + timedelta(hours=1))) == {"sent": 1}
    assert [contact_of(sqlite_database, one).status for one in others] == ["sent"] * 3
    assert rows(sqlite_database, Endpoint, col(Endpoint.id) == contact.endpoint_id)[0].valid
    told = [(one.contact, one.code) for one in caplog.records if getattr(one, "action", "") == "alert"]  # type: ignore[attr-defined]
    assert told == [(abroad, "21408")]


def test_an_unreachable_provider_loses_nothing(sqlite_database: Database) -> None:
    """With nobody listening at either address every contact is planned again, for later."""
    loans = book(sqlite_database, 2)
    ids = [plan(sqlite_database, loans[0]), plan(sqlite_database, loans[1], "mail")]
    with FakeProvider() as provider, FakeMailServer() as mails:
        adapters = real_adapters(provider, mails)
    assert counts(go(door_of(sqlite_database, adapters))) == {"retry": 2}
    assert {contact_of(sqlite_database, c).status for c in ids} == {"planned"}


@pytest.mark.parametrize("channel", ["sms", *TASK_CHANNELS])
def test_no_status_moves_back(sqlite_database: Database, channel: str) -> None:
    """Of every pair of statuses only those of the table can follow each other; a task in its queue can be called off."""
    (loan,) = book(sqlite_database)
    everywhere = sorted(NEXT)
    for first in everywhere:
        for then in everywhere:
            queue = "junior" if channel in TASK_CHANNELS else None
            contact_id = plan(sqlite_database, loan, status=first, channel=channel, name="x", queue=queue)
            with sqlite_database.write() as session:
                did = move(session, session.get_one(Contact, contact_id), then, at=NOW, why="a test")
            queued = channel in TASK_CHANNELS and first == "sent" and then in ("cancelled", "expired", "unknown")
            assert did == (then in NEXT[first] or queued), (first, then)
            assert contact_of(sqlite_database, contact_id).status == (then if did else first)
    assert all(not NEXT[status] for status in ("delivered", "failed", "cancelled", "expired"))
