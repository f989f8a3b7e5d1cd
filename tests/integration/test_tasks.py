"""Work queues on real databases: who gets which task, when not, and what an outcome brings about."""

import threading
from datetime import date, timedelta

import pytest
from sqlmodel import col, select

from engine.errors import DataError
from engine.strategy import PromisePolicy
from store.db import Database
from store.tables import Consent, Contact, Endpoint, Event, Hold, Notice, Party, Person, Promise
from tests.factories import add_payment, make_person
from tests.opening import open_database
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
    statuses,
)
from workflows.call_backs import CallBack
from workflows.desk.outcome_file import outcomes
from workflows.desk.outcomes import Promised
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.sayings import mark, restore
from workflows.desk.tasks import call_off, take_next, waiting

POLICY = PromisePolicy(max_days=7, grace_days=1)


def queued(database: Database, loan: int, rule: str = "call", **values: object) -> str:
    """A task that waits in its queue since ten minutes ago."""
    ago = NOW - timedelta(minutes=10)
    return plan(database, loan, rule, **({"status": "sent", "at": ago} | values))


def report(database: Database, task: str, outcome: str, **changes: object) -> None:
    given = {"agent": "ann", "at": NOW, "on": TODAY, "policy": POLICY, "dates": DATES}
    record_outcome(database, task, Report(outcome, **(given | changes)))  # type: ignore[arg-type]


def refusal(database: Database, task: str, outcome: str, **changes: object) -> str:
    before = rows(database, Promise), statuses(database, task), [p.version for p in rows(database, Person)]
    with pytest.raises(DataError) as caught:
        report(database, task, outcome, **changes)
    assert (rows(database, Promise), statuses(database, task), [p.version for p in rows(database, Person)]) == before
    return str(caught.value)


# -- taking -----------------------------------------------------------------------------------------------


def test_the_oldest_task_comes_first_with_its_script(database: Database) -> None:
    """An agent gets the task that has waited longest; it is written down who saw it, and it stays theirs."""
    loans = book(database, 3)
    later = queued(database, loans[0])
    first = queued(database, loans[1], at=NOW - timedelta(minutes=30))
    queued(database, loans[2], queue="other")
    door = door_of(database, {})
    handed = take_next(door, queue="junior", agent="ann", now=NOW)
    assert handed is not None
    name = next(p.name for p in rows(database, Person) if p.id == borrower_of(database, loans[1]))
    assert (handed.contact.id, handed.text) == (first, f"call {name}")
    again = take_next(door, queue="junior", agent="ann", now=NOW + timedelta(hours=3))
    assert again is not None
    assert again.contact.id == first
    other = take_next(door, queue="junior", agent="ben", now=NOW)
    assert other is not None
    assert other.contact.id == later
    assert take_next(door, queue="junior", agent="cas", now=NOW) is None
    assert statuses(database, first) == ["planned", "sent"]
    with database.session() as session:
        assert [task.id for task in waiting(session, queue="junior", now=NOW)] == [first, later]


def test_a_letter_waits_in_the_queue_of_its_channel(database: Database) -> None:
    """A task whose rule names no queue is taken from that of its channel."""
    letter = queued(database, book(database)[0], "notice")
    handed = take_next(door_of(database, {}), queue="letter", agent="ann", now=NOW)
    assert handed is not None
    assert handed.contact.id == letter


def test_what_is_forbidden_now_never_reaches_a_screen(database: Database) -> None:
    """A paid loan's task, one about an opt-out and one that cannot be said are called off; the next one is handed out."""
    loans = book(database, 4)
    paid, out, odd, good = (queued(database, loan, "odd-call" if n == 2 else "call") for n, loan in enumerate(loans))
    add_payment(database, loans[0], AMOUNT, TODAY, recorded_at=NOW)
    person = borrower_of(database, loans[1])
    add(database, Consent(person_id=person, kind="opt_out", received_at=NOW, recorded_at=NOW, ref="o"), bump=person)
    handed = take_next(door_of(database, {}), queue="junior", agent="ann", now=NOW)
    assert handed is not None
    assert handed.contact.id == good
    assert [contact_of(database, task).why for task in (paid, out, odd)] == [
        "rule call does not match any more",
        "refused: test.opted_out",
        "template `unsayable` says `promise.amount`, which is not known",
    ]
    assert {contact_of(database, task).status for task in (paid, out, odd)} == {"cancelled"}


def test_at_night_a_task_goes_back_until_the_morning(database: Database) -> None:
    """Nothing is handed out at nine in the evening; the task waits, and is handed out at eight."""
    task = queued(database, book(database)[0])
    door = door_of(database, {})
    assert take_next(door, queue="junior", agent="ann", now=NOW + timedelta(hours=9)) is None
    back = contact_of(database, task)
    assert (back.status, back.claimed_by, back.not_before_at) == ("sent", None, NOW + timedelta(hours=20))
    with database.session() as session:
        assert waiting(session, queue=None, now=NOW + timedelta(hours=19)) == []
    handed = take_next(door, queue="junior", agent="ben", now=NOW + timedelta(hours=20))
    assert handed is not None
    assert handed.contact.id == task


def test_a_task_in_a_queue_does_not_forbid_itself(database: Database) -> None:
    """A rule that wants a day between calls still wants the call that waits, and a limit of one lets it be made."""
    queued(database, book(database)[0])
    assert take_next(door_of(database, {}, gate=SmallGate(per_day=1)), queue="junior", agent="ann", now=NOW) is not None


def test_one_agent_for_a_person_at_a_time(database: Database) -> None:
    """While somebody has a person in hand, or a message to them is leaving, nobody else gets them."""
    first, second = book(database, 2)
    one, two = queued(database, first), queued(database, first, "after-failure")
    queued(database, second)
    plan(database, second, status="sending", claimed_by="w", claimed_until_at=NOW + timedelta(minutes=5))
    door = door_of(database, {})
    handed = take_next(door, queue="junior", agent="ann", now=NOW)
    assert handed is not None
    assert handed.contact.id == one
    assert take_next(door, queue="junior", agent="ben", now=NOW) is None
    report(database, one, "no_answer")
    later = take_next(door, queue="junior", agent="ben", now=NOW)
    assert later is not None
    assert later.contact.id == two


def test_agents_never_share_a_task_or_a_person(postgres_database: Database) -> None:
    """Four agents at once: every task is handed to one of them, and no person to two at a time."""
    loans = book(postgres_database, 6)
    tasks = [queued(postgres_database, loan, rule) for loan in loans for rule in ("call", "after-failure")]
    url = postgres_database.url.render_as_string(hide_password=False)
    taken: list[tuple[str, int]] = []
    start = threading.Barrier(4)

    def work(agent: str) -> None:
        own = open_database(url)
        door = door_of(own, {})
        start.wait(60)
        handed = take_next(door, queue="junior", agent=agent, now=NOW)
        if handed is not None:
            taken.append((handed.contact.id, handed.contact.person_id))
        own.close()

    threads = [threading.Thread(target=work, args=(f"agent-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(taken) == 4
    assert len({task for task, _ in taken}) == 4
    assert len({person for _, person in taken}) == 4
    assert {task for task, _ in taken} <= set(tasks)


# -- what is not worked -----------------------------------------------------------------------------------


def test_a_task_nobody_took_expires_and_one_nobody_reported_is_in_doubt(database: Database) -> None:
    """Past its time a task that nobody saw never was; one that somebody took counts as made until they say."""
    loans = book(database, 2)
    seen, unseen = queued(database, loans[0]), queued(database, loans[1], at=NOW)
    door = door_of(database, {})
    assert take_next(door, queue="junior", agent="ann", now=NOW) is not None
    assert counts(go(door, NOW + timedelta(hours=22))) == {"expired": 2}
    assert (contact_of(database, seen).status, contact_of(database, unseen).status) == ("unknown", "expired")
    assert contact_of(database, seen).why == "somebody took it and never said what came of it"
    report(database, seen, "no_answer")
    assert (contact_of(database, seen).status, contact_of(database, seen).outcome) == ("delivered", "no_answer")
    assert refusal(database, unseen, "no_answer") == (
        f"task `{unseen}` is expired already\n"
        "  mend: an outcome is reported once; look at `duecourse loan` for what was said"
    )


def test_a_task_that_was_not_tried_is_free_again(database: Database) -> None:
    """Given back, a task is nobody's, nothing happened, and the next agent gets it."""
    task = queued(database, book(database)[0])
    door = door_of(database, {})
    take_next(door, queue="junior", agent="ann", now=NOW)
    report(database, task, "not_tried")
    assert (contact_of(database, task).status, rows(database, Event)) == ("sent", [])
    handed = take_next(door, queue="junior", agent="ben", now=NOW)
    assert handed is not None
    assert handed.contact.id == task


def test_tasks_that_nothing_asks_for_are_called_off(database: Database) -> None:
    """When a loan is paid its waiting task goes, others stay; one that an agent has in hand becomes a doubt, not a no."""
    loans = book(database, 4)
    paid, open_, night, in_hand = (queued(database, loan) for loan in loans)
    door = door_of(database, {})
    with database.write() as session:
        session.get_one(Contact, in_hand).claimed_by = "agent:ann"
    for loan in (loans[0], loans[3]):
        add_payment(database, loan, AMOUNT, TODAY, recorded_at=NOW)
    assert call_off(door, now=NOW, borrowers=[borrower_of(database, loans[1])]) == 0
    assert call_off(door, now=NOW, borrowers=[borrower_of(database, loans[0])]) == 1
    assert (contact_of(database, paid).status, contact_of(database, paid).why) == (
        "cancelled", "rule call does not match any more",
    )  # fmt: skip
    # At night what may be worked in the morning stays.
    assert call_off(door, now=NOW + timedelta(hours=9)) == 0
    assert {contact_of(database, task).status for task in (open_, night, in_hand)} == {"sent"}
    assert take_next(door, queue="junior", agent="ann", now=NOW) is not None
    assert contact_of(database, in_hand).status == "cancelled"


def test_what_an_agent_has_seen_is_never_called_off_as_if_nothing_had_been(database: Database) -> None:
    """The loan is paid after the agent saw the number: whether they called is unknown until they report it."""
    (loan,) = book(database)
    task = queued(database, loan)
    door = door_of(database, {})
    take_next(door, queue="junior", agent="ann", now=NOW)
    add_payment(database, loan, AMOUNT, TODAY, recorded_at=NOW)
    assert take_next(door, queue="junior", agent="ann", now=NOW) is None
    assert contact_of(database, task).status == "unknown"
    report(database, task, "conversation")
    assert contact_of(database, task).outcome == "conversation"


# -- outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channel", "outcome"), [(c, o) for c, known in outcomes().items() for o in known])
def test_every_outcome_closes_its_task(sqlite_database: Database, channel: str, outcome: str) -> None:
    """Each outcome of the catalogue is logged in words that limits and rules know, and tells the rules once."""
    from compliance.pack import KNOWN_OUTCOMES

    (loan,) = book(sqlite_database)
    task = queued(sqlite_database, loan, channel=channel)
    promised = Promised(50_00, TODAY + timedelta(days=3)) if outcome == "promise" else None
    asked = CallBack(NOW + timedelta(hours=2)) if outcome == "call_back" else None
    report(sqlite_database, task, outcome, promised=promised, call_back=asked)
    worked = contact_of(sqlite_database, task)
    events = [event.kind for event in rows(sqlite_database, Event)]
    if outcome == "not_tried":
        assert (worked.status, worked.outcome, events) == ("sent", "", [])
        return
    assert worked.status in ("delivered", "failed", "cancelled")
    assert worked.outcome in KNOWN_OUTCOMES
    assert (worked.at, worked.claimed_by) == (NOW, None)
    kinds = {"promise": "promise_made", "dispute": "dispute", "returned": "delivery_failed"}
    assert events == [kinds.get(outcome, "call_outcome")]
    assert refusal(
        sqlite_database, task, outcome if outcome != "posted" else "not_tried", promised=promised, call_back=asked
    ) == (
        f"task `{task}` is {worked.status} already: {worked.outcome}\n"
        "  mend: an outcome is reported once; look at `duecourse loan` for what was said"
    )


def test_a_wrong_number_is_not_used_again_and_counts_for_nothing(database: Database) -> None:
    """The number is not this person's: it is invalid, and the call is no contact with them."""
    task = queued(database, book(database)[0])
    report(database, task, "wrong_number")
    worked = contact_of(database, task)
    assert (worked.misdirected, worked.outcome) == (True, "wrong_person")
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.id) == worked.endpoint_id)] == [False]


def listed_also(database: Database, loan: int, other: int) -> tuple[int, int, int]:
    """The borrower's mobile, the same number as their landline, and as the other borrower's mobile: their endpoints."""
    with database.write() as session:
        mobiles = select(Endpoint).where(col(Endpoint.kind) == "mobile").order_by(col(Endpoint.person_id))
        mine = session.exec(mobiles.where(col(Endpoint.person_id) == borrower_of(database, loan))).one()
        theirs = session.exec(mobiles.where(col(Endpoint.person_id) == borrower_of(database, other))).one()
        theirs.value = mine.value
        line = Endpoint(person_id=mine.person_id, kind="landline", value=mine.value, recorded_at=NOW)
        session.add_all([theirs, line])
        session.flush()
        return mine.id or 0, line.id or 0, theirs.id or 0


@pytest.mark.parametrize("outcome", ["wrong_number", "not_in_service"])
def test_a_number_is_lost_as_whatever_it_is_listed(database: Database, outcome: str) -> None:
    """A wrong number as mobile is wrong as landline as well; for somebody else who has it on file it says nothing."""
    loan, other = book(database, 2)
    mobile, line, theirs = listed_also(database, loan, other)
    report(database, queued(database, loan), outcome)

    def used() -> list[bool]:
        return [rows(database, Endpoint, col(Endpoint.id) == one)[0].valid for one in (mobile, line, theirs)]

    assert used() == [False, False, True]
    lost_before = NOW - timedelta(days=9)
    with database.write() as session:
        session.get_one(Endpoint, line).lost_at = lost_before
    with database.write() as session:
        restore(session, mobile)
    assert used() == [True, False, True]
    with database.write() as session:
        session.get_one(Endpoint, mobile).valid, session.get_one(Endpoint, mobile).lost_at = False, lost_before
    with database.write() as session:
        restore(session, line)
    assert used() == [True, True, True]


def test_what_is_known_against_a_number_is_known_of_it_as_whatever_it_is_listed(database: Database) -> None:
    """A mark put on the mobile stands on the landline of the same number, and is taken back from both."""
    loan, other = book(database, 2)
    mobile, line, theirs = listed_also(database, loan, other)
    for off, known in ((False, "known_disclosure"), (True, "")):
        with database.write() as session:
            mark(session, mobile, ["known_disclosure"], off=off)
        marks = {e.id: e.learnt_marks for e in rows(database, Endpoint)}
        assert (marks[mobile], marks[line], marks[theirs]) == (known, known, "")


def test_a_dispute_is_a_hold_with_an_owner(database: Database) -> None:
    """A dispute said to an agent holds that debt at once, is theirs to look at, and bumps the borrower's version."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    guarantor = make_person(database, mobile="+8613700000000")
    add(database, Party(loan_id=loan, person_id=guarantor, role="guarantor"))
    task = queued(database, loan, person=guarantor, role="guarantor")
    before = {p.id: p.version for p in rows(database, Person)}
    report(database, task, "dispute")
    (hold,) = rows(database, Hold)
    assert (hold.person_id, hold.loan_id, hold.kind, hold.owner) == (guarantor, loan, "dispute", "ann")
    assert hold.review_on == TODAY + timedelta(days=30)
    after = {p.id: p.version for p in rows(database, Person)}
    assert {p for p in after if after[p] > before[p]} == {person, guarantor}


def test_a_promise_replaces_the_one_before(database: Database) -> None:
    """A loan has one open promise: a new one withdraws the old one, and a promise counts as a conversation."""
    (loan,) = book(database)
    for days in (2, 5):
        task = queued(database, loan)
        report(database, task, "promise", promised=Promised(50_00, TODAY + timedelta(days=days)))
        assert contact_of(database, task).outcome == "conversation"
    assert [(p.status, p.due_on) for p in rows(database, Promise)] == [
        ("withdrawn", TODAY + timedelta(days=2)), ("open", TODAY + timedelta(days=5)),
    ]  # fmt: skip


def test_a_notice_counts_from_its_posting_and_not_when_it_comes_back(database: Database) -> None:
    """A letter in its queue is evidence of nothing; posted, it is in force five days later; returned, never."""
    letter = queued(database, book(database)[0], "notice")
    assert rows(database, Notice) == []
    report(database, letter, "posted", notice="prelegal_notice")
    (notice,) = rows(database, Notice)
    assert (notice.kind, notice.sent_on, notice.effective_on, notice.voided_at) == (
        "prelegal_notice", TODAY, TODAY + timedelta(days=5), None,
    )  # fmt: skip
    report(database, letter, "returned", at=NOW + timedelta(days=6), on=TODAY + timedelta(days=6))
    (notice,) = rows(database, Notice)
    assert notice.voided_at == NOW + timedelta(days=6)
    assert (contact_of(database, letter).status, contact_of(database, letter).outcome) == ("delivered", "returned")
    assert [event.kind for event in rows(database, Event)] == ["call_outcome", "delivery_failed"]
    assert refusal(database, letter, "returned").startswith(f"task `{letter}` is delivered already: returned")


# -- refusals ---------------------------------------------------------------------------------------------


def test_what_cannot_be_reported_says_why(database: Database) -> None:
    """Every refusal names what is wrong and how to mend it, and nothing is written."""
    (loan,) = book(database)
    task, text = queued(database, loan), plan(database, loan)
    with pytest.raises(DataError) as caught:
        report(database, "c-0", "no_answer")
    assert str(caught.value) == "no task `c-0`\n  mend: `duecourse tasks list` shows what is waiting"
    assert refusal(database, text, "no_answer").startswith(f"no task `{text}`")
    assert refusal(database, task, "no_anwser") == "unknown call outcome `no_anwser`\n  mend: write `no_answer`"
    assert refusal(database, task, "x") == (
        "unknown call outcome `x`\n  mend: use one of no_answer, busy, mailbox_full, voicemail, dropped, not_in_service, "
        "wrong_number, conversation, promise, call_back, refused, dispute, not_tried"
    )
    assert refusal(database, task, "promise") == (
        "a promise needs its amount and day\n  mend: write `--outcome promise --amount 500 --due 2026-03-09`"
    )
    promised = Promised(50_00, TODAY + timedelta(days=8))
    assert refusal(database, task, "promise", promised=promised) == (
        "a promise for 2026-12-02 cannot be taken: this strategy takes 2026-11-24 to 2026-12-01\n"
        "  mend: agree on a day in that time"
    )
    assert refusal(database, task, "promise", promised=Promised(50_00, date(2026, 11, 23))).startswith(
        "a promise for 2026-11-23 cannot be taken"
    )
    assert refusal(database, task, "promise", promised=Promised(0, TODAY)) == (
        "a promise of nothing\n  mend: write the amount promised"
    )
    assert refusal(database, task, "busy", promised=promised).startswith("`busy` takes no amount and day")
    take_next(door_of(database, {}), queue="junior", agent="ann", now=NOW)
    assert refusal(database, task, "busy", agent="ben") == (
        f"task `{task}` is in the hands of ann\n  mend: let them report, or give it back with `--outcome not_tried`"
    )
