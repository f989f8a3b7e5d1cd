"""Dispatch against real databases: what leaves, what does not, and what is written down either way."""

import asyncio
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from channels.message import Meaning, Message, Receipt, Status
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import FakeProvider
from engine.errors import SettingsError, StoreError
from engine.gate import Ask, Verdict
from store.columns import to_us
from store.db import Database
from store.identity import declare_environment
from store.outbox import NEXT, TASK_CHANNELS, claim, move, reserve
from store.tables import Consent, Contact, Endpoint, Event, Hold, Loan, Notice, Party, Person, Promise
from tests.factories import add_payment, make_person
from tests.opening import open_database
from tests.outgoing import (
    AMOUNT,
    NOW,
    STRATEGY,
    TODAY,
    Silent,
    SmallGate,
    add,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    real_adapters,
    rows,
    set_setting,
    small_rulebook,
    statuses,
)
from workflows.brake import apply_brake, release_brake
from workflows.dispatch import dispatch
from workflows.door import LOOK_TO_SEND_MAX, Lane

SMS = {"sms": Silent()}


def to(
    database: Database, answer: Callable[[Message], Receipt] | None = None, **changes: object
) -> tuple[Silent, dict]:
    """One silent adapter for both channels, and the door's arguments."""
    adapter = Silent(answer or (lambda _: Receipt("sent", "silent", "ref")))
    return adapter, {"adapters": {"sms": adapter, "email": adapter}, "database": database, **changes}


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


# -- the second look --------------------------------------------------------------------------------------


def paid(database: Database, loan: int) -> None:
    add_payment(database, loan, AMOUNT, TODAY, recorded_at=NOW - timedelta(minutes=1))


def held(database: Database, loan: int) -> None:
    add(database, hold(database, loan), bump=borrower_of(database, loan))


def hold(database: Database, loan: int) -> Hold:
    return Hold(
        person_id=borrower_of(database, loan), loan_id=loan, kind="dispute", owner="somebody", review_on=TODAY,
        starts_at=NOW - timedelta(hours=1), recorded_at=NOW, ref=f"hold-{loan}",
    )  # fmt: skip


def opted_out(database: Database, loan: int) -> None:
    person = borrower_of(database, loan)
    said = Consent(
        person_id=person,
        kind="opt_out",
        channels="sms",
        received_at=NOW - timedelta(hours=1),
        recorded_at=NOW - timedelta(hours=1),
        ref=f"o-{loan}",
    )
    add(database, said, bump=person)


def moved_on(database: Database, loan: int) -> None:
    with database.write() as session:
        row = session.get_one(Loan, loan)
        row.stage, row.stage_entry = "phone", 2
        session.get_one(Person, row.borrower_id).version += 1


def number_died(database: Database, loan: int) -> None:
    with database.write() as session:
        person = session.get_one(Person, session.get_one(Loan, loan).borrower_id)
        person.version += 1
        for endpoint in session.exec(select(Endpoint).where(col(Endpoint.person_id) == person.id)):
            endpoint.valid = False


FORBIDS = {
    "paid": (paid, "rule text does not match any more"),
    "held": (held, "refused: test.hold"),
    "opted out": (opted_out, "refused: test.opted_out"),
    "another stage": (moved_on, "the loan has moved to stage phone"),
    "number invalid": (number_died, "the number or address is not valid any more"),
}


@pytest.mark.parametrize("what", FORBIDS)
def test_what_was_committed_before_the_look_stops_it(sqlite_database: Database, what: str) -> None:
    """A payment, hold, opt-out or move after planning cancels the contact, and the log says why."""
    forbid, why = FORBIDS[what]
    (loan,) = book(sqlite_database)
    planned = plan(sqlite_database, loan, "mail" if forbid is number_died else "text")
    forbid(sqlite_database, loan)
    adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert adapter.seen == []
    assert contact_of(sqlite_database, planned).why == why
    assert statuses(sqlite_database, planned) == ["planned", "cancelled"]


@pytest.mark.parametrize("what", FORBIDS)
def test_what_is_committed_between_the_look_and_sending_stops_it(database: Database, what: str) -> None:
    """Whatever forbids a contact while it is being looked at is noticed by its version, and it is looked at again."""
    forbid, _ = FORBIDS[what]
    (loan,) = book(database)
    planned = plan(database, loan, "mail" if forbid is number_died else "text")
    adapter, wired = to(database)
    door = door_of(**wired)
    looks = []

    def read(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        if not looks:
            forbid(database, loan)
        looks.append(1)
        return fresh

    done = go(replace(door, situations=read))  # type: ignore[arg-type]
    assert counts(done) == {"redo": 1, "cancelled": 1}
    assert (adapter.seen, len(looks)) == ([], 2)
    assert statuses(database, planned) == ["planned", "planned", "cancelled"]


class ByTheClock(SmallGate):
    """Heeds only what was said and stood at the instant that is asked about, as packs of law do."""

    def check(self, ask: Ask, now: datetime) -> Verdict:
        heard = tuple(said for said in ask.statements if said.at_us <= to_us(now))
        standing = tuple(hold for hold in ask.holds if hold.starts_us <= to_us(now))
        return super().check(replace(ask, statements=heard, holds=standing), now)


@pytest.mark.parametrize("what", ["held", "opted out", "held later"])
def test_what_a_faster_clock_wrote_down_stops_it_at_once(database: Database, what: str) -> None:
    """
    What is on file has been said, though its instant is ahead: another machine's clock is, or it came during the claim.

    Only what was written down for later comes later.
    """
    (loan,) = book(database)
    plan(database, loan)
    soon, person = NOW + timedelta(minutes=5), borrower_of(database, loan)
    if what == "opted out":
        add(
            database,
            Consent(person_id=person, kind="opt_out", received_at=soon, recorded_at=NOW, ref="ahead"),
            bump=person,
        )
    else:
        row = hold(database, loan)
        row.starts_at, row.recorded_at = soon, NOW if what == "held later" else soon
        add(database, row, bump=person)
    _, wired = to(database)
    assert counts(go(door_of(gate=ByTheClock(), **wired))) == {"sent" if what == "held later" else "cancelled": 1}


def test_a_bulk_import_stops_it_as_well(database: Database, tmp_path: Path) -> None:
    """A payment that a file brings between the look and `sending` stops the contact."""
    from engine.catalogue import load_catalogue
    from workflows.importing import KINDS, import_file

    (loan,) = book(database)
    plan(database, loan)
    ref = rows(database, Loan)[0].ref
    columns = [column.name for column in KINDS["movements"].columns]
    values = {"ref": "x1", "loan": ref, "kind": "payment", "amount": "100.00", "effective_on": "2026-11-24",
              "recorded_at": "2026-11-24T03:59:00+00:00"}  # fmt: skip
    file = tmp_path / "movements.csv"
    file.write_text(",".join(columns) + "\n" + ",".join(values.get(name, "") for name in columns) + "\n")
    adapter, wired = to(database)
    door = door_of(**wired)
    done = []

    def read(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        if not done:
            done.append(import_file(database, KINDS["movements"], file, as_of=NOW, now=NOW, catalogue=load_catalogue()))
        return fresh

    assert counts(go(replace(door, situations=read))) == {"redo": 1, "cancelled": 1}  # type: ignore[arg-type]
    assert (adapter.seen, done[0].added) == ([], 1)


def test_a_contact_the_gate_puts_off_waits(database: Database) -> None:
    """At night nothing goes; the contact is planned for the morning, and counts from there."""
    (loan,) = book(database)
    text = plan(database, loan)
    adapter, wired = to(database)
    night, morning = NOW + timedelta(hours=9), NOW + timedelta(hours=20)
    assert counts(go(door_of(**wired), night)) == {"delayed": 1}
    put_off = contact_of(database, text)
    assert (put_off.status, put_off.not_before_at, put_off.at) == ("planned", morning, morning)
    assert put_off.why == "not now: test.hours"
    assert counts(go(door_of(**wired), morning)) == {"sent": 1}
    assert len(adapter.seen) == 1


def test_what_could_only_go_too_late_is_cancelled(database: Database) -> None:
    """A deferral past the contact's validity is a refusal."""
    text = plan(database, book(database)[0], expires_at=NOW + timedelta(hours=19))
    _, wired = to(database)
    assert counts(go(door_of(**wired), NOW + timedelta(hours=9))) == {"cancelled": 1}
    assert contact_of(database, text).why == "refused: test.hours"


def test_dunning_waits_for_a_fresh_feed_and_service_does_not(database: Database) -> None:
    """With a payment feed two days old a reminder waits an hour, a required notice goes."""
    (loan,) = book(database, feed_age=timedelta(hours=48))
    text, notice = plan(database, loan), plan(database, book(database, feed_age=None)[0], "notice")
    _, wired = to(database)
    assert counts(go(door_of(**wired))) == {"delayed": 1, "handed over": 1}
    assert contact_of(database, text).why == "the payment feed is too old to dun by"
    assert contact_of(database, text).not_before_at == NOW + timedelta(hours=1)
    assert contact_of(database, notice).status == "sent"


def test_an_open_promise_holds_back_what_its_policy_names(database: Database) -> None:
    """While a promise is open no dunning call is handed out; a text is not blocked, nor is a notice that is owed."""
    loans = book(database, 3)
    ids = [plan(database, loans[0], "call"), plan(database, loans[1]), plan(database, loans[2], "notice")]
    for loan in loans:
        made = Promise(loan_id=loan, amount_minor=1, made_at=NOW, due_on=TODAY + timedelta(days=2), ref=f"p{loan}")
        add(database, made, bump=borrower_of(database, loan))
    _, wired = to(database)
    assert counts(go(door_of(**wired))) == {"cancelled": 1, "sent": 1, "handed over": 1}
    assert contact_of(database, ids[0]).why == "a promise to pay is open"


def test_a_contact_does_not_count_against_itself(database: Database) -> None:
    """With one contact a day allowed, the one that is planned for today may go; a second one may not."""
    (loan,) = book(database)
    first, second = plan(database, loan), plan(database, loan, "mail", not_before_at=NOW - timedelta(minutes=5))
    adapter, wired = to(database, gate=SmallGate(per_day=1))
    # The second is planned for today, so it counts against the first: only planning beyond the limit is at fault.
    assert counts(go(door_of(**wired))) == {"cancelled": 1, "sent": 1}
    assert {contact_of(database, c).status for c in (first, second)} == {"cancelled", "sent"}
    assert len(adapter.seen) == 1


def test_an_edited_rule_is_not_said_any_more(sqlite_database: Database) -> None:
    """A template that was taken out of its rule, or a rule that was deleted, is not sent from old plans."""
    loans = book(sqlite_database, 2)
    old, gone = plan(sqlite_database, loans[0], name="old-words"), plan(sqlite_database, loans[1])
    adapter, wired = to(sqlite_database, rulebook=small_rulebook(STRATEGY.replace("id: text", "id: words")))
    assert counts(go(door_of(**wired))) == {"cancelled": 2}
    assert contact_of(sqlite_database, gone).why == "strategy test-cny has no rule text any more"
    assert contact_of(sqlite_database, old).why == "strategy test-cny has no rule text any more"
    _, wired = to(sqlite_database)
    again = plan(sqlite_database, loans[0], name="old-words")
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert contact_of(sqlite_database, again).why == "rule text does not say old-words by sms any more"
    assert adapter.seen == []


def test_whoever_stepped_out_of_their_role_is_not_addressed(database: Database) -> None:
    """A notice planned for a guarantor does not go when they stand for the loan no longer."""
    (loan,) = book(database)
    guarantor = make_person(database, email="guarantor@example.com")
    add(database, Party(loan_id=loan, person_id=guarantor, role="guarantor"))
    stays = plan(database, loan, "notice", person=guarantor, role="guarantor", channel="email")
    other = make_person(database, email="other@example.com")
    leaves = plan(database, loan, "notice", person=other, role="guarantor", channel="email")
    _, wired = to(database)
    assert counts(go(door_of(**wired))) == {"cancelled": 1, "sent": 1}
    assert contact_of(database, stays).status == "sent"
    assert contact_of(database, leaves).why == "the loan has no such guarantor any more"
    (notice,) = rows(database, Notice)
    assert (notice.person_id, notice.kind, notice.sent_on) == (guarantor, "prelegal_notice", TODAY)
    assert notice.effective_on == TODAY + timedelta(days=1)


def test_a_person_in_two_roles_is_one_person(database: Database) -> None:
    """A borrower who is somebody's guarantor has one day's limit for both, whoever is asked first."""
    first, second = book(database, 2)
    person = borrower_of(database, first)
    add(database, Party(loan_id=second, person_id=person, role="guarantor"))
    own = plan(database, first, "mail")
    stands = plan(database, second, "notice", person=person, role="guarantor", channel="email")
    adapter, wired = to(database, gate=SmallGate(per_day=2))
    assert counts(go(door_of(**wired))) == {"sent": 2}
    third = plan(database, first, "mail")
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert sorted(adapter.seen) == sorted([own, stands])
    assert contact_of(database, third).why == "refused: test.per_day"


def test_two_people_at_one_number_share_its_limit(database: Database) -> None:
    """What was sent to one of them there counts for the number when the other is due, in the same round or later."""
    loans = book(database, 3)
    with database.write() as session:
        for loan in loans[:2]:
            person = session.get_one(Loan, loan).borrower_id
            mine = select(Endpoint).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == "mobile")
            session.exec(mine).one().value = "+8613999999999"
    for loan in loans:
        plan(database, loan)
    adapter, wired = to(database, gate=SmallGate(per_number=1))
    assert counts(go(door_of(**wired))) == {"sent": 2, "cancelled": 1}
    plan(database, loans[1])
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert len(adapter.seen) == 2


@pytest.mark.parametrize("one_address", [False, True])
def test_what_the_guarantor_heard_is_known_when_the_borrower_is_due(database: Database, *, one_address: bool) -> None:
    """For limits that count per account: each contact with the others around the loan, once, at one address or two."""
    loan, other = book(database, 2)
    guarantor = borrower_of(database, other)
    add(database, Party(loan_id=loan, person_id=guarantor, role="guarantor"))
    if one_address:
        with database.write() as session:
            for person in (guarantor, session.get_one(Loan, loan).borrower_id):
                theirs = select(Endpoint).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == "email")
                session.exec(theirs).one().value = "both@example.org"
    told = plan(database, loan, "notice", person=guarantor, role="guarantor", channel="email")
    gate = SmallGate()
    _, wired = to(database, gate=gate)
    assert counts(go(door_of(**wired))) == {"sent": 1}
    plan(database, loan, "mail")
    assert counts(go(door_of(**wired))) == {"sent": 1}
    asked = gate.asked[-1]
    assert [past.id for past in asked.shared] == [told]
    assert (asked.shared[0].endpoint == (asked.endpoint and asked.endpoint.id)) is one_address


# -- faults of one must not stop the others ---------------------------------------------------------------


def test_what_cannot_be_said_is_cancelled_and_the_others_go(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """An unsayable or broken template, an empty zone, a gate that raises: each holds its own contact, with the reason."""
    loans = book(database, 4)
    unsayable, broken = plan(database, loans[0], "odd"), plan(database, loans[1], "odder")
    surprising = plan(database, loans[2])
    good = plan(database, loans[3])

    class Surprising(SmallGate):
        def check(self, ask, now):  # type: ignore[no-untyped-def]
            if ask.person == borrower_of(database, loans[2]):
                raise ValueError("Somebody Number1 at +8613000000001")
            return super().check(ask, now)

    adapter, wired = to(database, gate=Surprising())
    assert counts(go(door_of(**wired))) == {"unsayable": 2, "cancelled": 1, "sent": 1}
    assert adapter.seen == [good]
    assert contact_of(database, unsayable).why == "template `unsayable` says `promise.amount`, which is not known"
    assert contact_of(database, broken).why == "its message could not be composed (KeyError)"
    assert contact_of(database, surprising).why == "it could not be judged (ValueError)"
    alerts = [record for record in caplog.records if getattr(record, "action", "") == "alert"]
    assert {getattr(record, "contact", "") for record in alerts} == {broken, surprising}
    assert "Somebody" not in caplog.text
    assert "+86" not in caplog.text


def test_one_damaged_name_or_number_does_not_stop_the_others(database: Database) -> None:
    """What no longer opens as it was sealed costs the message to whom it is about, and no other."""
    loans = book(database, 3)
    nameless, numberless, good = (plan(database, loan) for loan in loans)
    with database.write() as session:
        for table, key, broken in (
            ("person", borrower_of(database, loans[0]), "name"),
            ("endpoint", contact_of(database, numberless).endpoint_id, "value"),
        ):
            session.execute(text(f"update {table} set {broken} = substr({broken}, 1, 30) where id = {key}"))
    adapter, wired = to(database)
    assert counts(go(door_of(**wired))) == {"unsayable": 2, "sent": 1}
    assert adapter.seen == [good]
    assert contact_of(database, nameless).why == "its message could not be composed (StoreError)"


def test_one_unreadable_person_does_not_stop_the_others(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A row on file that cannot be read holds the contacts of whom it is about only."""
    loans = book(sqlite_database, 3)
    sick = borrower_of(sqlite_database, loans[1])
    plan(sqlite_database, loans[1], status="delivered", period_json="{")
    ids = [plan(sqlite_database, loan) for loan in loans]
    _adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"sent": 2, "cancelled": 1}
    assert contact_of(sqlite_database, ids[1]).why == "what is on file about the borrower cannot be read"
    assert [record.borrower for record in caplog.records if hasattr(record, "borrower")] == [sick]


def test_a_statement_nobody_can_read_is_a_refusal_and_an_alert(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What a person said and nobody can read closes everything to them, and is counted and told once; the others go."""
    loans = book(sqlite_database, 4)
    for n, loan in enumerate(loans[:2]):
        person = borrower_of(sqlite_database, loan)
        said = Consent(
            person_id=person, kind="opt_out", received_at=NOW, recorded_at=NOW, ref=f"sick-{n}", detail_json="{"
        )
        add(sqlite_database, said, bump=person)
    ids = [plan(sqlite_database, loan) for loan in loans]
    _adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"sent": 2, "cancelled": 2, "unknown.statement": 2}
    assert contact_of(sqlite_database, ids[0]).why == "refused: gate.unknown.statement"
    (alert,) = [record for record in caplog.records if getattr(record, "action", "") == "alert"]
    assert (alert.unknown, alert.count) == ("statement", 2)


def test_a_database_that_gives_way_gives_the_claims_back(sqlite_database: Database) -> None:
    """When the book cannot be read in the middle, what was claimed is planned again at once."""
    (loan,) = book(sqlite_database)
    text = plan(sqlite_database, loan)
    adapter, wired = to(sqlite_database)

    def away(borrowers: object, now: datetime) -> object:
        from engine.errors import Problem

        raise StoreError(Problem("`book.db` is locked by another writer", "let it finish, and run the same again"))

    with pytest.raises(StoreError):
        go(door_of(**wired, situations=away))
    assert contact_of(sqlite_database, text).status == "planned"
    assert contact_of(sqlite_database, text).why == "dispatch stopped before it could go"
    assert counts(go(door_of(**wired))) == {"sent": 1}
    assert adapter.seen == [text]


# -- receipts ---------------------------------------------------------------------------------------------


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


# -- crashes ----------------------------------------------------------------------------------------------


def test_a_dead_workers_claim_is_taken_over_and_its_sending_is_in_doubt(database: Database) -> None:
    """After the lease a claimed contact is sent by another; one in `sending` is `unknown` and is not."""
    loans = book(database, 2)
    hour = NOW - timedelta(hours=1)
    claimed = plan(database, loans[0], status="claimed", claimed_by="dead", claimed_until_at=NOW)
    sending = plan(database, loans[1], status="sending", claimed_by="dead", claimed_until_at=NOW, at=hour, attempts=1)
    adapter, wired = to(database)
    assert counts(go(door_of(**wired), NOW - timedelta(seconds=1))) == {}
    assert counts(go(door_of(**wired))) == {"unknown": 1, "sent": 1}
    assert adapter.seen == [claimed]
    assert contact_of(database, sending).why == "the worker stopped before it heard from the provider"


def test_a_worker_that_lost_its_lease_sends_nothing(database: Database) -> None:
    """A worker that slept through its lease finds its contact in other hands."""
    (loan,) = book(database)
    text = plan(database, loan)
    adapter, wired = to(database)
    door = door_of(**wired)
    other, others = to(database)

    def slowly(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        assert counts(go(door_of(**others), NOW + timedelta(minutes=11))) == {"sent": 1}
        return fresh

    assert counts(go(replace(door, situations=slowly))) == {"taken": 1}  # type: ignore[arg-type]
    assert (adapter.seen, other.seen) == ([], [text])


def test_a_receipt_survives_a_database_that_is_locked_for_a_while(sqlite_database: Database) -> None:
    """What a provider answered is written down as soon as the database lets us."""
    text = plan(sqlite_database, book(sqlite_database)[0])
    impatient = open_database(str(sqlite_database.url).replace("sqlite://", "sqlite://"), busy_timeout_s=0.05)
    held_up = threading.Event()

    def hold_up(_message: Message) -> None:
        def keep() -> None:
            with sqlite_database.write():
                held_up.set()
                time.sleep(0.6)

        threading.Thread(target=keep).start()
        held_up.wait(5)

    adapter = Silent(lambda _: Receipt("sent", "silent"), before=hold_up)
    with suppress(StoreError):
        # Whatever else wanted the lock gave up; the receipt did not.
        go(door_of(impatient, {"sms": adapter}))
    assert contact_of(sqlite_database, text).status == "sent"
    impatient.close()


# -- several workers --------------------------------------------------------------------------------------


def test_two_workers_never_share_a_person(postgres_database: Database) -> None:
    """Two workers at once on one book: nothing is offered twice, nobody gets more than a day's two contacts."""
    loans = book(postgres_database, 15)
    ids = [plan(postgres_database, loan, rule) for loan in loans for rule in ("text", "mail", "text", "mail")]
    url = postgres_database.url.render_as_string(hide_password=False)
    seen: list[list[str]] = []

    def work() -> None:
        own = open_database(url)
        adapter = Silent(seconds=0.005)
        seen.append(adapter.seen)
        door = door_of(own, {"sms": adapter, "email": adapter}, gate=SentOnly(per_day=2))
        for _ in range(8):
            go(door, limit=7)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    offered = [contact for each in seen for contact in each]
    assert len(offered) == len(set(offered))
    assert all(seen)
    by_person: dict[int, int] = {}
    for contact in rows(postgres_database, Contact):
        assert contact.status in ("sent", "cancelled"), contact
        assert (contact.status == "sent") == (contact.id in offered)
        by_person[contact.person_id] = by_person.get(contact.person_id, 0) + (contact.status == "sent")
    assert set(by_person.values()) == {2}
    assert len(ids) == 60


@pytest.mark.postgres
def test_what_another_worker_was_choosing_from_is_not_left(postgres_database: Database) -> None:
    """Who looks while everything due is locked by another one's claim looks again, instead of going home."""
    for loan in book(postgres_database, 3):
        plan(postgres_database, loan)
    choosing, go_on = threading.Event(), threading.Event()

    def choose() -> None:
        with postgres_database.write() as session:
            session.exec(select(Contact).with_for_update()).all()
            choosing.set()
            go_on.wait(10)

    other = threading.Thread(target=choose)
    other.start()
    assert choosing.wait(10)
    threading.Timer(0.3, go_on.set).start()
    own = open_database(postgres_database.address)
    adapter = Silent()
    assert counts(go(door_of(own, {"sms": adapter}))) == {"sent": 3}
    other.join()
    own.close()


class SentOnly(SmallGate):
    """Counts what was made or is under way, so that planned contacts do not forbid each other."""

    def check(self, ask, now):  # type: ignore[no-untyped-def]
        return super().check(replace(ask, history=tuple(p for p in ask.history if p.outcome != "planned")), now)


def test_one_person_is_claimed_once_at_a_time(database: Database) -> None:
    """Of a person's contacts, and of those to one number, one is claimed; the next when that is over."""
    loans = book(database, 2)
    first, second = plan(database, loans[0]), plan(database, loans[0], not_before_at=NOW - timedelta(minutes=30))
    other = plan(database, loans[1])
    lease = timedelta(minutes=10)
    assert claim(database, {"email": 9, "call": 9}, now=NOW, worker="c", lease=lease) == []
    got = claim(database, {"sms": 9}, now=NOW, worker="a", lease=lease)
    assert sorted(got) == sorted([first, other])
    assert claim(database, {"sms": 9}, now=NOW, worker="b", lease=lease) == []
    assert claim(database, {"email": 9}, now=NOW, worker="b", lease=lease) == []
    with database.write() as session:
        move(session, session.get_one(Contact, first), "cancelled", at=NOW, why="a test")
    assert claim(database, {"sms": 9}, now=NOW, worker="b", lease=lease) == [second]


# -- how fast ---------------------------------------------------------------------------------------------


def running() -> Callable[[], datetime]:
    """A clock that starts at NOW and runs."""
    began = time.monotonic()
    return lambda: NOW + timedelta(seconds=time.monotonic() - began)


def test_sends_keep_to_the_accounts_rate(sqlite_database: Database) -> None:
    """Of texts at twenty a second none goes before its turn, however late another went."""
    for loan in book(sqlite_database, 12):
        plan(sqlite_database, loan)
    times: list[float] = []
    began = time.monotonic()
    adapter = Silent(before=lambda _: times.append(time.monotonic() - began))
    done = asyncio.run(dispatch(door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(8, 20)}), running()))
    assert counts(done) == {"sent": 12}
    assert all(at >= turn / 20 for turn, at in enumerate(times))


def test_two_workers_share_an_accounts_rate(database: Database) -> None:
    """Turns at an account are given out once, whoever asks; what finds none soon enough goes back and is sent later."""
    within = timedelta(seconds=15)
    with database.write() as session:
        assert reserve(session, "sms", 100, per_second=10, now=NOW, within=within) == (NOW, 100)
    with database.write() as session:
        assert reserve(session, "sms", 100, per_second=10, now=NOW, within=within) == (NOW + timedelta(seconds=10), 50)
    with database.write() as session:
        assert reserve(session, "sms", 5, per_second=10, now=NOW, within=within) == (NOW + within, 0)
        assert reserve(session, "email", 5, per_second=10, now=NOW, within=within) == (NOW, 5)
    with database.write() as session:
        set_back = NOW - timedelta(hours=1)
        assert reserve(session, "sms", 1, per_second=10, now=set_back, within=within) == (set_back, 1)


def test_slow_mail_does_not_hold_up_texts(sqlite_database: Database) -> None:
    """Mail that takes as long as all the texts together holds up none of them."""
    loans = book(sqlite_database, 12)
    for loan in loans[:3]:
        plan(sqlite_database, loan, "mail")
    for loan in loans[3:]:
        plan(sqlite_database, loan)
    sms, email = Silent(), Silent()

    class Slow(Silent):
        async def send(self, message: Message) -> Receipt:
            while len(sms.seen) < 9:  # noqa: ASYNC110 - another adapter's list has no event
                await asyncio.sleep(0.01)
            return await email.send(message)

    door = door_of(sqlite_database, {"sms": sms, "email": Slow()}, lanes={"email": Lane(1)})
    # Three at a time: the texts take three rounds while the first mail is under way.
    assert counts(go(door, limit=3)) == {"sent": 12}


def test_what_waits_for_another_channel_leaves_in_the_same_dispatch(sqlite_database: Database) -> None:
    """A mail to somebody whose text is under way goes right after it, however long that takes and whatever else is due."""
    (loan,) = book(sqlite_database)
    plan(sqlite_database, loan)
    plan(sqlite_database, loan, "mail", not_before_at=NOW - timedelta(minutes=30))
    plan(sqlite_database, loan, "call", not_before_at=NOW - timedelta(minutes=20))
    door = door_of(sqlite_database, {"sms": Silent(seconds=0.3), "email": Silent(seconds=0.3)})
    assert counts(go(door)) == {"sent": 2, "handed over": 1}


def test_what_waited_too_long_after_its_look_is_not_sent(sqlite_database: Database) -> None:
    """A message that was looked at half a minute ago goes back and is looked at again."""
    first, second = (plan(sqlite_database, loan) for loan in book(sqlite_database, 2))
    at = [NOW]
    adapter = Silent(before=lambda _: at.append(at[-1] + LOOK_TO_SEND_MAX + timedelta(seconds=1)))
    door = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(1)})
    done = asyncio.run(dispatch(door, lambda: at[-1], paced=False))
    assert counts(done) == {"sent": 2, "waiting": 1}
    assert adapter.seen == [first, second]
    assert statuses(sqlite_database, second) == ["planned", "sending", "planned", "sending", "sent"]
    assert contact_of(sqlite_database, second).attempts == 1


def test_stop_ends_after_what_is_under_way(sqlite_database: Database) -> None:
    """Told to stop, dispatch finishes the message under way, gives the others back, and says what it did."""
    for loan in book(sqlite_database, 5):
        plan(sqlite_database, loan)
    told = threading.Event()
    adapter = Silent(before=lambda _: told.set(), seconds=0.8)
    done = go(door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(1)}), stop=told.is_set)
    assert counts(done) == {"sent": 1, "waiting": 4}
    assert sorted(c.status for c in rows(sqlite_database, Contact)) == ["planned"] * 4 + ["sent"]


# -- who may be reached at all ----------------------------------------------------------------------------


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
    assert apply_brake(database, share_max=0.5, now=NOW) is None
    plan(database, loans[2])
    why = apply_brake(database, share_max=0.5, now=NOW)
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
