"""Queues on real databases: whose turn it is, call-backs at their time, and nobody at all while sending is off."""

import hashlib
from datetime import timedelta

import pytest
from sqlmodel import col

from engine.errors import DataError, SettingsError
from engine.strategy import PromisePolicy
from store.db import Database
from store.outbox import expire
from store.tables import Consent, Contact, Event, Promise, Proof
from tests.factories import add_payment
from tests.outgoing import (
    AMOUNT,
    DATES,
    NOW,
    TODAY,
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
    set_setting,
)
from workflows.call_backs import CallBack
from workflows.deciding.allotment import Queue, rank_text
from workflows.desk.proofs import proof_of
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.task_list import task_list
from workflows.desk.tasks import call_off, start_task, take_next

POLICY = PromisePolicy(max_days=7, grace_days=1)
LATER = NOW + timedelta(hours=2)


def queued(database: Database, loan: int, rule: str = "call", **values: object) -> str:
    """A task that waits in its queue since ten minutes ago."""
    return plan(database, loan, rule, **({"status": "sent", "at": NOW - timedelta(minutes=10)} | values))


def asked_back(database: Database, task: str, *, agent: str = "ann", at=LATER) -> str:  # type: ignore[no-untyped-def]
    """The agent reports that they want to be called at that time; the call-back's id."""
    back = CallBack(at, zones=("Asia/Shanghai",))
    record_outcome(database, task, Report("call_back", agent, NOW, TODAY, POLICY, DATES, call_back=back))
    (found,) = rows(database, Contact, col(Contact.slot) == f"call-back:{task}")
    return str(found.id)


# -- whose turn ---------------------------------------------------------------------------------------------


def test_the_queue_ranks(database: Database) -> None:
    """What the queue ranks by is written at the hand-over and decides who is next; what is equal goes by age."""
    loans = book(database, 3)
    tasks = [plan(database, loan, "call", queue="junior") for loan in loans]
    ranks = {"junior": Queue("junior", None, (("dpd", True),))}
    door = door_of(database, {}, queues=ranks)
    assert counts(go(door)) == {"handed over": 3}
    worst = tasks[2]
    with database.write() as session:
        session.get_one(Contact, worst).rank = rank_text(ranks["junior"], {"dpd": 90})
    got = []
    for agent in ("ann", "ben", "cas"):
        handed = take_next(door, queue="junior", agent=agent, now=NOW)
        assert handed is not None
        got.append(handed.contact.id)
    assert got == [worst, *tasks[:2]]
    assert contact_of(database, tasks[0]).rank == rank_text(ranks["junior"], {"dpd": 5})


def test_a_rank_sorts_as_the_values_do() -> None:
    """Texts compare as the numbers and words they stand for; unknown comes last either way."""
    values = [-(2**62), -5, 0, 7, 2**62]
    up, down = Queue("q", None, (("f", False),)), Queue("q", None, (("f", True),))
    assert sorted(values, key=lambda v: rank_text(up, {"f": v})) == values
    assert sorted(values, key=lambda v: rank_text(down, {"f": v})) == values[::-1]
    words = ["a", "b", "bb", "c"]
    assert sorted(words, key=lambda v: rank_text(up, {"f": v})) == words
    assert sorted(words, key=lambda v: rank_text(down, {"f": v})) == words[::-1]
    for queue in (up, down):
        assert rank_text(queue, {}) > max(rank_text(queue, {"f": v}) for v in (*values, *words))


def test_while_sending_is_off_nobody_gets_a_task(database: Database) -> None:
    """The switch stops agents like messages: nothing is handed out, nothing is claimed, and what it says is the mend."""
    (loan,) = book(database)
    task = queued(database, loan)
    door = door_of(database, {}, stand_in=False)
    for ask in (
        lambda: take_next(door, queue="junior", agent="ann", now=NOW),
        lambda: start_task(door, task, agent="ann", now=NOW),
    ):
        with pytest.raises(SettingsError, match="sending is off"):
            ask()
    assert (contact_of(database, task).claimed_by, contact_of(database, task).attempts) == (None, 0)
    set_setting(database, "sending", "on")
    with pytest.raises(SettingsError, match="real people are not reached"):
        take_next(door, queue="junior", agent="ann", now=NOW)
    # Outside production only who is on the allow list: everybody else's task ends here.
    listed = door_of(database, {}, stand_in=False, allow_list=frozenset({"+12125550199"}))
    assert take_next(listed, queue="junior", agent="ann", now=NOW) is None
    assert contact_of(database, task).why == "not production, and the address is not on the allow list"


def test_the_switch_stops_what_is_in_hand_too(database: Database) -> None:
    """An agent who took a task before it was thrown does not get the go-ahead again; the task stays in their hands."""
    task = queued(database, book(database)[0])
    number = "+86138"
    set_setting(database, "sending", "on")
    (loan,) = {contact_of(database, task).loan_id}
    assert loan
    door = door_of(database, {})
    assert start_task(door, task, agent="ann", now=NOW).contact.id == task
    off = door_of(database, {}, stand_in=False, allow_list=frozenset({number}))
    set_setting(database, "sending", "off")
    with pytest.raises(SettingsError, match="sending is off"):
        start_task(off, task, agent="ann", now=NOW)
    assert contact_of(database, task).claimed_by == "agent:ann"


# -- one by name --------------------------------------------------------------------------------------------


def test_a_named_task_is_looked_at_again(database: Database) -> None:
    """`start` asks anew: free or one's own it is handed out, in other hands, over or too early it is refused and says why."""
    loans = book(database, 3)
    one, other, later = queued(database, loans[0]), queued(database, loans[1]), queued(database, loans[2])
    with database.write() as session:
        session.get_one(Contact, later).not_before_at = NOW + timedelta(hours=1)
    gate = SmallGate()
    door = door_of(database, {}, gate=gate)
    assert start_task(door, one, agent="ann", now=NOW).contact.id == one
    assert start_task(door, one, agent="ann", now=NOW).contact.id == one
    assert len(gate.asked) == 2
    with pytest.raises(DataError, match=f"ann has `{one}` in hand"):
        start_task(door, other, agent="ann", now=NOW)
    said = {}
    for task, agent in ((one, "ben"), (later, "ben"), ("no-such", "ben")):
        with pytest.raises(DataError) as caught:
            start_task(door, task, agent=agent, now=NOW)
        said[task] = str(caught.value)
    assert said[one].startswith(f"task `{one}` is in the hands of ann\n")
    assert said[later].startswith(f"task `{later}` may not be worked before 2026-11-24 05:00Z\n")
    assert said["no-such"].startswith("no task `no-such`\n")
    add_payment(database, loans[1], AMOUNT, TODAY, recorded_at=NOW)
    with pytest.raises(DataError, match=f"task `{other}` is cancelled: rule call does not match any more"):
        start_task(door, other, agent="ben", now=NOW)


def test_too_few_do_not_go_on_a_visit(database: Database) -> None:
    """A visit for two is not begun by one, and not called off either; with company it is, and they stand in its history."""
    (loan,) = book(database)
    visit = queued(database, loan, "visit")
    door = door_of(database, {})
    with pytest.raises(DataError, match="2 people go, not 1\n  mend: say who goes along"):
        take_next(door, queue="field", agent="ann", now=NOW)
    assert (contact_of(database, visit).status, contact_of(database, visit).claimed_by) == ("sent", None)
    with pytest.raises(DataError, match="2 people go, not 1"):
        start_task(door, visit, agent="ann", now=NOW, together=["ann"])
    handed = start_task(door, visit, agent="ann", now=NOW, together=["li"])
    assert handed.contact.id == visit


def test_a_task_that_nobody_saw_is_not_in_doubt(database: Database) -> None:
    """Claimed by somebody who died before it reached their screen, a task only expires."""
    task = queued(database, book(database)[0], claimed_by="agent:ann")
    assert expire(database, now=NOW + timedelta(days=2)) == 1
    assert contact_of(database, task).status == "expired"


# -- call-backs ---------------------------------------------------------------------------------------------


def test_a_call_back_comes_at_its_time_first_to_who_promised_it(database: Database) -> None:
    """Before its time it is nobody's; then it precedes everything else, for its agent; others get it when they are late."""
    loans = book(database, 3)
    back = asked_back(database, queued(database, loans[0]))
    queued(database, loans[1])
    queued(database, loans[2])
    door = door_of(database, {})
    assert contact_of(database, back).kept_for == "ann"
    with database.session() as session:
        assert back not in [task.task for task in task_list(session, door.rulebook, {}, queue="junior", now=NOW)]
        skilled = {"junior": Queue("junior", skills=("patience",))}
        listed = task_list(session, door.rulebook, skilled, queue="junior", now=LATER)
    assert (listed[0].task, listed[0].reason) == (back, "ann promised to call back")
    assert {task.skills for task in listed} == {("patience",)}
    for agent, now, wanted in (("ben", LATER, False), ("ann", LATER, True)):
        handed = take_next(door, queue="junior", agent=agent, now=now)
        assert handed is not None
        assert (handed.contact.id == back) is wanted, agent


def test_a_call_back_is_not_lost_with_its_agent(database: Database) -> None:
    """While its agent is busy, or five minutes after its time, whoever is free gets it."""
    loans = book(database, 4)
    first, second = (asked_back(database, queued(database, loan)) for loan in loans[:2])
    busy = queued(database, loans[2])
    door = door_of(database, {})
    assert take_next(door, queue="junior", agent="ben", now=LATER - timedelta(minutes=1)) is not None
    with database.write() as session:
        session.get_one(Contact, busy).claimed_by = None
        session.get_one(Contact, busy).attempts = 0
    assert start_task(door, busy, agent="ann", now=LATER).contact.id == busy
    handed = take_next(door, queue="junior", agent="ben", now=LATER)
    assert handed is not None
    assert handed.contact.id == first
    record_outcome(database, busy, Report("no_answer", "ann", LATER, TODAY, POLICY, DATES))
    assert take_next(door, queue="junior", agent="cas", now=LATER) is None
    late = take_next(door, queue="junior", agent="cas", now=LATER + timedelta(minutes=5))
    assert late is not None
    assert late.contact.id == second


def test_a_call_back_goes_through_the_gate_and_ends_with_the_arrears(database: Database) -> None:
    """Asked for at night it is not made; one whose loan is paid, or that a promise replaces, is called off at once."""
    loans = book(database, 4)
    night = asked_back(database, queued(database, loans[0]), at=NOW + timedelta(hours=8, minutes=30))
    paid = asked_back(database, queued(database, loans[1]))
    kept = asked_back(database, queued(database, loans[2]))
    stays = asked_back(database, queued(database, loans[3]))
    door = door_of(database, {}, gate=SmallGate())
    add_payment(database, loans[1], AMOUNT, TODAY, recorded_at=NOW)
    add(
        database,
        Promise(loan_id=loans[2], amount_minor=1, made_at=NOW, due_on=TODAY + timedelta(days=3), ref="p"),
        bump=borrower_of(database, loans[2]),
    )
    assert call_off(door, now=NOW) == 2
    assert {task: contact_of(database, task).why for task in (paid, kept)} == {
        paid: "nothing is past due any more",
        kept: "a promise to pay is open",
    }
    assert contact_of(database, stays).status == "sent"
    assert take_next(door, queue="junior", agent="ann", now=NOW + timedelta(hours=8, minutes=30)) is None
    assert contact_of(database, night).why == "refused: test.hours"


def test_asking_for_a_call_is_a_consent_to_it(database: Database) -> None:
    """That they asked, for which day and until when, stands in the ledger: some laws on frequency yield to it."""
    (loan,) = book(database)
    back = asked_back(database, queued(database, loan))
    (said,) = rows(database, Consent)
    assert (said.kind, said.scope, said.channels, said.ref) == (
        "consent",
        "call_frequency",
        "call",
        f"call-back:{back}",
    )
    assert (said.person_id, said.until_at, said.detail_json) == (
        borrower_of(database, loan), LATER + timedelta(hours=4), f'{{"debts":[{loan}],"only_on":["2026-11-24"]}}',
    )  # fmt: skip
    again = asked_back(database, back, at=LATER + timedelta(hours=3))
    assert again == back.replace("-b1", "-b2")
    assert [event.kind for event in rows(database, Event)] == ["call_outcome", "call_outcome"]


def test_a_call_back_needs_a_time_to_come(database: Database) -> None:
    """No time, one that is over, one in a year: refused, and nothing is written."""
    task = queued(database, book(database)[0])
    for back in (None, CallBack(NOW), CallBack(NOW + timedelta(days=365))):
        with pytest.raises(DataError, match="call-back"):
            record_outcome(database, task, Report("call_back", "ann", NOW, TODAY, POLICY, DATES, call_back=back))
    with pytest.raises(DataError, match="`conversation` takes no time to call back"):
        record_outcome(
            database, task, Report("conversation", "ann", NOW, TODAY, POLICY, DATES, call_back=CallBack(LATER))
        )
    assert (contact_of(database, task).status, rows(database, Consent)) == ("sent", [])


# -- proof --------------------------------------------------------------------------------------------------


def test_the_proof_of_a_visit_is_a_hash(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Who was there, when, and the hash of a file that stays where it is; an empty or missing file proves nothing."""
    visit = queued(database, book(database)[0], "visit")
    photo = tmp_path / "door.jpg"
    photo.write_bytes(b"a door")
    proof = proof_of(photo, people=("ann", "li"), recorded_at=NOW)
    record_outcome(
        database, visit, Report("nobody_met", "ann", NOW - timedelta(hours=1), TODAY, POLICY, DATES, proof=proof)
    )
    (kept,) = rows(database, Proof)
    assert (kept.digest, kept.size_bytes, kept.people) == (
        hashlib.sha256(b"a door").hexdigest(), 6, "ann, li",
    )  # fmt: skip
    assert (kept.at, kept.recorded_at) == (NOW - timedelta(hours=1), NOW)
    photo.write_bytes(b"")
    for path in (photo, tmp_path / "nothing.jpg"):
        with pytest.raises(DataError):
            proof_of(path, people=(), recorded_at=NOW)
