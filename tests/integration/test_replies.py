"""What people answer, on both databases: what it closes, what it opens, and what waits for a person."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import col

from engine.errors import DataError
from engine.gate import Ask, Verdict
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Consent, Contact, ContactStatus, Endpoint, Event, Loan, MessageText, Notice, Person
from tests.outgoing import NOW, Silent, SmallGate, book, borrower_of, contact_of, counts, door_of, go, plan, rows
from workflows.desk.asking import Wanted, address
from workflows.inbox.replies import Answering, Reply, Taken, endpoint_of, mark_read, take_reply, waiting_replies
from workflows.inbox.unsubscribe import Unsubscribing, link_key, make_token, read_token, take_unsubscribe
from workflows.sending.door import Door

CONFIRM = {"opt_out_confirmation": Answering("opt-out-confirmed", {})}


class Excepting(SmallGate):
    """Lets the confirmation of an opt-out pass, as laws do."""

    def check(self, ask: Ask, now: datetime) -> Verdict:
        verdict = super().check(ask, now)
        excepted = verdict.reasons and verdict.reasons[0].rule == "test.opted_out"
        return Verdict("allow") if ask.purpose == "opt_out_confirmation" and excepted else verdict


def reply(door: Door, loan: int, text: str, key: str, *, at: datetime = NOW, confirm: bool = False) -> Taken:
    with door.database.session() as session:
        ref = session.get_one(Loan, loan).ref
    found = address(door, Wanted(ref, "sms"), at)
    spot = endpoint_of(found.person.endpoints, "sms")
    answers = CONFIRM if confirm else {}
    return take_reply(door, found, Reply("sms", text, at, key, endpoint=spot), now=at, answers=answers)  # type: ignore[arg-type]


def test_a_stop_stops_what_waits_and_a_replay_changes_nothing(database: Database) -> None:
    """From its commit on nothing leaves by text; the same message again is known already."""
    (loan,) = book(database)
    door = door_of(database, {"sms": (adapter := Silent())})
    waiting = plan(database, loan)
    taken = reply(door, loan, "Stop!", "k1")
    assert (taken.meaning, taken.statement, taken.again, taken.waits) == ("stop", "opt_out", False, False)
    before = [p.version for p in rows(database, Person)]
    assert reply(door, loan, "Stop!", "k1").again
    assert [p.version for p in rows(database, Person)] == before
    (said,) = rows(database, Consent)
    assert (said.kind, said.channels, said.endpoint_id, said.evidence) == (
        "opt_out",
        "sms",
        None,
        f"contact:{taken.contact}",
    )
    assert [event.kind for event in rows(database, Event)] == ["reply"]
    heard = contact_of(database, taken.contact)
    assert (heard.direction, heard.outcome, heard.purpose) == ("in", "received", "reply")
    assert rows(database, MessageText) == []
    assert counts(go(door)) == {"cancelled": 1}
    assert (contact_of(database, waiting).why, adapter.seen) == ("refused: test.opted_out", [])


def test_a_stop_between_the_look_and_sending_stops_it(database: Database) -> None:
    """A stop committed after the second look and before `sending` is heard: every writer raises the version."""
    (loan,) = book(database)
    waiting = plan(database, loan)
    usual = door_of(database, {"sms": (adapter := Silent())})
    first = iter([True])

    def situations(borrowers, now):  # type: ignore[no-untyped-def] # as the door has it
        found = usual.situations(borrowers, now)
        if next(first, False):
            reply(usual, loan, "STOP", "k1")
        return found

    from dataclasses import replace

    go(replace(usual, situations=situations))
    assert adapter.seen == []
    assert contact_of(database, waiting).status == "cancelled"


def test_one_confirmation_where_the_law_allows_it(database: Database) -> None:
    """The first stop is confirmed once and at once; a second one, and a gate that does not except it, get nothing."""
    first, second = book(database, 2)
    door = door_of(database, {"sms": (adapter := Silent())}, gate=Excepting())
    taken = reply(door, first, "stop", "k1", confirm=True)
    assert taken.answer is not None
    assert taken.answer.contact is not None
    confirming = contact_of(database, taken.answer.contact)
    assert (confirming.purpose, confirming.name) == ("opt_out_confirmation", "opt-out-confirmed")
    assert confirming.expires_at == NOW + timedelta(minutes=5)
    assert reply(door, first, "stop", "k2", at=NOW + timedelta(minutes=1), confirm=True).answer is None
    assert counts(go(door)) == {"sent": 1}
    assert adapter.seen == [confirming.id]
    strict = door_of(database, {}, gate=SmallGate())
    refused = reply(strict, second, "stop", "k3", confirm=True).answer
    assert refused is not None
    assert refused.contact is None


def test_a_start_opens_only_what_a_stop_closed(database: Database) -> None:
    """What was stopped by answering is opened by answering; what was said to an agent is not, and waits for a person."""
    stopped, told, never = book(database, 3)
    door, later = door_of(database, {}), NOW + timedelta(minutes=1)
    reply(door, stopped, "stop", "k1")
    assert reply(door, stopped, "START", "k2", at=later).statement == "opt_in"
    person = borrower_of(database, told)
    with database.write() as session:
        said = NewStatement(person, "no_medium", NOW, channels=("sms",), source="agent:mei", ref="a1")
        assert add_statement(session, said, now=NOW)
    reply(door, told, "stop", "k3", at=later)
    taken = reply(door, told, "start", "k4", at=NOW + timedelta(minutes=2))
    assert (taken.statement, taken.waits) == (None, True)
    nothing = reply(door, never, "start", "k5")
    assert (nothing.statement, nothing.waits) == (None, False)
    kinds = [(c.kind, c.person_id) for c in rows(database, Consent)]
    assert kinds == [
        ("opt_out", borrower_of(database, stopped)), ("opt_in", borrower_of(database, stopped)),
        ("no_medium", person), ("opt_out", person),
    ]  # fmt: skip


def test_words_count_in_the_order_in_which_they_came(database: Database) -> None:
    """Heard by a clock that ran ahead or by one that did not: after stop, start, stop it is closed, and a start opens it."""
    (loan,) = book(database)
    door, ahead = door_of(database, {}), NOW + timedelta(minutes=5)
    said = [
        ("stop", NOW),
        ("start", ahead),
        ("stop", NOW + timedelta(minutes=2)),
        ("start", NOW + timedelta(minutes=3)),
    ]
    for number, (word, at) in enumerate(said):
        assert reply(door, loan, word, f"k{number}", at=at).statement == {"stop": "opt_out", "start": "opt_in"}[word]
    reply(door, loan, "stop", "k4", at=NOW + timedelta(minutes=4))
    plan(database, loan)
    assert counts(go(door_of(database, {"sms": Silent()}))) == {"cancelled": 1}
    kept = sorted(rows(database, Consent), key=lambda row: row.received_at)
    assert [row.ref for row in kept] == [f"reply:hand:k{number}" for number in range(5)]


def test_a_number_that_is_somebody_elses(database: Database) -> None:
    """Not used again; what went there this week reached nobody and gives no notice."""
    (loan,) = book(database)
    door = door_of(database, {})
    sent = plan(database, loan, status="delivered", outcome="sent")
    old = plan(database, loan, status="delivered", outcome="sent", at=NOW - timedelta(days=9))
    person = borrower_of(database, loan)
    with database.write() as session:
        session.add(
            Notice(
                loan_id=loan, person_id=person, kind="visit_notice", sent_on=NOW.date(), effective_on=NOW.date(), how="sms",
                contact_id=sent, recorded_at=NOW, ref="n",
            )
        )  # fmt: skip
    reply(door, loan, "wrong number", "k1")
    assert [contact_of(database, one).misdirected for one in (sent, old)] == [True, False]
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.kind) == "mobile")] == [False]
    assert [notice.voided_at for notice in rows(database, Notice)] == [NOW]


def test_a_wrong_number_is_wrong_as_whatever_it_is_listed(database: Database) -> None:
    """Somebody else answers a text to the mobile: the same number as landline is not used again, and calls to it reached nobody."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    with database.write() as session:
        (mobile,) = rows(database, Endpoint, col(Endpoint.kind) == "mobile")
        line = Endpoint(person_id=person, kind="landline", value=mobile.value, recorded_at=NOW)
        session.add(line)
        session.flush()
        line_id = line.id
    called = plan(database, loan, status="delivered", outcome="conversation", channel="call", endpoint_id=line_id)
    reply(door_of(database, {}), loan, "wrong number", "k1")
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.id).in_((mobile.id, line_id)))] == [False, False]
    assert contact_of(database, called).misdirected


def test_words_wait_for_a_person_and_stand_in_one_place(database: Database) -> None:
    """What no list knows is kept until somebody has read it; the event and the log hold none of it."""
    (loan,) = book(database)
    door, words = door_of(database, {}), "I lost my job in October"
    taken = reply(door, loan, words, "k1")
    assert taken.waits
    with database.session() as session:
        assert [(contact.id, text) for contact, text in waiting_replies(session)] == [(taken.contact, words)]
    for table in (Event, Contact, ContactStatus, Consent):
        assert not any("October" in str(row) for row in rows(database, table))
    with database.write() as session:
        mark_read(session, taken.contact, agent="mei", now=NOW)
    with database.session() as session:
        assert waiting_replies(session) == []
    with database.write() as session, pytest.raises(DataError, match="waits to be read"):
        mark_read(session, taken.contact, agent="mei", now=NOW)


# -- links ------------------------------------------------------------------------------------------------


def test_a_link_ends_messages_to_that_address_only(database: Database) -> None:
    """Followed, it closes its channel at its address; again it changes nothing; after a new yes it closes anew."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    (mail,) = rows(database, Endpoint, col(Endpoint.kind) == "email")
    with database.write() as session:
        token = make_token(link_key(session), Unsubscribing(person, mail.id or 0, "email"))
        assert link_key(session) == link_key(session)
    before = next(p.version for p in rows(database, Person))
    assert take_unsubscribe(database, token, now=NOW, given_to="lender")
    assert not take_unsubscribe(database, token, now=NOW + timedelta(minutes=1), given_to="lender")
    (said,) = rows(database, Consent)
    assert (said.kind, said.channels, said.endpoint_id, said.how) == ("opt_out", "email", mail.id, "unsubscribe link")
    assert next(p.version for p in rows(database, Person)) == before + 1
    assert [(event.kind, event.person_id) for event in rows(database, Event)] == [("reply", person)]
    with database.write() as session:
        again = NewStatement(person, "opt_in", NOW + timedelta(days=1), channels=("email",), source="t", ref="t")
        add_statement(session, again, now=NOW)
    # Whoever heard that was a day ahead: who follows the link now has said so later.
    assert take_unsubscribe(database, token, now=NOW + timedelta(hours=1), given_to="lender")
    assert not take_unsubscribe(database, token, now=NOW + timedelta(days=2), given_to="lender")
    *_, opened, closed = sorted(rows(database, Consent), key=lambda row: row.received_at)
    assert (opened.kind, closed.kind) == ("opt_in", "opt_out")


def test_only_our_own_links_are_taken(sqlite_database: Database) -> None:
    """A token that was changed, cut, made with another key or made up changes nothing and says so."""
    with pytest.raises(DataError, match="this link is not one of ours"):
        take_unsubscribe(sqlite_database, "1-2-email-00", now=NOW, given_to="lender")
    with sqlite_database.write() as session:
        key = link_key(session)
    token = make_token(key, Unsubscribing(1, 2, "email"))
    with sqlite_database.session() as session:
        assert read_token(session, token) == Unsubscribing(1, 2, "email")
    forged = [token[:-1], "2" + token[1:], make_token("other", Unsubscribing(1, 2, "email")), "", "é-1-2-3"]
    for wrong in forged:
        with pytest.raises(DataError, match="this link is not one of ours"):
            take_unsubscribe(sqlite_database, wrong, now=NOW, given_to="lender")
    assert rows(sqlite_database, Consent) == []
