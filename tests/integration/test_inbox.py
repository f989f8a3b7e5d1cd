"""The inbox, on both databases: each thing once, nobody held up, and nothing of a person kept longer than it is needed."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlmodel import col

from channels.bounces import MailReports
from channels.mail_signing import message_id
from channels.mailbox import Maildir
from channels.reports import InboundText, KeyPressed
from engine.errors import DataError, Problem, StoreError
from store.db import Database
from store.inbox import NewArrival, private_of, put
from store.lock import sole
from store.tables import Arrival, Consent, Contact, Endpoint, Event, Loan, Party, Person
from tests.factories import make_loan, make_person
from tests.opening import open_database
from tests.outgoing import DATES, DUE, NOW, add, book, borrower_of, contact_of, plan, rows
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import Ears, TakenIn, take_in
from workflows.inbox.keys import press
from workflows.inbox.mail_reports import read_mailbox
from workflows.inbox.parked import close, parked, retry
from workflows.inbox.speakers import speakers
from workflows.sending.fate import Evidence

SENDER, SECRET = "Example Lender <care@lender.example>", SecretStr("seals" + "-ids")
EVIDENCE = Evidence(lambda _: None, DATES)


def text(ref: str = "SM1", body: str = "stop", sender: str = "+8613000000001") -> InboundText:
    return InboundText("twilio", sender, "+15550100", body, ref)


def arrive(database: Database, *things: InboundText | KeyPressed) -> int:
    numbers = iter(range(99))
    with database.write() as session:
        return put(session, [arrival_of(one, nonce=lambda: f"n{next(numbers)}") for one in things], now=NOW)


def ears(hear: Callable[[Arrival], str]) -> Ears:
    return Ears(hear, hear, EVIDENCE)


def handle(database: Database, hear: Callable[[Arrival], str] = lambda _: "heard") -> TakenIn:
    return take_in(database, ears(hear), lambda: NOW)


def test_what_came_is_kept_once(database: Database) -> None:
    """The same again is known; what has no name of its own is another each time, for a stop may be said twice."""
    assert arrive(database, text(), text("SM2")) == 2
    assert arrive(database, text(), text(body="other words")) == 0
    assert arrive(database, text(""), text("")) == 2
    assert [arrival.key for arrival in rows(database, Arrival)] == ["text:SM1", "text:SM2", "text:n0", "text:n1"]


def test_words_and_numbers_go_when_they_are_heard(database: Database) -> None:
    """While it waits it says who wrote what; handled, nothing of that is left in the inbox; parked, a person can read it."""
    arrive(database, text("SM1", "I lost my job"), text("SM2", "poison"))
    said = []

    def hear(arrival: Arrival) -> str:
        said.append(private_of(arrival))
        if said[-1]["text"] == "poison":
            raise DataError(Problem("it came from a number that nobody with a loan has on file", "find out"))
        return "free"

    assert handle(database, hear) == TakenIn(done=1, parked=1)
    assert said == [
        {"sender": "+8613000000001", "text": "I lost my job"}, {"sender": "+8613000000001", "text": "poison"},
    ]  # fmt: skip
    done, left = rows(database, Arrival)
    assert (done.state, done.why, done.private_json, done.ended_at) == ("done", "free", None, NOW)
    assert (left.state, left.why) == ("parked", "it came from a number that nobody with a loan has on file")
    with database.session() as session:
        (one,) = parked(session)
    assert (one.id, one.private) == (f"A{left.id}", {"sender": "+8613000000001", "text": "poison"})


def test_a_parked_one_is_tried_again_or_closed(database: Database) -> None:
    """Tried again it is handled or parked anew; closed, what it says of a person is erased, and it never comes again."""
    arrive(database, text("SM1"), text("SM2"))

    def deaf(_: Arrival) -> str:
        raise KeyError("13000000001")

    assert handle(database, deaf).parked == 2
    assert {a.why for a in rows(database, Arrival)} == {"it could not be handled (KeyError)"}
    add(database, Event(source="t", key="e", kind="reply", happened_at=NOW, recorded_at=NOW, parked="nobody's"))
    with database.session() as session:
        first, second, event = [one.id for one in parked(session)]
    assert event[0] == "E"
    with database.write() as session:
        assert retry(session, [first, event], now=NOW) == 2
        close(session, second, by="mei", now=NOW)
    for wrong in (first, second, "A999", "E1x", "x", ""):
        with pytest.raises(DataError, match="nothing parked is called"), database.write() as session:
            close(session, wrong, by="mei", now=NOW)
    with pytest.raises(DataError, match="nothing parked is called"), database.write() as session:
        retry(session, [second], now=NOW)
    assert handle(database) == TakenIn(done=1)
    closed = rows(database, Arrival, col(Arrival.state) == "closed")
    assert [(a.why, a.private_json) for a in closed] == [("looked at by mei", None)]
    assert [e.parked for e in rows(database, Event)] == [None]


def test_a_database_that_is_away_parks_nothing(database: Database) -> None:
    """It is no fault of what came: all of it waits, and comes again."""
    arrive(database, text("SM1"), text("SM2"))

    def away(_: Arrival) -> str:
        raise StoreError(Problem("the book is locked by another writer", "run the same again"))

    with pytest.raises(StoreError):
        handle(database, away)
    assert {arrival.state for arrival in rows(database, Arrival)} == {"waiting"}
    assert handle(database) == TakenIn(done=2)


def test_what_people_say_comes_before_what_machines_report(database: Database) -> None:
    """A stop does not wait behind a thousand reports; among themselves they keep the order in which they came."""
    reports = [
        NewArrival("twilio", f"r{n}", "report", {"contact": "x", "ref": "", "status": "sent", "code": "", "meaning": "ok", "outcome": ""})
        for n in range(60)
    ]  # fmt: skip
    with database.write() as session:
        put(session, reports, now=NOW)
    arrive(database, text("SM2"), text("SM1"))
    order = []

    def hear(arrival: Arrival) -> str:
        order.append((arrival.key, len(rows(database, Arrival, col(Arrival.state) != "waiting"))))
        return "heard"

    assert handle(database, hear) == TakenIn(done=2, parked=60)
    assert order == [("text:SM2", 0), ("text:SM1", 1)]


def test_one_process_at_a_time(database: Database) -> None:
    """While another is at it everything is left to that one; two that start together handle each thing once."""
    arrive(database, *(text(f"SM{n}") for n in range(20)))
    with sole(database, "inbox", what="the inbox"):
        assert handle(database) == TakenIn()
    heard: list[str] = []

    def work() -> None:
        own = open_database(database.address)
        take_in(own, ears(lambda arrival: heard.append(arrival.key) or ""), lambda: NOW)  # type: ignore[func-returns-value]
        own.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    handle(database, lambda arrival: heard.append(arrival.key) or "")  # type: ignore[func-returns-value]
    assert sorted(heard) == sorted(f"text:SM{n}" for n in range(20))


# -- whose number it is ------------------------------------------------------------------------------------------------


def test_who_was_written_to_last_answers(database: Database) -> None:
    """A shared number is everybody's who has it; the one we wrote to last comes first, with that loan and role."""
    first, second, third = book(database, 3)
    people = [borrower_of(database, loan) for loan in (first, second, third)]
    shared = "+8613999999999"
    with database.write() as session:
        for person in people:
            session.add(Endpoint(person_id=person, kind="mobile", value=shared, rank=5, recorded_at=NOW))
    spots = {
        e.person_id: e.id for e in rows(database, Endpoint, col(Endpoint.value_hash) == database.sealing.hashed(shared))
    }
    add(database, Party(loan_id=first, person_id=people[1], role="guarantor"))
    sent = {"status": "delivered", "endpoint_id": spots[people[0]], "at": NOW - timedelta(days=2)}
    plan(database, first, **sent)
    plan(database, first, person=people[1], role="guarantor", **{**sent, "endpoint_id": spots[people[1]], "at": NOW})
    plan(database, third, **{**sent, "status": "planned", "endpoint_id": spots[people[2]], "at": NOW})
    with database.session() as session:
        found = speakers(session, shared)
        refs = {loan: session.get_one(Loan, loan).ref for loan in (first, second, third)}
        names = [session.get_one(Person, person).ref for person in people]
    assert [(s.person, s.loan, s.role, s.endpoint) for s in found] == [
        (names[1], refs[first], "guarantor", spots[people[1]]), (names[0], refs[first], "borrower", spots[people[0]]),
        (names[2], refs[third], "borrower", spots[people[2]]),
    ]  # fmt: skip


def test_a_number_of_nobody_with_a_loan_is_nobodys(database: Database) -> None:
    """Unknown, or somebody without any loan; an open loan comes before a closed one."""
    number = "+8613888888888"
    person = make_person(database, mobile=number)
    with database.session() as session:
        assert speakers(session, "+8613000000000") == speakers(session, number) == []
    make_loan(database, borrower_id=person, instalments=[(DUE, 100)], ref="L-old", stage="closed")
    make_loan(database, borrower_id=person, instalments=[(DUE, 100)], ref="L-open")
    with database.session() as session:
        (only,) = speakers(session, number)
    assert (only.loan, only.role, only.written_to_at) == ("L-open", "borrower", None)


# -- keys and mails ----------------------------------------------------------------------------------------------------


def test_a_key_ends_recorded_calls(database: Database) -> None:
    """Nine is a stop of recorded calls, once; one is noted; another key is nothing, and no such call comes to a person."""
    (loan,) = book(database)
    call = plan(database, loan, "call", status="sent", queue=None, provider="twilio")
    told = {"provider": "twilio", "given_to": "lender", "at": NOW}
    assert [press(database, call, "stop", key="k", **told) for _ in range(2)] == ["stop", "known already"]
    assert press(database, call, "talk", key="k2", **told) == "talk"
    assert press(database, call, "repeat", key="k3", **told) == "nothing follows"
    (said,) = rows(database, Consent)
    assert (said.kind, said.scope, said.channels, said.evidence) == (
        "opt_out",
        "prerecorded",
        "call",
        f"contact:{call}",
    )
    assert [event.kind for event in rows(database, Event)] == ["reply"]
    with pytest.raises(DataError, match="a key was pressed in call `nothing`"):
        press(database, "nothing", "stop", key="k4", **told)


def bounce(contact: str, to: str, number: int) -> bytes:
    ours = message_id(contact, SENDER, SECRET)
    return (
        f"From: mailer@mx.example\r\nMessage-ID: <r{number}@mx.example>\r\nMIME-Version: 1.0\r\n"
        f"In-Reply-To: {ours}\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt did not arrive.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b--\r\n"
    ).encode()


def test_a_mail_that_bounced(database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Read once from the mailbox, it fails its contact and costs the address; what is no report of ours is told by its reason."""
    (loan,) = book(database)
    contact = plan(database, loan, "mail", status="sent", provider="smtp", provider_ref="<x@lender.example>")
    (address,) = rows(database, Endpoint, col(Endpoint.kind) == "email")
    new = tmp_path / "new"
    new.mkdir()
    letters = [
        bounce(contact, address.value, 1),
        bounce(contact, address.value, 1),
        b"Subject: hello\r\n\r\nHi, it is me.",
    ]
    for number, letter in enumerate(letters):
        (new / f"{number}.x").write_bytes(letter)
    reports = MailReports(SENDER, SECRET)
    done = read_mailbox(database, Maildir(tmp_path), reports, lambda: NOW, nonce=lambda: "n")
    assert done == {"new": 1, "known": 1, "refused": 1}
    assert list(new.iterdir()) == []
    assert read_mailbox(database, Maildir(tmp_path), reports, lambda: NOW, nonce=lambda: "n") == {}
    assert handle(database) == TakenIn(done=1)
    found = contact_of(database, contact)
    assert (found.status, found.outcome, found.error) == ("failed", "bounced", "550 5.1.1")
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.kind) == "email")] == [False]
    assert [(r.source, r.reason) for r in caplog.records if getattr(r, "action", "") == "refused"] == [
        ("mailbox", "unexpected")
    ]
    for table in (Arrival, Contact, Event):
        assert not any(address.value in str(row) for row in rows(database, table))


def test_a_report_that_could_not_be_written_stays_unread(tmp_path: Path) -> None:
    """The mail is marked only once it is committed."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.x").write_bytes(bounce("1-2-0", "a@b.example", 1))
    away = open_database("sqlite:////nowhere/book.db")
    with pytest.raises(StoreError):
        read_mailbox(away, Maildir(tmp_path), MailReports(SENDER, SECRET), lambda: NOW, nonce=lambda: "n")
    assert len(Maildir(tmp_path).waiting(9)) == 1
