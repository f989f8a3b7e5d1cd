"""What became of a message, on both databases: whoever tells, in whatever order and however often, it ends the same."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col

from channels.message import Receipt
from channels.reports import StatusReport
from store.db import Database
from store.inbox import put
from store.tables import Arrival, Consent, Contact, Endpoint, Event, Notice, Setting
from tests.outgoing import (
    DATES,
    NOW,
    Silent,
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
)  # fmt: skip
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import Ears, TakenIn, take_in
from workflows.sending.dispatch import dispatch
from workflows.sending.fate import Evidence

LATER = NOW + timedelta(minutes=3)
EVIDENCE = Evidence(lambda contact: "visit_notice" if contact.rule == "text" else None, DATES)
_numbers = count(1)

HISTORIES = (
    ("sent", "delivered"),
    ("sent", "failed:30003:try_later"),
    ("sent", "failed:21610:opted_out"),
    ("sent", "failed:30006:bad_address"),
    ("failed:30007:blocked",),
)
"""What a provider can have to say of one message: words of `StatusReport`."""


def unheard(arrival: Arrival) -> str:
    raise AssertionError(f"nobody said anything: {arrival.kind}")


EARS = Ears(unheard, unheard, EVIDENCE)


def report(contact: str, word: str, ref: str = "", provider: str = "twilio") -> StatusReport:
    status, code, meaning = (*word.split(":"), "", "ok")[:3] if ":" in word else (word, "", "ok")
    return StatusReport(provider, contact, ref, status, code, meaning)  # type: ignore[arg-type]


def arrive(database: Database, *reports: StatusReport) -> None:
    """Each request is a transaction of its own, as at the door."""
    for one in reports:
        with database.write() as session:
            put(session, [arrival_of(one, nonce=lambda: str(next(_numbers)))], now=NOW)


def handle(database: Database) -> TakenIn:
    return take_in(database, EARS, lambda: LATER)


def left(database: Database, status: str = "sent", **values: object) -> tuple[str, int]:
    """A text that has left, or may have; and its loan."""
    (loan,) = book(database)
    ref = {"provider": "twilio", "provider_ref": f"SM{next(_numbers):032x}"} if status == "sent" else {}
    given = {"status": status, "outcome": status, "attempts": 1, "at": NOW, **ref, **values}
    return plan(database, loan, **given), loan


def end(database: Database, contact_id: str, loan: int) -> dict[str, object]:
    """Everything that follows from a contact's fate."""
    contact, person = contact_of(database, contact_id), borrower_of(database, loan)
    endpoints = sorted(rows(database, Endpoint, col(Endpoint.person_id) == person), key=lambda one: one.id)
    return {
        "status": contact.status,
        "outcome": contact.outcome,
        "error": contact.error,
        "events": [
            (e.kind, json.loads(e.detail_json)["meaning"]) for e in rows(database, Event, col(Event.loan_id) == loan)
        ],
        "statements": [s.kind for s in rows(database, Consent, col(Consent.person_id) == person)],
        "valid": [endpoint.valid for endpoint in endpoints],
        "in force": [n.kind for n in rows(database, Notice, col(Notice.loan_id) == loan) if n.voided_at is None],
    }


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_number_of_reports_ends_the_same(database: Database, data: st.DataObject) -> None:
    """Shuffled, repeated, handled one by one or together: one state, one set of what follows, whatever came first."""
    history = data.draw(st.sampled_from(HISTORIES))
    first = data.draw(st.sampled_from(("sent", "unknown")))
    more = data.draw(st.lists(st.sampled_from(history), max_size=4))
    shuffled = data.draw(st.permutations([*history, *more]))
    pauses = data.draw(st.lists(st.booleans(), min_size=len(shuffled), max_size=len(shuffled)))

    plain, plain_loan = left(database, first)
    arrive(database, *(report(plain, word) for word in history))
    handle(database)

    odd, odd_loan = left(database, first)
    for word, pause in zip(shuffled, pauses, strict=True):
        arrive(database, report(odd, word))
        if pause:
            handle(database)
    handle(database)
    assert end(database, odd, odd_loan) == end(database, plain, plain_loan)
    assert {arrival.state for arrival in rows(database, Arrival)} == {"done"}


def test_what_a_fate_means(database: Database) -> None:
    """Each ending with what follows: the log's word, one event, a closed number, a stop, a notice that is none."""
    found = {}
    for history in HISTORIES:
        contact, loan = left(database, "unknown")
        arrive(database, *(report(contact, word) for word in history))
        handle(database)
        found[history[-1]] = end(database, contact, loan)
    nothing = {"events": [], "statements": [], "valid": [True, True], "in force": ["visit_notice"], "error": None}
    failed = {"status": "failed", "outcome": "failed", "statements": [], "valid": [True, True], "in force": []}
    assert found == {
        "delivered": {"status": "delivered", "outcome": "delivered", **nothing},
        "failed:30003:try_later": {**failed, "error": "30003", "events": [("delivery_failed", "try_later")]},
        "failed:21610:opted_out": {
            **failed, "error": "21610", "events": [("delivery_failed", "opted_out")], "statements": ["opt_out"],
        },
        "failed:30006:bad_address": {
            **failed, "error": "30006", "events": [("delivery_failed", "bad_address")], "valid": [False, True],
        },
        "failed:30007:blocked": {**failed, "error": "30007", "events": [("delivery_failed", "blocked")]},
    }  # fmt: skip


def test_a_final_fate_never_moves(database: Database) -> None:
    """A provider that takes its word back is heard, and changes nothing."""
    for first, second in (("delivered", "failed:30003:try_later"), ("failed:30003:try_later", "delivered")):
        contact, loan = left(database)
        arrive(database, report(contact, first))
        handle(database)
        before, history = end(database, contact, loan), statuses(database, contact)
        arrive(database, report(contact, second), report(contact, "sent"))
        assert handle(database).done == 2
        assert (end(database, contact, loan), statuses(database, contact)) == (before, history)
    assert sum(arrival.why.endswith("and that is final") for arrival in rows(database, Arrival)) == 2


def test_a_report_that_is_faster_than_the_answer_waits_for_it(database: Database) -> None:
    """Delivered before dispatch has written down that it was taken: it is put off, and then what dispatch began goes on."""
    (loan,) = book(database)
    early = []

    def before(message: object) -> None:
        contact = message.contact_id  # type: ignore[attr-defined]
        arrive(database, report(contact, "delivered", "SM1"))
        early.append(take_in(database, EARS, lambda: NOW).early)

    adapter = Silent(lambda _: Receipt("sent", "twilio", "SM1"), before=before)
    contact = plan(database, loan)
    assert counts(go(door_of(database, {"sms": adapter}))) == {"sent": 1}
    assert early == [1]
    assert handle(database).done == 1
    assert contact_of(database, contact).status == "delivered"
    assert statuses(database, contact) == ["planned", "sending", "sent", "delivered"]


def test_a_report_of_a_message_that_never_left_comes_to_a_person(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown, planned, cancelled, a task, another provider's, another message's: parked with its reason, nothing changed."""
    (loan,) = book(database)
    planned, cancelled = plan(database, loan), plan(database, loan, status="cancelled")
    task = plan(database, loan, "call", status="sent")
    sent, _ = left(database)
    arrive(
        database, report("no-such", "delivered"), report(planned, "delivered"), report(cancelled, "sent"),
        report(task, "delivered"), report(sent, "delivered", provider="other"), report(sent, "delivered", "SM2"),
    )  # fmt: skip
    before = {one: contact_of(database, one) for one in (planned, cancelled, task, sent)}
    assert handle(database).parked == 6
    assert {one: contact_of(database, one) for one in before} == before
    assert [arrival.why for arrival in rows(database, Arrival)] == [
        "it is about contact `no-such`, and there is none",
        f"it says that contact `{planned}` is delivered, and that never left: it is planned",
        f"it says that contact `{cancelled}` is sent, and that never left: it is cancelled",
        f"twilio speaks of contact `{task}`, which is a task for people",
        f"other speaks of contact `{sent}`, which is with twilio",
        f"it names another message than the one of contact `{sent}`",
    ]
    assert [r.action for r in caplog.records if hasattr(r, "arrival")] == ["alert"] * 6
    # Looked at again, with what it is about put right.
    assert handle(database) == TakenIn()


def test_a_try_that_came_again_is_not_ended_by_its_first(database: Database) -> None:
    """A failure of a first try, told late, does not touch the second; the second is in doubt by its own id only."""
    (loan,) = book(database)
    answers = iter(
        [Receipt("retry", "twilio", "SM1", "30001", "try_later"), Receipt("unknown", "twilio", "", "timeout")]
    )
    door = door_of(database, {"sms": Silent(lambda _: next(answers))})
    contact = plan(database, loan)
    assert counts(go(door)) == {"retry": 1}
    arrive(database, report(contact, "failed:30001:try_later", "SM1"))
    handle(database)
    assert contact_of(database, contact).status == "planned"
    again = NOW + timedelta(minutes=6)
    asyncio.run(dispatch(door, lambda: again, paced=False))
    assert (contact_of(database, contact).status, contact_of(database, contact).provider_ref) == ("unknown", None)
    arrive(database, report(contact, "failed:30003:try_later", "SM1"))
    handle(database)
    assert contact_of(database, contact).status == "unknown"
    arrive(database, report(contact, "delivered", "SM2"))
    handle(database)
    assert (contact_of(database, contact).status, contact_of(database, contact).provider_ref) == ("delivered", "SM2")


def test_a_refusal_of_our_settings_stops_the_channel(database: Database) -> None:
    """What would fail alike for everybody is not tried on everybody."""
    contact, _ = left(database)
    arrive(database, report(contact, "failed:30034:misconfigured"))
    handle(database)
    brakes = [row.value for row in rows(database, Setting, col(Setting.name) == "brake.sms")]
    assert brakes == ["twilio refused our settings (30034)"]


def test_a_stop_told_by_a_report_is_heard_by_what_is_leaving(database: Database) -> None:
    """Everybody concerned gets a new version, so that a contact looked at before is looked at again."""
    contact, loan = left(database)
    another = plan(database, loan)
    arrive(database, report(contact, "failed:21610:opted_out"))
    handle(database)
    adapter = Silent()
    assert counts(go(door_of(database, {"sms": adapter}))) == {"cancelled": 1}
    assert (contact_of(database, another).why, adapter.seen) == ("refused: test.opted_out", [])


def test_a_report_that_names_only_the_providers_id(database: Database) -> None:
    """It finds its message, also when it is there before that id is written down; after an hour a person looks."""
    contact, _ = left(database)
    ref = contact_of(database, contact).provider_ref or ""
    arrive(database, report("", "delivered", ref), report("", "delivered", "SM-nobody's"))
    done = handle(database)
    assert (done.done, done.early) == (1, 1)
    assert contact_of(database, contact).status == "delivered"
    assert take_in(database, EARS, lambda: NOW + timedelta(minutes=61)).parked == 1
    assert [a.why for a in rows(database, Arrival, col(Arrival.state) == "parked")] == [
        "no message of ours that left has this id"
    ]


def test_many_of_one_batch(database: Database) -> None:
    """A hundred reports, one of them poison, in one go: ninety-nine are heard, and the poison is parked."""
    sent = [left(database)[0] for _ in range(3)]
    made: Sequence[StatusReport] = [report(sent[n % 3], "sent", code) for n, code in enumerate([""] * 3)]
    arrive(database, *made, *(report(one, "delivered") for one in sent))
    add(
        database,
        Arrival(source="twilio", key="poison", kind="report", detail_json="{", recorded_at=NOW, due_at=NOW),
    )
    done = handle(database)
    assert (done.done, done.parked) == (6, 1)
    assert {contact_of(database, one).status for one in sent} == {"delivered"}
    (poison,) = rows(database, Arrival, col(Arrival.state) == "parked")
    assert poison.why == "it could not be handled (JSONDecodeError)"
    assert rows(database, Contact, col(Contact.status) == "failed") == []
