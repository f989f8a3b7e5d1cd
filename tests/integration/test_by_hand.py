"""What people start: through the gate, in their hands alone, counted and logged, under the limits that machines have."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from compliance import Gate, load_packs
from engine.decision_json import from_json
from engine.errors import DataError, SettingsError
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Consent, Contact, DecisionRow, Event, Party, Person, Run
from tests.by_hand import call, report, told
from tests.factories import make_person
from tests.opening import open_database
from tests.outgoing import (
    NOW,
    Silent,
    SmallGate,
    add,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    fed,
    go,
    plan,
    rows,
    small_rulebook,
)
from workflows.deciding.chunk import Fresh
from workflows.deciding.decide import decide_borrowers
from workflows.desk.asking import ask
from workflows.desk.by_hand import start
from workflows.desk.tasks import take_next

CAP = """
pack: house.cap
title: {en: One a day, zh: 一天一次}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2020-01-01
review_on: 2030-01-01
rules:
  - id: house.cap.day
    kind: count
    says: {en: One contact a day., zh: 一天一次。}
    channels: [sms, email, call, visit, letter]
    max: 1
    within: 1 dates
    counts: {except_outcomes: [failed]}
    citation: A test
"""


def test_an_agents_own_call_is_in_their_hands_counted_and_logged(database: Database) -> None:
    """Allowed, it is theirs at once, stands in the log with the gate's answer, and closes like any task."""
    (loan,) = book(database)
    before = {p.id: p.version for p in rows(database, Person)}
    door = door_of(database, {})
    done = start(door, call(database, loan), agent="mei", now=NOW)
    assert done.contact is not None
    contact = contact_of(database, done.contact)
    assert (contact.status, contact.claimed_by, contact.rule, contact.at) == ("sent", "agent:mei", None, NOW)
    name = next(p.name for p in rows(database, Person))
    assert done.text == f"call {name}"
    row = told(database, loan, done)
    assert (row.outcome, row.rule, row.strategy, row.reasons) == ("contact", None, None, "")
    decided = from_json(row.trace_json)
    assert decided.by_hand is not None
    assert (decided.by_hand.by, decided.by_hand.what, decided.by_hand.contact) == ("mei", "start", done.contact)
    assert [act.verdict.outcome for act in decided.by_hand.acts if act.verdict is not None] == ["allow"]
    assert [run.kind for run in rows(database, Run)] == ["by_hand"]
    assert {p.id for p in rows(database, Person) if p.version > (before[p.id] or 0)} == {borrower_of(database, loan)}
    report(database, done.contact, "no_answer")
    assert contact_of(database, done.contact).outcome == "no_answer"
    assert [event.kind for event in rows(database, Event)] == ["call_outcome"]


def test_a_refusal_is_logged_with_its_reasons_and_leaves_no_contact(database: Database) -> None:
    """At night, and after an opt-out, the gate says so in the log; nobody is bothered."""
    (loan,) = book(database)
    door, night = door_of(database, {}), NOW + timedelta(hours=10)
    late = start(door, call(database, loan), agent="mei", now=night)
    assert (late.contact, told(database, loan, late).outcome) == (None, "wait")
    assert told(database, loan, late).next_look_at == NOW + timedelta(hours=20)
    person = borrower_of(database, loan)
    add(database, Consent(person_id=person, kind="opt_out", received_at=NOW, recorded_at=NOW, ref="o"), bump=person)
    no = start(door, call(database, loan), agent="mei", now=NOW)
    assert (no.contact, told(database, loan, no).outcome, told(database, loan, no).reasons) == (
        None, "withheld", "test.opted_out",
    )  # fmt: skip
    assert rows(database, Contact) == []


def test_a_call_in_hand_counts_for_the_next_one(database: Database) -> None:
    """Under a limit of one a day a second call is refused while the first is still in somebody's hands."""
    (loan,) = book(database)
    door = door_of(database, {}, gate=SmallGate(per_day=1))
    assert start(door, call(database, loan), agent="mei", now=NOW).contact is not None
    assert start(door, call(database, loan), agent="mei", now=NOW).contact is None


def test_nobody_is_reached_by_two_at_once(database: Database) -> None:
    """While an agent has a person in hand, or a message is leaving for them, another agent cannot start."""
    loans = book(database, 2)
    door = door_of(database, {})
    first = start(door, call(database, loans[0]), agent="mei", now=NOW)
    for loan, other in ((loans[0], first.contact), (loans[1], plan(database, loans[1], status="sending"))):
        with pytest.raises(DataError, match=f"`{other}` reaches the same person at this moment"):
            start(door, call(database, loan), agent="ben", now=NOW)
    assert len(rows(database, DecisionRow)) == 1


def test_four_agents_at_once_under_a_limit_of_one(postgres_database: Database) -> None:
    """The last seat under a limit is taken once, however many ask at the same moment."""
    (loan,) = book(postgres_database)
    url = postgres_database.url.render_as_string(hide_password=False)
    barrier, came = threading.Barrier(4), list[str | None]()

    def work(agent: str) -> None:
        own = open_database(url)
        door, wanted = door_of(own, {}, gate=SmallGate(per_day=1)), call(own, loan)
        barrier.wait(60)
        try:
            came.append(start(door, wanted, agent=agent, now=NOW).contact)
        except DataError:
            came.append(None)
        own.close()

    threads = [threading.Thread(target=work, args=(f"agent-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(came) == 4
    assert len([one for one in came if one is not None]) == 1
    assert len(rows(postgres_database, Contact)) == 1


def test_what_is_committed_while_the_gate_is_asked_is_heard(database: Database) -> None:
    """A stop that comes between the look and the writing stops the call: it is looked at again."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    usual = door_of(database, {})
    once = iter([True])

    def situations(borrowers: Sequence[int], now: datetime) -> Mapping[int, Fresh]:
        found = usual.situations(borrowers, now)
        if next(once, False):
            with database.write() as session:
                add_statement(session, NewStatement(person, "opt_out", NOW, source="test", ref="late"), now=NOW)
        return found

    done = start(replace(usual, situations=situations), call(database, loan), agent="mei", now=NOW)
    assert (done.contact, told(database, loan, done).reasons) == (None, "test.opted_out")


def test_given_back_it_is_over(database: Database) -> None:
    """Nobody's rule asks for it, so a call that was not tried goes to nobody else."""
    (loan,) = book(database)
    door = door_of(database, {})
    done = start(door, call(database, loan), agent="mei", now=NOW)
    assert done.contact is not None
    report(database, done.contact, "not_tried")
    assert contact_of(database, done.contact).status == "cancelled"
    assert take_next(door, queue="call", agent="ben", now=NOW) is None
    assert start(door, call(database, loan), agent="ben", now=NOW).contact is not None


def test_the_switches_hold_for_people_too(database: Database) -> None:
    """With sending off, or for a number that is not on the allow list outside production, nobody can start."""
    (loan,) = book(database)
    with pytest.raises(SettingsError, match="sending is off"):
        start(door_of(database, {}, stand_in=False), call(database, loan), agent="mei", now=NOW)
    with database.write() as session:
        session.execute(text("update setting set value = 'on' where name = 'sending'"))
    door = door_of(database, {}, stand_in=False, allow_list=frozenset({"+1"}))
    with pytest.raises(SettingsError, match="is not on the allow list"):
        start(door, call(database, loan), agent="mei", now=NOW)
    assert rows(database, DecisionRow) == []


def test_whom_it_is_about_has_to_be_clear(database: Database) -> None:
    """A role nobody has, two people in one role, a number of somebody else's and an excepted purpose are refused."""
    (loan,) = book(database)
    door = door_of(database, {})
    with pytest.raises(DataError, match="has no guarantor"):
        ask(door, call(database, loan, role="guarantor"), NOW)
    for n in range(2):
        other = make_person(database, mobile=f"+86137000000{n}0")
        add(database, Party(loan_id=loan, person_id=other, role="guarantor"))
    with pytest.raises(DataError, match="has 2 people in the role guarantor"):
        ask(door, call(database, loan, role="guarantor"), NOW)
    with pytest.raises(DataError, match="is no number or address of theirs for call"):
        ask(door, call(database, loan, endpoint=99_999), NOW)
    with pytest.raises(DataError, match="`legally_required` is no purpose that a person chooses"):
        start(door, call(database, loan, purpose="legally_required"), agent="mei", now=NOW)


@pytest.mark.parametrize("window", ["1 dates", "24 hours"])
def test_a_manual_call_at_five_and_the_scheduler_at_six(database: Database, window: str) -> None:
    """Manual call at 17:00, scheduler at 06:00: under a house limit of one a day no second contact comes before its time."""
    gate = Gate(load_packs({"cap.yaml": CAP.replace("1 dates", window)}), ["CN"])
    (loan,) = book(database)
    five, six = NOW.replace(hour=9), NOW.replace(hour=22)  # in Shanghai 17:00, and 06:00 the next morning
    already = plan(database, loan, not_before_at=six, at=six, expires_at=six + timedelta(hours=22))
    door = door_of(database, {"sms": (adapter := Silent())}, gate=gate)
    with database.write() as session:
        session.get_one(Contact, already).status = "cancelled"  # so that the agent may call at all
    done = start(door, call(database, loan), agent="mei", now=five)
    assert done.contact is not None
    report(database, done.contact, "conversation", at=five)
    with database.write() as session:
        session.get_one(Contact, already).status = "planned"
    fed(database, six)
    earliest = five + timedelta(hours=24) if window == "24 hours" else six
    assert counts(go(door, six)) == ({"delayed": 1} if window == "24 hours" else {"sent": 1})
    assert contact_of(database, already).at >= earliest
    assert len(adapter.seen) == (window != "24 hours")
    # A sweep the same evening plans nothing for that day either.
    (second,) = book(database)
    done = start(door, call(database, second), agent="mei", now=five)
    assert done.contact is not None
    report(database, done.contact, "conversation", at=five)
    evening = five + timedelta(hours=2)
    rules = small_rulebook()
    decided = decide_borrowers(
        database, rules, gate, borrower_ids=[borrower_of(database, second)], now=evening, matcher=door.matcher
    )
    over = five + timedelta(hours=24) if window == "24 hours" else NOW.replace(hour=16)
    planned = [c.not_before for decision, _ in decided for answer in decision.loans for c in answer.contacts]
    assert planned
    assert min(planned) >= over
