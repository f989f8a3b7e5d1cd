"""The second look of dispatch: the gate, the rule, the feed and the people are asked again, with what stands then."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from store.db import Database
from store.tables import Endpoint, Loan, Notice, Party, Promise
from tests.factories import make_person
from tests.outgoing import (
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
    rows,
    small_rulebook,
    to,
)
from tests.simulation.virtual_time import Time, simulated, us_of
from workflows.sending.dispatch import dispatch
from workflows.sending.door import Lane
from workflows.sending.holding import LEAVES_WITHIN
from workflows.sending.looking import look_again


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


@pytest.mark.parametrize(
    ("like", "went"), [("text", "sent"), ("mail", "sent"), ("recorded", "sent"), ("call", "handed over")]
)
def test_a_message_that_could_arrive_after_hours_waits(database: Database, like: str, went: str) -> None:
    """What is allowed now must be so when the provider has it; a task is somebody's to begin in time."""
    closing = NOW + timedelta(hours=8)
    (loan,) = book(database, feed_age=timedelta(hours=-7))
    adapter, wired = to(database)
    wired["adapters"] = {"sms": adapter, "email": adapter, "recorded_call": adapter}
    door, late = door_of(**wired), closing - LEAVES_WITHIN
    plan(database, loan, like)
    assert counts(go(door, late - timedelta(seconds=1))) == {went: 1}
    second = plan(database, loan, like)
    if went == "handed over":
        assert counts(go(door, late)) == {went: 1}
    else:
        assert counts(go(door, late)) == {"delayed": 1}
        row = contact_of(database, second)
        assert (row.why, row.not_before_at) == ("not now: test.hours", closing + timedelta(hours=12))


def test_nothing_reaches_the_provider_after_hours(sqlite_database: Database) -> None:
    """A provider account that takes one text in two seconds is busy as the hours end: the rest waits for the morning."""
    closing = NOW + timedelta(hours=8)
    for loan in book(sqlite_database, 60, feed_age=timedelta(hours=-7)):
        plan(sqlite_database, loan)
    time, taken = Time(us_of(closing - timedelta(seconds=90))), list[datetime]()
    adapter = Silent(before=lambda _: taken.append(time.at()))
    door = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(4, 0.5)})
    with simulated(time):
        done = asyncio.run(dispatch(door, time.at))
    assert done.counts["sent"] + done.counts["delayed"] == 60
    assert 10 < len(taken) < 60
    assert max(taken) < closing


def test_a_number_has_one_limit_under_two_kinds(database: Database) -> None:
    """As a mobile of the one and a landline of the other it is one number, and each look sees the other's version."""
    one, two = book(database, 2)
    with database.write() as session:
        for loan, kind in ((one, "mobile"), (two, "landline")):
            person = session.get_one(Loan, loan).borrower_id
            mine = select(Endpoint).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == "mobile")
            phone = session.exec(mine).one()
            phone.value, phone.kind = "+8613999999999", kind
        line = phone.id
    first, second = plan(database, one, "call"), plan(database, two, "call", endpoint_id=line)
    _, wired = to(database, gate=SmallGate(per_number=1))
    door = door_of(**wired)
    for looked in look_again(door, [first, second], NOW):
        assert {borrower_of(database, loan) for loan in (one, two)} <= looked.seen.keys()
    assert counts(go(door)) == {"handed over": 1, "cancelled": 1}
    assert contact_of(database, second).why == "refused: test.per_number"


def test_what_one_person_heard_under_the_other_kind_counts_once(database: Database) -> None:
    """Their number as mobile and as landline is one number: a call to the one counts for the other, and is no second call."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    (mobile,) = (row for row in rows(database, Endpoint) if row.kind == "mobile")
    line = Endpoint(person_id=person, kind="landline", value=mobile.value, recorded_at=NOW)
    add(database, line)
    told = plan(database, loan, "call", status="delivered", outcome="no_answer", at=NOW)
    gate = SmallGate(per_number=2)
    _, wired = to(database, gate=gate)
    plan(database, loan, "text", endpoint_id=line.id)
    assert counts(go(door_of(**wired))) == {"sent": 1}
    heard = [past for past in (*gate.asked[-1].history, *gate.asked[-1].shared) if past.id == told]
    assert [past.endpoint for past in heard] == [line.id]
    plan(database, loan, "text")
    assert counts(go(door_of(**wired))) == {"cancelled": 1}


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
