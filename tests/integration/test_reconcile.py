"""Messages in doubt, looked up at the provider's stand-in: found and settled, or kept in doubt; never sent again."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlmodel import col, select

from channels.message import Adapter, Message, Receipt, Sought
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider, Fault
from store.db import Database
from store.outbox import RECORDED_CALL
from store.settings import known_secret
from store.tables import ContactStatus, Event, Notice
from tests.outgoing import (
    DATES,
    NOW,
    Silent,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    rows,
    statuses,
)
from workflows.sending.fate import Evidence
from workflows.sending.reconcile import PAUSES, Reconciled, reconcile
from workflows.sending.text_seal import is_sealed, seal

EVIDENCE = Evidence(lambda contact: "visit_notice" if contact.rule == "text" else None, DATES)
SOON = NOW + PAUSES[0]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """Its clock stands at the tests' noon."""
    with FakeProvider(clock=NOW.timestamp) as running:
        yield running


def sms(provider: FakeProvider, **more: Any) -> SmsAdapter:
    return SmsAdapter(
        SmsSettings(
            ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider.base_url, timeout_seconds=2,
            callback_url="http://127.0.0.1:9/report", **more,
        )
    )  # fmt: skip


def ask(
    database: Database, adapters: Mapping[str, Adapter], now: datetime = SOON, evidence: Evidence = EVIDENCE
) -> Reconciled:
    return asyncio.run(reconcile(database, adapters, evidence, lambda: now))


def why(database: Database, contact: str) -> str:
    """The last line of its history."""
    with database.session() as session:
        wanted = select(ContactStatus.why).where(col(ContactStatus.contact_id) == contact)
        return list(session.exec(wanted.order_by(col(ContactStatus.id))))[-1]


def number_of(provider: FakeProvider, database: Database, loan: int) -> str:
    from store.tables import Endpoint

    person = borrower_of(database, loan)
    return next(e.value for e in rows(database, Endpoint, col(Endpoint.person_id) == person) if e.kind == "mobile")


def test_an_answer_that_was_lost_is_found(database: Database, provider: FakeProvider) -> None:
    """Taken, and its answer lost: it was sent, with its notice and the provider's id; nothing goes out a second time."""
    (loan,) = book(database)
    provider.fault(number_of(provider, database, loan), "drop_after_accept")
    contact, adapter = plan(database, loan), sms(provider)
    assert counts(go(door_of(database, {"sms": adapter}))) == {"unknown": 1}
    assert ask(database, {"sms": adapter}, NOW + timedelta(seconds=30)) == Reconciled()
    assert ask(database, {"sms": adapter}) == Reconciled(sent=1)
    (taken,) = provider.of_contact(contact)
    found = contact_of(database, contact)
    assert (found.status, found.provider, found.provider_ref) == ("sent", "twilio", taken.sid)
    assert [(n.kind, n.contact_id) for n in rows(database, Notice)] == [("visit_notice", contact)]
    assert why(database, contact) == "found in the records of twilio"
    assert ask(database, {"sms": adapter}, NOW + timedelta(hours=9)) == Reconciled()
    assert len(provider.of_contact(contact)) == 1


def test_what_is_found_and_did_not_arrive_has_failed(database: Database, provider: FakeProvider) -> None:
    """With what follows from its code."""
    (loan,) = book(database)
    provider.fault(number_of(provider, database, loan), "drop_after_accept")
    contact, adapter = plan(database, loan), sms(provider)
    go(door_of(database, {"sms": adapter}))
    (taken,) = provider.of_contact(contact)
    with pytest.raises(Exception, match="Cannot connect"):
        provider.report(taken.sid, "undelivered", 30006)
    assert ask(database, {"sms": adapter}) == Reconciled(failed=1)
    assert (contact_of(database, contact).status, contact_of(database, contact).error) == ("failed", "30006")
    assert [event.kind for event in rows(database, Event)] == ["delivery_failed"]


def test_what_is_not_listed_is_asked_about_ever_more_rarely(
    database: Database, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays in doubt, with its reason and when it is asked again, until a person has to look; it is never resent."""
    (loan,) = book(database)
    provider.fault(number_of(provider, database, loan), "drop")
    contact, adapter = plan(database, loan), sms(provider)
    go(door_of(database, {"sms": adapter}))
    posted = sum(asked.method == "POST" for asked in provider.asked)
    now = NOW
    for asked, pause in enumerate(PAUSES, start=1):
        now += pause
        assert ask(database, {"sms": adapter}, now - timedelta(seconds=1)) == Reconciled()
        done = ask(database, {"sms": adapter}, now)
        last = asked == len(PAUSES)
        assert done == Reconciled(unknown=1, left_to_people=int(last))
        then = "a report or a person has to settle it" if last else "asked again"
        assert why(database, contact) == f"still in doubt: the provider lists no such message; {then}"
        assert contact_of(database, contact).status == "unknown"
    assert ask(database, {"sms": adapter}, now + timedelta(days=1)) == Reconciled()
    assert sum(asked.method == "POST" for asked in provider.asked) == posted
    alerts = [r.contact for r in caplog.records if getattr(r, "action", "") == "alert" and r.name.endswith("reconcile")]
    assert alerts == [contact]


def test_two_messages_with_one_text_are_told_apart(database: Database, provider: FakeProvider) -> None:
    """The same words to the same number, both in doubt, one of them taken: one is found, and the other is not."""
    (loan,) = book(database)
    number = number_of(provider, database, loan)
    adapter = sms(provider)
    door = door_of(database, {"sms": adapter})
    provider.fault(number, "drop_after_accept", "drop")
    first = plan(database, loan)
    go(door)
    second = plan(database, loan)
    go(door, NOW + timedelta(minutes=1))
    assert ask(database, {"sms": adapter}, NOW + timedelta(minutes=5)) == Reconciled(sent=1, unknown=1)
    assert [contact_of(database, one).status for one in (first, second)] == ["sent", "unknown"]


@pytest.mark.parametrize("like", ["text", "recorded"])
@pytest.mark.parametrize("older_was_taken", [False, True])
def test_a_record_belongs_to_the_offer_that_it_is_nearest_to(
    sqlite_database: Database, like: str, older_was_taken: bool
) -> None:
    """Of two that say the same, hours apart and asked about at once, only the one that was taken is found."""
    (loan,) = book(sqlite_database)
    times = [NOW, NOW + timedelta(hours=5)]
    clock = {"at": times[0]}
    with FakeProvider(clock=lambda: clock["at"].timestamp() + 8) as provider:
        faults: list[Fault] = ["drop_after_accept", "drop"] if older_was_taken else ["drop", "drop_after_accept"]
        provider.fault(number_of(provider, sqlite_database, loan), *faults)
        adapter = sms(provider, calls_from="+15005550030")
        adapters = {"sms": adapter, RECORDED_CALL: adapter}
        contacts = []
        for clock["at"] in times:
            contacts.append(plan(sqlite_database, loan, like))
            go(door_of(sqlite_database, adapters), clock["at"])
        assert [contact_of(sqlite_database, one).status for one in contacts] == ["unknown", "unknown"]
        assert ask(sqlite_database, adapters, times[1] + PAUSES[1]) == Reconciled(1, 0, 1)
    fates = [contact_of(sqlite_database, one).status for one in contacts]
    assert fates == (["sent", "unknown"] if older_was_taken else ["unknown", "sent"])


def test_a_provider_that_is_away_is_left_alone(database: Database, provider: FakeProvider) -> None:
    """Nothing is learnt, it is said so, and after three that got no answer the others wait for the next run."""
    loans = book(database, 5)
    adapter = sms(provider)
    for loan in loans:
        provider.fault(number_of(provider, database, loan), "drop_after_accept")
        plan(database, loan)
    assert counts(go(door_of(database, {"sms": adapter}))) == {"unknown": 5}
    nowhere = SmsAdapter(
        SmsSettings(ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url="http://127.0.0.1:9", timeout_seconds=2)
    )
    assert ask(database, {"sms": nowhere}) == Reconciled(unknown=3)
    assert ask(database, {"sms": adapter}) == Reconciled(sent=2)
    assert ask(database, {"sms": adapter}, NOW + timedelta(minutes=7)) == Reconciled(sent=3)


def test_who_keeps_no_list_is_not_asked(database: Database) -> None:
    """A mail server has none: a person is told once, and a report can still settle it."""
    (loan,) = book(database)
    adapter = Silent(lambda _: Receipt("unknown", "smtp", "<x@y>", "cut", "unclear"), name="smtp")
    contact = plan(database, loan, "mail")
    go(door_of(database, {"email": adapter}))
    assert ask(database, {"email": adapter}) == Reconciled(unknown=1, left_to_people=1)
    assert ask(database, {"email": adapter}, NOW + timedelta(days=2)) == Reconciled()
    said = "still in doubt: the provider keeps no list of messages that could be asked; a report or a person has to settle it"
    assert why(database, contact) == said


class Listing(Silent):
    """Lists what it is told to, and does something while it is asked."""

    found: Receipt | None = None
    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def find(self, sought: Sought) -> Receipt | None:
        self.meanwhile()
        return self.found


def test_news_that_comes_while_the_provider_is_asked_stands(database: Database) -> None:
    """Somebody settles it in between: what they said is final."""
    from workflows.sending.fate import Fate, learn

    (loan,) = book(database)
    adapter = Listing(lambda _: Receipt("unknown", "silent", "", "cut", "unclear"))
    contact = plan(database, loan)
    go(door_of(database, {"sms": adapter}))
    adapter.found = Receipt("failed", "silent", "SM1", "30003", "try_later")

    def settled() -> None:
        with database.write() as session:
            learn(session, contact, Fate("delivered", "silent", "SM1"), EVIDENCE, set(), now=SOON)

    adapter.meanwhile = settled
    assert ask(database, {"sms": adapter}) == Reconciled()
    assert statuses(database, contact) == ["planned", "sending", "unknown", "delivered"]


def test_the_seal_says_nothing_and_knows_its_text(database: Database) -> None:
    """The history of a message holds a seal of its text, by a secret of the database, and none of its words."""
    (loan,) = book(database)
    seen: list[Message] = []
    contact = plan(database, loan)
    go(door_of(database, {"sms": Silent(before=seen.append)}))
    with database.session() as session:
        key = known_secret(session, "text_key") or ""
    (said,) = [row.detail_json for row in rows(database, ContactStatus, col(ContactStatus.status) == "sending")]
    assert seal(key, seen[0].text) in said
    assert "Somebody" not in said
    assert contact_of(database, contact).status == "sent"
    assert not is_sealed(key, seal(key, seen[0].text), seen[0].text + " ")
