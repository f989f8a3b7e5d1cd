"""`gate`, `contact`, `consents` and `endpoints` from outside: what they say, and with which exit code."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from duecourse.clock import now
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Consent, Contact, Endpoint, Loan, MessageText
from tests.conftest import Run
from tests.imports import dump
from tests.opening import open_database
from tests.outgoing import NOW, book, fed, rows, set_setting

AT = ("--at", NOW.isoformat())
GOOD = "Example Lender: please call +1 555 0100. Reply STOP to stop."


@pytest.fixture
def folder(folder: Path) -> Path:
    """A workspace that speaks English."""
    settings = folder / "duecourse.yaml"
    settings.write_text(settings.read_text("utf-8").replace("language: zh", "language: en"), "utf-8")
    return folder


@pytest.fixture
def opened(folder: Path) -> Database:
    """Its database, with one loan that is five days late."""
    database = open_database(f"sqlite:///{folder / 'data' / 'duecourse.db'}")
    book(database)
    fed(database, NOW)
    set_setting(database, "sending", "on")
    with database.session() as session:
        mobile = session.exec(select(Endpoint.value).where(Endpoint.kind == "mobile")).one()
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f'allow_list: ["{mobile}"]\n')
    return database


@pytest.fixture
def ref(opened: Database) -> str:
    """That loan's reference."""
    with opened.session() as session:
        return session.exec(select(Loan.ref)).one()


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command, a day after the instant of these tests."""
    monkeypatch.setattr("duecourse.reports.now", lambda: NOW + timedelta(hours=24))
    return run


def test_the_gate_answers_in_a_sentence_and_writes_nothing(run: Run, ref: str, opened: Database) -> None:
    """Yes is 0 and not now is 3, in English or Chinese, with the person's own clock; nobody is locked or changed."""
    before = dump(opened)
    assert run("gate", "ask", ref, "call", *AT) == (0, "Allowed: no rule stands against it.", "")
    night = ("--at", (NOW + timedelta(hours=11)).isoformat())
    code, out, _ = run("gate", "ask", ref, "call", *night)
    assert code == 3
    assert out.startswith("Not before 2026-11-25 08:00 Asia/Shanghai: ")
    assert run("gate", "ask", ref, "call", "--lang", "zh", *night)[1].startswith(
        "2026-11-25 08:00 Asia/Shanghai 之后方可："
    )
    code, out, _ = run("--json", "gate", "ask", ref, "call", *night)
    answer = json.loads(out)
    assert (code, answer["decision"], answer["until"]) == (3, "defer_until", "2026-11-25T00:00:00+00:00")
    assert {"rule", "outcome", "until", "says", "citation", "status"} == set(answer["reasons"][0])
    assert answer["zones"] == ["Asia/Shanghai"]
    assert answer["endpoint"] in [endpoint.id for endpoint in rows(opened, Endpoint) if endpoint.kind == "mobile"]
    assert dump(opened) == before


def test_acts_that_are_no_contact(run: Run, ref: str) -> None:
    """A filing and a stage are asked about as well; a move that does not exist says so."""
    assert run("gate", "ask", ref, "legal", *AT)[:2] == (
        3,
        "Not allowed: Nothing is filed in court before the pre-legal notice has been in force for fourteen days (House policy 11; house policy).",
    )
    assert run("gate", "ask", ref, "--move", "phone", *AT)[0] == 0
    assert run("gate", "ask", ref, "--move", "reminded", *AT) == (
        1, "", "no move leads from reminded to reminded\n  mend: `duecourse stages` shows which there are",
    )  # fmt: skip
    assert run("gate", "ask", ref, *AT)[2].startswith("no channel is named")


def test_a_text_is_checked_at_its_words(run: Run, ref: str) -> None:
    """What must not be said is shown with its place, what is missing with the words to say; a sound text passes."""
    assert run("gate", "ask", ref, "sms", "--text", GOOD, "--lang", "en", *AT)[0] == 0
    code, out, _ = run("gate", "ask", ref, "sms", "--text", f"{GOOD} Or you will be arrested.", "--lang", "en", *AT)
    assert code == 3
    assert f"character {len(GOOD) + 17}: the text says `arrested`: `threat`, which house.default.conduct" in out
    code, out, _ = run("gate", "ask", ref, "sms", "--text", GOOD.replace("Example Lender", "We"), "--lang", "en", *AT)
    assert "which house.default.identity (House policy 13) requires\n  mend: say `Example Lender`" in out
    assert run("gate", "ask", ref, "sms", "--text", "Dear {{ borrower.name }}", *AT)[2].startswith(
        "a text of your own is sent"
    )


def test_a_call_from_start_to_outcome(run: Run, ref: str, opened: Database) -> None:
    """Started, it names whom to call; reported with what was said, the ledger has it and the gate obeys."""
    code, out, _ = run("contact", "start", ref, "call", "--agent", "mei", *AT)
    assert code == 0
    task = out.split()[0]
    assert "+86" in out
    said = ("--said", "no_medium call", "--mark", "known_disclosure")
    assert run("tasks", "outcome", task, "--outcome", "conversation", "--agent", "mei", *said, *AT)[0] == 0
    assert [(c.kind, c.channels) for c in rows(opened, Consent)] == [("no_medium", "call")]
    code, out, _ = run("gate", "ask", ref, "call", "--at", (NOW + timedelta(days=1)).isoformat())
    assert code == 3
    assert out.startswith("Not allowed: ")
    code, out, _ = run("contact", "start", ref, "call", "--agent", "mei", *AT)
    assert code == 3
    assert "known_disclosure" in run("endpoints", "list", ref)[1]
    assert run("endpoints", "restore", "1")[:2] == (0, "endpoint 1: may be used again")
    assert run("endpoints", "restore", "999")[0] == 1
    log = json.loads(run("--json", "log")[1])
    assert [entry["outcome"] for entry in log] == ["withheld", "contact"]


def test_a_word_without_a_date_is_the_latest(run: Run, ref: str, opened: Database) -> None:
    """What is reported without `--at` was said after whatever is on file; with it, when somebody says that it was."""
    ahead = now() + timedelta(hours=1)
    with opened.write() as session:
        person = session.exec(select(Loan.borrower_id)).one()
        assert add_statement(session, NewStatement(person, "opt_in", ahead, "twilio", "start"), now=ahead, live=True)
    stop = ("--said", "opt_out sms", "--agent", "mei")
    told = ("contact", "record", ref, "call", "--direction", "in", "--outcome", "conversation", *stop)
    task = run("contact", "start", ref, "call", "--agent", "mei", *AT)[1].split()[0]
    assert [run(*told, *AT)[0], run(*told)[0]] == [0, 0]
    assert run("tasks", "outcome", task, "--outcome", "conversation", *stop)[0] == 0
    said = sorted(rows(opened, Consent), key=lambda row: row.received_at)
    assert [(row.kind, row.evidence == f"contact:{task}") for row in said] == [
        ("opt_out", False), ("opt_in", False), ("opt_out", False), ("opt_out", True),
    ]  # fmt: skip


def test_own_words_are_planned_or_refused(run: Run, ref: str, opened: Database) -> None:
    """A sound text is planned; one that breaks a rule is refused with its mend, logged, and kept nowhere."""
    code, out, _ = run("contact", "send", ref, "sms", "--text", "Pay.", "--lang", "en", "--agent", "mei", *AT)
    assert code == 3
    assert "mend: say `Example Lender`" in out
    assert rows(opened, MessageText) == []
    code, out, _ = run("contact", "send", ref, "sms", "--text", GOOD, "--lang", "en", "--agent", "mei", *AT)
    assert (code, out.split(": ", 1)[1]) == (0, "planned for 2026-11-24 04:00Z; `duecourse dispatch` sends it")
    assert [row.text for row in rows(opened, MessageText)] == [GOOD]
    assert run("contact", "send", ref, "sms", "--template", "no-such", "--agent", "mei", *AT)[0] == 1


def test_a_stop_is_confirmed_and_shown(run: Run, ref: str) -> None:
    """The shipped confirmation is planned; the ledger shows since when, by what, and what is open all the same."""
    reply = ("consents", "reply", ref, "--channel", "sms", "--text", "STOP", "--key", "k1", *AT)
    code, out, _ = run(*reply)
    assert code == 0
    assert ": stop, opt_out written down, answered by " in out
    assert run(*reply)[1].endswith(": known already")
    shown = json.loads(run("--json", "consents", "show", ref, "--as-of", NOW.isoformat())[1])
    by_channel = {one["channel"]: one for one in shown["standing"]}
    assert (by_channel["sms"]["open"], by_channel["sms"]["closed_since"]) == (False, "2026-11-24T04:00:00+00:00")
    assert by_channel["email"]["open"]
    before = json.loads(run("--json", "consents", "show", ref, "--as-of", (NOW - timedelta(minutes=1)).isoformat())[1])
    assert (before["statements"], [one["open"] for one in before["standing"]]) == ([], [True] * len(before["standing"]))


def test_who_asks_for_help_is_told_where_it_is(run: Run, ref: str, opened: Database) -> None:
    """HELP is answered by the shipped template, nobody has to read it, and nothing of the loan is said."""
    code, out, _ = run("consents", "reply", ref, "--channel", "sms", "--text", "Help!", "--key", "k1", *AT)
    assert code == 0
    assert ": help, answered by " in out
    assert run("consents", "replies")[1] == "nothing waits to be read"
    (answer,) = [row for row in rows(opened, Contact) if row.direction == "out"]
    assert (answer.purpose, answer.name, answer.status) == ("reply", "help-answer", "planned")


def test_what_a_person_has_to_read_waits(run: Run, ref: str) -> None:
    """Words are listed until somebody says they have read them; and what follows is written down by hand."""
    run("consents", "reply", ref, "--channel", "sms", "--text", "call me after work", "--key", "k1", *AT)
    (waiting,) = json.loads(run("--json", "consents", "replies")[1])
    assert (waiting["loan"], waiting["text"]) == (ref, "call me after work")
    add = (
        "consents",
        "add",
        "inconvenient_time",
        "08:00-18:00",
        "mon",
        "--loan",
        ref,
        "--agent",
        "mei",
        "--key",
        "a",
        *AT,
    )
    assert run(*add)[0] == 0
    assert run(*add)[1].endswith("inconvenient_time, known already")
    assert run("consents", "read", waiting["reply"], "--agent", "mei")[0] == 0
    assert run("consents", "replies")[1] == "nothing waits to be read"
    assert "inconvenient_time 08:00-18:00 mon" in run("consents", "show", ref, "--as-of", NOW.isoformat())[1]
