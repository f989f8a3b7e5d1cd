"""What people tell us of: it happened, so it counts, is heard by the rules, and holds at once."""

from datetime import timedelta

import pytest
from sqlmodel import col

from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Consent, Endpoint, Event, Person
from tests.by_hand import call, report, told
from tests.outgoing import NOW, TODAY, Silent, SmallGate, book, borrower_of, contact_of, counts, door_of, go, plan, rows
from workflows.call_backs import CallBack
from workflows.desk.by_hand import record, start
from workflows.desk.outcomes import Promised
from workflows.desk.sayings import NOTHING_LEARNT, Learnt, read_saying


def test_a_borrowers_call_counts_and_is_never_judged(database: Database) -> None:
    """They called us at midnight: it is written down, heard by the rules, and nothing is said against it."""
    (loan,) = book(database)
    gate = SmallGate()
    door = door_of(database, {}, gate=gate)
    at = NOW - timedelta(hours=11)
    done = record(
        door, call(database, loan), "promise", direction="in", agent="mei", at=at, now=NOW, learnt=NOTHING_LEARNT,
        promised=Promised(50_00, TODAY + timedelta(days=2)),
    )  # fmt: skip
    assert done.contact is not None
    contact = contact_of(database, done.contact)
    assert (contact.direction, contact.outcome, contact.at, contact.status) == ("in", "conversation", at, "delivered")
    row = told(database, loan, done)
    assert (row.outcome, row.reasons) == ("recorded", "")
    assert [event.kind for event in rows(database, Event)] == ["promise_made"]


def test_a_call_the_gate_would_have_refused_is_kept_and_raises_an_alert(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It happened, so it counts; who called at night stands in the log with the reasons, and somebody hears of it."""
    (loan,) = book(database)
    door, at = door_of(database, {}, gate=SmallGate(per_day=1)), NOW - timedelta(hours=9)
    before = {p.id: p.version for p in rows(database, Person)}
    done = record(
        door, call(database, loan), "conversation", direction="out", agent="mei", at=at, now=NOW, learnt=NOTHING_LEARNT
    )
    assert done.contact is not None
    assert (told(database, loan, done).outcome, told(database, loan, done).reasons) == ("recorded", "test.hours")
    (alert,) = [r for r in caplog.records if getattr(r, "action", "") == "alert"]
    assert (alert.contact, alert.rules) == (done.contact, ["test.hours"])  # type: ignore[attr-defined]
    assert {p.id for p in rows(database, Person) if p.version > (before[p.id] or 0)} == {borrower_of(database, loan)}
    # It was today in Shanghai, so today's one contact is used up.
    assert start(door, call(database, loan), agent="mei", now=NOW).contact is None


def test_what_was_said_and_learnt_in_a_call_holds_at_once(database: Database) -> None:
    """One command closes the task, writes the refusals down and marks the number; a message that waited is stopped."""
    (loan,) = book(database)
    door = door_of(database, {"sms": Silent()})
    done = start(door, call(database, loan), agent="mei", now=NOW)
    waiting = plan(database, loan)
    assert done.contact is not None
    sayings = tuple(map(read_saying, ("opt_out sms", "inconvenient_time 00:00-12:00", "no_endpoint")))
    learnt = Learnt(sayings, ("known_disclosure",), zones=("Asia/Shanghai",))
    report(database, done.contact, "conversation", learnt=learnt)
    said = [(c.kind, c.channels, c.endpoint_id is not None, c.source) for c in rows(database, Consent)]
    assert said == [
        ("opt_out", "sms", False, "agent:mei"), ("inconvenient_time", "", False, "agent:mei"),
        ("no_endpoint", "", True, "agent:mei"),
    ]  # fmt: skip
    marked = rows(database, Endpoint, col(Endpoint.learnt_marks) != "")
    assert [(e.id, e.learnt_marks) for e in marked] == [
        (contact_of(database, done.contact).endpoint_id, "known_disclosure")
    ]
    assert counts(go(door)) == {"cancelled": 1}
    assert contact_of(database, waiting).why == "refused: test.opted_out"


@pytest.mark.parametrize("live", [True, False])
def test_what_an_agent_hears_now_is_the_latest_word(database: Database, live: bool) -> None:
    """
    A stop said on the telephone stands after a START that a clock ahead has heard.

    So does a call that somebody asks for after a stop that such a clock heard. What somebody dates stays where it was,
    and a stop dated so little before the START is stated again after it.
    """
    ahead = NOW + timedelta(minutes=5)
    sayings = (read_saying("opt_out sms"), read_saying("no_medium call"))
    learnt, order = Learnt(sayings, zones=("Asia/Shanghai",)), []
    for loan in book(database, 2):
        door, person = door_of(database, {}), borrower_of(database, loan)
        with database.write() as session:
            said = NewStatement(person, "opt_in", ahead, "twilio", f"start:{loan}")
            assert add_statement(session, said, now=ahead, live=True)
        if order:
            done = start(door, call(database, loan), agent="mei", now=NOW)
            assert done.contact is not None
            back = CallBack(NOW + timedelta(hours=1), zones=("Asia/Shanghai",))
            report(database, done.contact, "call_back", learnt=learnt, call_back=back, live=live)
        else:
            record(
                door, call(database, loan), "conversation", direction="in", agent="mei", at=NOW, now=NOW, learnt=learnt,
                live=live,
            )  # fmt: skip
        kept = rows(database, Consent, col(Consent.person_id) == person)
        order.append([row.kind for row in sorted(kept, key=lambda row: (row.received_at, row.id))])
    told = [["opt_out", "no_medium"], ["consent", "opt_out", "no_medium"]]
    again = ["opt_out", "no_medium"]
    assert order == [["opt_in", *said] if live else [*said, "opt_in", *again] for said in told]
