"""
No path tells who somebody is: not the logs of any process, not what a command refuses, not the tables that the log is made of,
and not the files that the database is kept in.

A book of one marked person goes through everything that can go wrong on its way in, out and back, with providers, files and
callers that quote names, numbers and addresses at us wherever they can.
"""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import SQLModel, col, select

from channels.testing.mailserver import FakeMailServer, Step
from channels.testing.provider import FakeProvider, Fault
from duecourse.commands.init import create_workspace
from duecourse.logs import log_as_lines, log_as_sentences
from store.db import Database
from store.tables import Arrival, ContactStatus, Deed, Event, Job, Person
from tests.at_rest import marks_at_rest
from tests.conftest import Run
from tests.factories import make_loan, make_person
from tests.listening import listening, until
from tests.opening import open_database
from tests.outgoing import DUE, NOW, contact_of, door_of, fed, go, plan, real_adapters, rows

NAME, MOBILE, EMAIL, STREET = "Zebedee Quillfeather", "+12125550177", "zebedee.quill@example.com", "77 Marigold Lane"
TEXT = "my neighbour Hortensia says hello"
MARKS = ("Zebedee", "Quillfeather", "2125550", "13800000001", "zebedee.quill", "Marigold", "Hortensia")
TOKEN, SID, AUTH = "t" * 32, "AC" + "0" * 32, "a" * 32


def found(text: str) -> list[str]:
    """The lines that tell who somebody is."""
    return [line for line in text.splitlines() if any(mark.lower() in line.lower() for mark in MARKS)]


@contextmanager
def logged(set_up: object = log_as_lines) -> Iterator[io.StringIO]:
    """Everything that this process logs, as `serve` or a command would."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up()  # type: ignore[operator]
    written = io.StringIO()
    root.handlers[0].setStream(written)  # type: ignore[attr-defined]
    try:
        yield written
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def told(database: Database) -> str:
    """What the tables say that name nobody: the history, news for the rules, the inbox, deeds and jobs."""
    tables: tuple[type[SQLModel], ...] = (ContactStatus, Event, Arrival, Deed, Job)
    said = [row.model_dump(exclude={"private_json"}) for table in tables for row in rows(database, table)]
    return "\n".join(json.dumps(one, default=str, ensure_ascii=False) for one in said)


SMS_FAULTS: tuple[Fault, ...] = (
    21211, 21610, 30003, 99999, 400, 401, 429, 503, "drop", "drop_after_accept", "html", "no_json", "hang",
)  # fmt: skip
MAIL_FAULTS: tuple[tuple[Step, str], ...] = (
    ("sender", f"550 5.7.1 <{EMAIL}> {NAME} may not"), ("recipient", f"550 5.1.1 <{EMAIL}>: no {NAME} here"),
    ("recipient", f"450 4.2.2 mailbox of {EMAIL} is full"), ("data", f"554 5.6.0 dear {NAME}"),
    ("body", f"599 {MOBILE} {STREET}"), ("body", "cut"), ("taken", "cut"),
)  # fmt: skip


@pytest.mark.parametrize("how", [log_as_lines, log_as_sentences])
def test_nothing_of_what_leaves(sqlite_database: Database, how: object) -> None:
    """Every fault of a provider and a mail server, texts that cannot be made, and a bug that quotes a number."""
    fed(sqlite_database, NOW - timedelta(hours=1))
    made = []

    def somebody(like: str) -> tuple[str, str]:
        """A contact with another person, for a number that is lost is not used again; their number and address."""
        mobile, email = f"+121255501{len(made):02}", f"zebedee.quill{len(made)}@example.com"
        person = make_person(sqlite_database, name=NAME, mobile=mobile, email=email)
        loan = make_loan(
            sqlite_database, borrower_id=person, instalments=[(DUE, 1000_00)], opened_on=DUE - timedelta(days=90),
            stage="reminded", stage_entry=1, episode=1, episode_on=DUE,
        )  # fmt: skip
        made.append(plan(sqlite_database, loan, like))
        return mobile, email

    with FakeProvider() as provider, FakeMailServer() as mails, logged(how) as log:
        for fault in SMS_FAULTS:
            provider.fault(somebody("text")[0], fault)
        for step, does in MAIL_FAULTS:
            mails.fault(somebody("mail")[1], step, does)
        for odd in ("odd", "odder", "odd-call"):
            somebody(odd)
        door = door_of(sqlite_database, real_adapters(provider, mails, timeout_seconds=0.5))
        for _ in range(2):
            go(door)
    ended = {contact_of(sqlite_database, one).status for one in made}
    assert ended >= {"failed", "unknown", "planned"}, ended
    assert log.getvalue()
    assert found(log.getvalue()) == []
    assert found(told(sqlite_database)) == []
    assert marks_at_rest(sqlite_database, MARKS) == []


# -- as processes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that knows the marked person."""
    folder = tmp_path_factory.mktemp("personal") / "ws"
    create_workspace(folder)
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f'sms: {{account_sid: {SID}, from_number: "+15550100123"}}\n')
        settings.write('listen: {public_url: "https://hooks.lender.example"}\n')
    with opened(folder) as book:
        make_loan(book, ref="L-1", borrower_id=make_person(book, ref="P-1", name=NAME, mobile=MOBILE, email=EMAIL))
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Database]:
    book = open_database(f"sqlite:///{folder}/data/duecourse.db")
    yield book
    book.close()


FILES = {
    "people": f"ref,name,language,country,zones\nP-2,{NAME},en,US,{STREET}\nP-3,{NAME},{TEXT},US,America/New_York\n,{NAME},en,US,\n",
    "endpoints": (
        f"person,kind,value,zone\nP-1,mobile,{MOBILE} or so,\nP-1,email,{NAME},\nP-9,mobile,{MOBILE},\nP-1,{EMAIL},{MOBILE},\n"
        f"P-1,mobile,{MOBILE},{STREET}\n"
    ),
    "loans": f"ref,borrower,product,currency,principal,opened_on,basis\nL-9,{NAME},personal,USD,{MOBILE},{EMAIL},schedule\n",
    "movements": f"ref,loan,kind,amount,effective_on,recorded_at\n{EMAIL},L-1,{NAME},1,{TEXT},{MOBILE}\n",
    "consents": f"ref,person,kind,scope,channels,endpoint,received_at,how\nK,P-1,{NAME},x,sms,{MOBILE},{TEXT},{STREET}\n",
}


def test_nothing_of_what_comes_in_by_files(folder: Path, run: Run, tmp_path: Path) -> None:
    """Names and numbers in every wrong column: refused by row and column, and quoted only in the file of rejects."""
    said = ""
    for name, content in FILES.items():
        file = tmp_path / f"{name}.csv"
        file.write_text(content, encoding="utf-8")
        for more in ((), ("--dry-run",)):
            code, out, err = run("import", str(file), *more)
            assert code in (1, 3), (name, out, err)
            said += out + err
    assert found(said) == []
    with opened(folder) as book:
        assert found(told(book)) == []
        assert marks_at_rest(book, MARKS) == []


def test_nothing_of_what_comes_in_by_http(folder: Path) -> None:
    """Callers who put people into every field, address and header: the listener's log, and what it writes down, name nobody."""
    env = {"DUECOURSE_LISTEN__TOKEN": TOKEN, "DUECOURSE_SMS__AUTH_TOKEN": AUTH}
    from twilio.request_validator import RequestValidator

    def callback(form: dict[str, str], query: str = "") -> int:
        full = {"AccountSid": SID, **form}
        path = "/callbacks/twilio" + (f"?{query}" if query else "")
        url = f"https://hooks.lender.example{path}"
        signature = RequestValidator(AUTH).compute_signature(url, full)
        return listener.post_form(path, full, {"X-Twilio-Signature": signature}).status

    with listening(folder, **env) as listener:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        event = {"event": "payment", "ref": "R-1", "loan": "L-1", "amount": "5.00", "effective_on": "2026-03-02"}
        for number, wrong in enumerate(
            ({"loan": NAME}, {"amount": MOBILE}, {"effective_on": STREET}, {EMAIL: "x"}, {"event": NAME})
        ):
            listener.post_json("/events", {**event, **wrong}, {**bearer, "Idempotency-Key": f"{EMAIL}-{number}"})
        listener.post_json("/events", event, {**bearer, "Idempotency-Key": "k-1"})
        listener.ask(
            "POST", "/events", f"{{{NAME}", {**bearer, "Content-Type": "application/json", "Idempotency-Key": "k"}
        )
        listener.ask("GET", f"/unsubscribe/{EMAIL}")
        listener.ask("GET", f"/{EMAIL}?to={MOBILE[1:]}", headers={"Referer": f"https://x/{EMAIL}", "User-Agent": EMAIL})
        listener.post_form("/callbacks/twilio", {"From": MOBILE, "Body": TEXT})
        texts = {"From": MOBILE, "To": "+15550100123", "NumMedia": "0"}
        assert callback({**texts, "MessageSid": "SM1", "Body": TEXT}) == 200
        assert callback({**texts, "MessageSid": "SM2", "Body": f"I am {NAME}", "From": "+12125550188"}) == 200
        status = {"MessageSid": "SM3", "SmsSid": "SM3", "MessageStatus": "failed", "To": MOBILE, "From": "+15550100123"}
        callback({**status, "ErrorCode": "30003", "ErrorMessage": f"{NAME} of {STREET}"}, "contact=9-9-9")
        with opened(folder) as book:
            until(lambda: not rows(book, Arrival, col(Arrival.state) == "waiting", col(Arrival.kind) == "text"))
            said = told(book)
            at_rest = marks_at_rest(book, MARKS)
        lines = "\n".join(listener.lines)
        assert listener.end() == 0
    assert any(line.get("action") == "alert" for line in listener.log)
    assert found(lines) == []
    assert found(said) == []
    assert at_rest == []


def test_nothing_of_what_commands_refuse(folder: Path, run: Run) -> None:
    """What somebody typed is theirs and may be said back to them; what is on file is not."""
    asked = (
        ("status",), ("inbox", "list"), ("inbox", "run"), ("schedule", "list"), ("schedule", "run", "sweep"),
        ("schedule", "run", "events"), ("schedule", "run", "dispatch"), ("reconcile",), ("reconcile", "list"), ("sweep",),
        ("log",), ("gate", "ask", "L-1", "sms"), ("decide", "L-1", "--explain"), ("tasks", "list"), ("events",), ("loan", "L-1"),
    )  # fmt: skip
    for command in asked:
        _, out, err = run(*command)
        assert found(err) == [], command
        assert found(out) == [], command
    with opened(folder) as book, book.session() as session:
        assert session.exec(select(Person.name)).first() == NAME
        assert marks_at_rest(book, MARKS) == []
