"""`inbox`, `reconcile`, `events` and the jobs of the schedule in a real workspace: what comes in, and what is said of it."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from channels.message import Receipt
from channels.reports import InboundText, StatusReport
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FakeProvider
from duecourse.incoming import handle_inbox
from duecourse.jobs import Jobs
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.db import Database
from store.inbox import put
from store.tables import Arrival, Consent, Contact, Endpoint, Event, MessageText
from tests.conftest import Run
from tests.factories import make_loan, make_person
from tests.integration.test_inbox import SECRET, SENDER, bounce
from tests.opening import open_database
from tests.outgoing import NOW, Silent, add, book, borrower_of, contact_of, door_of, fed, go, plan, rows
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import TakenIn
from workflows.scheduling.job_run import Stop

AT = ("--at", NOW.isoformat())
SETTINGS = f"""
sms: {{account_sid: {ACCOUNT_SID}, from_number: "+15550100123", auth_token: {AUTH_TOKEN}, base_url: "BASE"}}
mail: {{host: 127.0.0.1, from_address: "{SENDER}", id_secret: {SECRET.get_secret_value()}, bounces: {{maildir: reports}}}}
listen: {{public_url: "https://hooks.lender.example"}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(clock=NOW.timestamp) as running:
        yield running


@pytest.fixture
def folder(folder: Path, provider: FakeProvider) -> Path:
    """A workspace with a provider and a mailbox."""
    (folder / "reports" / "new").mkdir(parents=True)
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS.replace("BASE", provider.base_url))
    return folder


@pytest.fixture
def opened(folder: Path) -> Iterator[Database]:
    """Its database."""
    database = open_database(f"sqlite:///{folder / 'data' / 'duecourse.db'}")
    yield database
    database.close()


@pytest.fixture
def works(folder: Path, opened: Database) -> Works:
    """Everything, bound to it."""
    return Works(open_workspace(folder, {}), opened)


def arrive(database: Database, *things: StatusReport | InboundText, at: datetime = NOW) -> None:
    with database.write() as session:
        put(session, [arrival_of(one, nonce=lambda: "n") for one in things], now=at)


def text(body: str, sender: str, ref: str, understood: str = "") -> InboundText:
    return InboundText("twilio", sender, "+15550100123", body, ref, understood)


def mobile_of(database: Database, loan: int) -> Endpoint:
    person = borrower_of(database, loan)
    found = rows(database, Endpoint, col(Endpoint.person_id) == person, col(Endpoint.kind) == "mobile")
    return found[0]  # type: ignore[no-any-return]


# -- commands ----------------------------------------------------------------------------------------------------------


def test_what_is_parked_is_seen_tried_again_and_closed(run: Run, opened: Database) -> None:
    """Listed without what somebody wrote, shown with it, tried again, and closed without a trace of it."""
    assert run("inbox", "list") == (0, "nothing is parked", "")
    arrive(opened, text("who is this", "+12125550199", "SM1"))
    add(opened, Event(source="t", key="e", kind="reply", happened_at=NOW, recorded_at=NOW, parked="it is about nobody"))
    alert = "error: something from outside is parked (why it came from a number that nobody with a loan has on file, arrival 1)"
    assert run("inbox", "run", *AT) == (0, "0 done, 1 parked, 0 early", alert)
    code, listed, _ = run("--json", "inbox", "list")
    why = "it came from a number that nobody with a loan has on file"
    assert code == 0
    assert [(one["id"], one["why"]) for one in json.loads(listed)] == [("A1", why), ("E1", "it is about nobody")]
    shown = (
        f"id: A1\nat: 2026-11-24 04:00:00+00:00\nfrom: twilio\nwhat: text\nwhy: {why}\n"
        'says: {"understood": ""}\nsender: +12125550199\ntext: who is this'
    )
    assert run("inbox", "show", "A1") == (0, shown, "")
    assert run("inbox", "retry", "--all", *AT)[1] == "2 wait anew; `inbox run` and `events` handle them"
    assert run("inbox", "retry", *AT) == (
        1, "", "what shall be tried again is not said\n  mend: name ids, or write `--all`",
    )  # fmt: skip
    run("inbox", "run", *AT)
    assert run("inbox", "close", "A1", "--by", "mei", *AT) == (0, "A1: closed", "")
    assert run("inbox", "show", "A1") == (
        1, "", "nothing parked is called `A1`\n  mend: `duecourse inbox list` shows what is",
    )  # fmt: skip
    assert [(a.state, a.private_json) for a in rows(opened, Arrival)] == [("closed", None)]


def test_reconcile_says_what_it_found(run: Run, opened: Database, provider: FakeProvider) -> None:
    """One that was taken, and a mail that nobody can be asked about."""
    taken, mailed = book(opened, 2)
    number = mobile_of(opened, taken).value
    provider.fault(number, "drop_after_accept")
    from tests.integration.test_reconcile import sms

    contact = plan(opened, taken)
    adapter = Silent(lambda _: Receipt("unknown", "smtp", "", "cut", "unclear"), name="smtp")
    mail = plan(opened, mailed, "mail")
    go(door_of(opened, {"sms": sms(provider), "email": adapter}))
    later = ("--at", (NOW + timedelta(minutes=2)).isoformat())
    assert run("reconcile", *later) == (
        0, "1 were sent, 0 have failed, 1 stay in doubt, 1 of them for people to settle",
        (f"warning: a message needs somebody to look (contact {mail}, status unknown,"
        " why the provider keeps no list of messages that could be asked)"),
    )  # fmt: skip
    assert contact_of(opened, contact).status == "sent"
    assert run("--json", "reconcile", *later)[1] == json.dumps(
        {"sent": 0, "failed": 0, "unknown": 0, "left_to_people": 0}, indent=2
    )


def test_events_hears_the_inbox_first(run: Run, opened: Database) -> None:
    """A failure that was reported is news of the same command."""
    (loan,) = book(opened)
    fed(opened, NOW)
    contact = plan(opened, loan, status="sent", provider="twilio", provider_ref="SM1")
    arrive(opened, StatusReport("twilio", contact, "SM1", "failed", "30003", "try_later"))
    assert run("events", *AT)[1].startswith("1 events of 1 borrowers")
    (event,) = rows(opened, Event)
    assert (event.kind, event.run_id is not None, event.parked) == ("delivery_failed", True, None)


def test_the_jobs_of_the_schedule(folder: Path, opened: Database) -> None:
    """A bounced mail is read by one job and heard by the next, which decides for whom it concerns."""
    (loan,) = book(opened)
    fed(opened, NOW)
    contact = plan(opened, loan, "mail", status="sent", provider="smtp")
    (folder / "reports" / "new" / "1.x").write_bytes(bounce(contact, "a@b.example", 1))
    jobs = Jobs(folder, lambda: NOW)
    never: Stop = lambda: False  # noqa: E731 - as the scheduler hands it over
    jobs.run("mailbox", never)
    assert [a.state for a in rows(opened, Arrival)] == ["waiting"]
    jobs.run("events", never)
    assert [a.state for a in rows(opened, Arrival)] == ["done"]
    assert contact_of(opened, contact).outcome == "bounced"
    assert [event.run_id is not None for event in rows(opened, Event)] == [True]
    jobs.run("reconcile", never)
    jobs.close()


# -- what people write -------------------------------------------------------------------------------------------------


def test_a_stop_from_a_shared_number_is_everybodys(works: Works, opened: Database) -> None:
    """Whoever holds the telephone wants no more texts there, whomever they were for; a start opens one person's only."""
    first, second = book(opened, 2)
    number = mobile_of(opened, first).value
    with opened.write() as session:
        session.add(
            Endpoint(person_id=borrower_of(opened, second), kind="mobile", value=number, rank=9, recorded_at=NOW)
        )
    plan(opened, second, status="delivered", endpoint_id=rows(opened, Endpoint)[-1].id)
    arrive(opened, text("STOP", number, "SM1"))
    assert handle_inbox(works, lambda: NOW) == TakenIn(done=1)
    said = rows(opened, Consent)
    assert {c.person_id for c in said} == {borrower_of(opened, loan) for loan in (first, second)}
    assert {c.kind for c in said} == {"opt_out"}
    arrive(opened, text("START", number, "SM2"), at=NOW + timedelta(minutes=1))
    handle_inbox(works, lambda: NOW + timedelta(minutes=1))
    assert [c.person_id for c in rows(opened, Consent, col(Consent.kind) == "opt_in")] == [borrower_of(opened, second)]


def test_a_wrong_person_at_a_shared_number_is_who_was_written_to_last(works: Works, opened: Database) -> None:
    """The number leads to that person no more; of the other it stays, who may be the one who answers."""
    first, second = book(opened, 2)
    own = mobile_of(opened, first)
    shared = Endpoint(person_id=borrower_of(opened, second), kind="mobile", value=own.value, rank=9, recorded_at=NOW)
    add(opened, shared)
    plan(opened, first, status="delivered", at=NOW - timedelta(hours=2))
    plan(opened, second, status="delivered", at=NOW - timedelta(hours=1), endpoint_id=shared.id)
    arrive(opened, text("wrong person", own.value, "SM1"))
    assert handle_inbox(works, lambda: NOW) == TakenIn(done=1)
    assert {row.id: row.valid for row in rows(opened, Endpoint) if row.value == own.value} == {
        own.id: True, shared.id: False,
    }  # fmt: skip


def test_a_stop_of_somebody_who_has_paid_everything(works: Works, opened: Database) -> None:
    """Whoever owes nothing any more is heard as well: their next loan finds the channel closed."""
    person = make_person(opened, mobile="+8613777777777")
    make_loan(opened, borrower_id=person, instalments=[(NOW.date(), 100)], stage="closed")
    arrive(opened, text("STOP", "+8613777777777", "SM1"))
    assert handle_inbox(works, lambda: NOW) == TakenIn(done=1)
    assert [(c.kind, c.person_id) for c in rows(opened, Consent)] == [("opt_out", person)]


def test_a_stop_that_only_the_provider_understood(works: Works, opened: Database) -> None:
    """Its word is enough to close; its START is not enough to open: those words a person reads."""
    (loan,) = book(opened)
    number = mobile_of(opened, loan).value
    arrive(opened, text("arrêtez s'il vous plaît", number, "SM1", "STOP"))
    arrive(opened, text("reprenez", number, "SM2", "START"), at=NOW + timedelta(minutes=1))
    assert handle_inbox(works, lambda: NOW + timedelta(minutes=2)) == TakenIn(done=2)
    assert [c.kind for c in rows(opened, Consent)] == ["opt_out"]
    assert [row.text for row in rows(opened, MessageText)] == ["reprenez"]
    # A stop that the provider heard it has answered itself.
    assert rows(opened, Contact, col(Contact.purpose) == "opt_out_confirmation") == []


def test_a_stop_heard_after_a_crash_is_one_stop(works: Works, opened: Database) -> None:
    """It was written down and not yet marked as handled: heard again, it changes nothing."""
    (loan,) = book(opened)
    number = mobile_of(opened, loan).value
    arrive(opened, text("STOP", number, "SM1"))
    handle_inbox(works, lambda: NOW)
    before = (len(rows(opened, Consent)), len(rows(opened, Event)), len(rows(opened, Contact)))
    with opened.write() as session:
        arrival = session.exec(select(Arrival)).one()
        arrival.state, arrival.private_json = "waiting", json.dumps({"sender": number, "text": "STOP"})
    assert handle_inbox(works, lambda: NOW) == TakenIn(done=1)
    assert (len(rows(opened, Consent)), len(rows(opened, Event)), len(rows(opened, Contact))) == before


def test_a_person_settles_what_nobody_can_be_asked_about(run: Run, opened: Database) -> None:
    """Listed with its owner, settled with a reason, and gone from the list; what is not said is asked for."""
    (loan,) = book(opened)
    contact = plan(opened, loan, status="unknown", provider="twilio", at=NOW - timedelta(days=8))
    _, listed, _ = run("--json", "reconcile", "list", *AT)
    assert [(one["contact"], one["owner"], one["left"]) for one in json.loads(listed)] == [
        (contact, "operations", True)
    ]
    words = ("reconcile", "settle", contact, "--as", "not_sent", "--by", "mei", "--because", "not on the invoice")
    assert run(*words, *AT)[0] == 2
    assert run(*words, "--evidence", "ticket 12", *AT) == (0, f"{contact}: failed", "")
    assert run("reconcile", "list", *AT) == (0, "nothing is in doubt", "")
    again = f"contact `{contact}` is failed, and not in doubt\n  mend: nothing is settled twice; its history is in `duecourse loan`"
    assert run(*words, "--evidence", "ticket 12", *AT) == (1, "", again)


def test_a_stop_that_comes_again_after_the_inbox_was_tidied_is_known(works: Works, opened: Database) -> None:
    """What somebody said is heard once, also when its place in the inbox is long gone."""
    (loan,) = book(opened)
    said = text("STOP", mobile_of(opened, loan).value, "SM77", "STOP")
    arrive(opened, said)
    handle_inbox(works, lambda: NOW)
    before = [(one.kind, one.ref) for one in rows(opened, Consent)]
    later = NOW + timedelta(days=works.workspace.settings.inbox_days + 1)
    assert works.tidy(later) == {"purged": 1}
    arrive(opened, said, at=later)
    assert handle_inbox(works, lambda: later).done == 1
    assert [(one.kind, one.ref) for one in rows(opened, Consent)] == before != []
