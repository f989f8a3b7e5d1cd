"""What a monitor asks, over real HTTP: figures for whoever knows the token, life and readiness for anybody, nothing about people."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import select

from duecourse.commands.init import create_workspace
from store.db import Database
from store.tables import Contact, ContactStatus, Endpoint, Loan, Person
from tests.factories import make_loan, make_person
from tests.listening import Heard, Listener, listening, until
from tests.opening import open_database
from tests.outgoing import add

TOKEN = "m" * 32
ENV = {"DUECOURSE_METRICS__TOKEN": TOKEN}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PERSONAL = ("Zebedee Quillfeather", "+12125550177", "zebedee@example.com", "12125550177")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose book holds somebody, a contact that is due, and a failure with a code that no label may be."""
    folder = tmp_path_factory.mktemp("metrics") / "ws"
    create_workspace(folder)
    book = open_database(f"sqlite:///{folder}/data/duecourse.db")
    name, mobile, email, _ = PERSONAL
    make_loan(book, borrower_id=make_person(book, name=name, mobile=mobile, email=email))
    for number, values in enumerate(
        (
            {"status": "planned"},
            {"status": "failed", "provider": "freedonia", "error": "no 12125550177"},
            {"status": "failed", "provider": "twilio", "error": "30003"},
        )
    ):
        contact(book, f"9-{number}-0", **values)
    book.close()
    return folder


def contact(book: Database, contact_id: str, **values: str) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)  # noqa: TID251 - the processes' clock is the machine's
    with book.session() as session:
        loan = session.exec(select(Loan)).one()
        person, endpoint = session.exec(select(Person)).one(), session.exec(select(Endpoint)).first()
    given = {
        "loan_id": loan.id, "person_id": person.id, "endpoint_id": endpoint.id if endpoint else None, "channel": "sms",
        "slot": contact_id, "planned_at": at, "not_before_at": at, "expires_at": at + timedelta(hours=1), "at": at,
    }  # fmt: skip
    add(book, Contact(id=contact_id, **given, **values))
    add(book, ContactStatus(contact_id=contact_id, status=values["status"], at=at))


def samples(heard: Heard) -> Samples:
    """What a scrape says, read by Prometheus' own parser."""
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(heard.text)
        for one in family.samples
    }


def clean(text: str) -> bool:
    return not any(one in text for one in PERSONAL) and re.search(r'="[^"]*\d{6}', text) is None


@pytest.fixture(scope="module")
def listener(place: Path) -> Iterator[Listener]:
    with listening(place, **ENV) as running:
        yield running


@pytest.fixture(scope="module")
def scheduler(place: Path) -> Iterator[Listener]:
    with listening(place, command="serve", **ENV) as running:
        yield running


def test_figures_are_for_whoever_knows_the_token(listener: Listener) -> None:
    """Without it, or with another, nothing is told."""
    assert listener.ask("GET", "/metrics").status == 401
    assert listener.ask("GET", "/metrics", headers={"Authorization": "Bearer " + "n" * 32}).status == 401
    heard = listener.ask("GET", "/metrics", headers=BEARER)
    assert (heard.status, heard.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_the_book_is_told_in_counts(listener: Listener) -> None:
    """What is due, in doubt and failed; a code that could be part of somebody's number is called `other`."""
    heard = listener.ask("GET", "/metrics", headers=BEARER)
    found = samples(heard)
    assert found["duecourse_book_readable", ()] == 1
    assert found["duecourse_contacts_due", (("channel", "sms"),)] == 1
    assert 300 <= found["duecourse_contacts_due_seconds", (("channel", "sms"),)] < 600
    assert found["duecourse_contacts_failed_24h", (("channel", "sms"), ("code", "30003"))] == 1
    assert found["duecourse_contacts_failed_24h", (("channel", "sms"), ("code", "other"))] == 1
    assert found["duecourse_sending", ()] == 0
    assert clean(heard.text)


def test_requests_are_counted_by_our_own_doors(listener: Listener) -> None:
    """Whoever asks for a thousand addresses makes no thousand series, and writes nothing into our labels."""
    before = samples(listener.ask("GET", "/metrics", headers=BEARER))
    for path in ("/nowhere", f"/{PERSONAL[1]}", "/unsubscribe/zebedee@example.com", "/unsubscribe/other"):
        listener.ask("GET", path)
    heard = listener.ask("GET", "/metrics", headers=BEARER)
    after = samples(heard)

    def more(door: str, status: int) -> float:
        key = ("duecourse_requests_total", (("door", door), ("status", str(status))))
        return after.get(key, 0) - before.get(key, 0)

    assert (more("elsewhere", 404), more("/unsubscribe/{token}", 404)) == (2, 2)
    assert clean(heard.text)


def test_the_scheduler_answers_for_itself(scheduler: Listener, place: Path) -> None:
    """It lives, it acts; its jobs' runs are counted; another one on the same book stands by, and is ready too."""
    until(lambda: any(line.startswith("acting") for line in scheduler.lines))
    assert scheduler.ask("GET", "/health").json == {"alive": True}
    assert scheduler.ask("GET", "/ready").json == {"ready": True, "problems": [], "acting": True}
    assert scheduler.ask("GET", "/metrics").status == 401
    key = ("duecourse_job_runs_total", (("job", "log"), ("state", "done")))
    book = open_database(f"sqlite:///{place}/data/duecourse.db")

    def break_off() -> bool:
        with book.write() as session:
            # As by a crash: it is due at once. A scheduler says that it acts before it has made its jobs known.
            broken = session.connection().exec_driver_sql("update job set state = 'stopped' where name = 'log'")
        return broken.rowcount == 1

    until(break_off)
    until(lambda: samples(scheduler.ask("GET", "/metrics", headers=BEARER)).get(key, 0) >= 1)
    heard = scheduler.ask("GET", "/metrics", headers=BEARER)
    found = samples(heard)
    assert found["duecourse_scheduler_acts", ()] == 1
    assert found["duecourse_job_seconds_count", (("job", "log"),)] >= 1
    assert clean(heard.text)
    with listening(place, command="serve", **ENV) as second:
        until(lambda: any("standing by" in line for line in second.lines))
        assert second.ask("GET", "/ready").json == {"ready": True, "problems": [], "acting": False}
        assert samples(second.ask("GET", "/metrics", headers=BEARER))["duecourse_scheduler_acts", ()] == 0
        assert second.end() == 0
    book.close()
