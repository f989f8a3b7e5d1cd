"""
Which commands tell who somebody is: those that must, and no other.

The commands are asked of the command line itself, so that a new one without a place in these lists fails the test.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from sqlmodel import col, select
from typer import main as typer_main
from typer.core import TyperGroup

from duecourse import cli
from duecourse.commands.init import create_workspace
from store.db import Database
from store.tables import Arrival, Contact
from tests.conftest import Run
from tests.e2e.book import AS_OF, FILES, IMPORTED, SENT, SWEPT, WORKED, write_book
from tests.e2e.test_nothing_personal import EMAIL, MARKS, MOBILE, NAME, STREET, TEXT, found
from tests.opening import open_database

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE_ALL, MONTH_OVER = "2026-02-01T00:00Z", "2026-04-02T00:00Z"

BOOK = {
    "people": f"ref,name,language,country,region,zones\nC1,{NAME},en,CN,CN-SH,Asia/Shanghai\nU1,{NAME} Two,en,US,US-CA,America/Los_Angeles\n",
    "endpoints": (
        f"person,kind,value,zone,rank,source\nC1,mobile,{MOBILE},Asia/Shanghai,1,contract\n"
        f"C1,email,{EMAIL},,1,contract\nC1,postal,{STREET},,1,contract\n"
        f"U1,email,two.{EMAIL},,1,contract\nU1,mobile,+12125550178,America/Los_Angeles,1,contract\n"
    ),
    "consents": FILES["consents"].replace("+12125550102", "+12125550178").replace("u1@example.com", f"two.{EMAIL}"),
}

OTHERWISE = {
    "config show": "what somebody set is theirs; `allow_list` holds numbers of the lender's own people",
    "serve": "its log is told by test_nothing_personal", "listen": "its log and its inbox are told there as well",
    "init": "there is no book yet", "demo": "it makes up people of its own", "packs test": "it reads case files alone",
    "packs law-diff": "it plans the book twice, as `sweep --plan` does once",
    "rules test": "it reads scenarios alone", "rules check": "it reads rules alone", "rules facts": "it reads the catalogue alone",
    "letters confirm": "a batch by its number", "letters void": "a batch by its number", "dialler import": "a batch by its number",
    "dialler recall": "a batch by its number", "dialler void": "a batch by its number",
    "audit makegood": "one instant, and counts of what was decided since",
}  # fmt: skip
"""Commands that are not run here, and why that is enough."""

SHOWS = {
    "tasks next", "tasks start", "contact start", "endpoints reveal", "consents replies", "inbox show", "privacy export",
    "letters print", "dialler export", "legal bundle",
}  # fmt: skip
"""Those that must tell, on the terminal or in the file that they write: a task in hand, a batch, a bundle, a person's own data."""

ASKED: tuple[tuple[str, ...], ...] = (
    ("import", "{book}", "--as-of", AS_OF, "--at", IMPORTED),
    ("import", "{book}", "--as-of", AS_OF, "--at", IMPORTED),
    ("db", "upgrade"), ("stages",), ("packs", "list"), ("packs", "show", "us.regf"),
    ("audit", "keygen", "--at", IMPORTED), ("sweep", "--plan", "--at", SWEPT), ("sweep", "--at", SWEPT),
    ("log",), ("log", "--loan", "CN-1"), ("loan", "CN-1"), ("decide", "CN-1", "--explain", "--at", SWEPT),
    ("gate", "ask", "CN-1", "sms", "--at", SWEPT), ("db", "environment", "--sending", "on"),
    ("dispatch", "--at", SENT), ("tasks", "list", "--at", SENT), ("tasks", "outcomes"),
    ("endpoints", "list", "CN-1"), ("endpoints", "list", "--person", "U1"), ("endpoints", "reveal", "1", "--by", "li", "--because", "x"),
    ("endpoints", "mark", "2", "known_disclosure"), ("endpoints", "restore", "2"), ("endpoints", "reveal", "99", "--by", "li", "--because", "x"),
    ("tasks", "next", "early-junior", "--agent", "ann", "--at", SENT), ("tasks", "start", "{task}", "--agent", "ann", "--at", SENT),
    ("tasks", "outcome", "{task}", "--outcome", "no_answer", "--agent", "ann", "--at", WORKED),
    ("tasks", "outcome", "{task}", "--outcome", "nonsense", "--agent", "ann", "--at", WORKED),
    ("contact", "start", "CN-1", "call", "--agent", "ann", "--at", WORKED),
    ("contact", "send", "CN-1", "sms", "--text", TEXT, "--agent", "ann", "--at", WORKED),
    ("contact", "record", "CN-1", "call", "--direction", "out", "--outcome", "no_answer", "--agent", "ann", "--at", WORKED),
    ("consents", "add", "opt_out", "sms", "--loan", "CN-1", "--agent", "ann"), ("consents", "show", "CN-1"),
    ("consents", "reply", "CN-1", "--channel", "sms", "--text", TEXT, "--key", "k-1"), ("consents", "replies"),
    ("consents", "read", "{reply}", "--agent", "ann"), ("consents", "show", "--person", "U1"),
    ("events", "--at", WORKED), ("move", "CN-1", "legal", "--by", "li", "--reason", "no"), ("inbox", "list"), ("inbox", "show", "A1"),
    ("inbox", "close", "A1", "--by", "li"), ("inbox", "run"), ("inbox", "retry", "--all"), ("reconcile", "list"),
    ("reconcile", "settle", "{task}", "--as", "sent", "--by", "li", "--because", "x", "--evidence", "y"),
    ("visits", "plan", "--on", "2026-03-03", "--team", "mei,li", "--by", "li", "--at", WORKED), ("visits", "list", "--on", "2026-03-03"),
    ("letters", "print", "--out", "{out}/letters", "--by", "li", "--at", WORKED), ("letters", "list"),
    ("dialler", "export", "--queue", "early-junior", "--out", "{out}/calls.csv", "--by", "li", "--at", WORKED), ("dialler", "list"),
    ("legal", "bundle", "CN-1", "--out", "{out}/bundle.pdf", "--by", "li"), ("duties", "keep"), ("duties", "list"),
    ("duties", "done", "1", "--by", "li", "--evidence", "x"), ("duties", "give", "1", "--to", "li"), ("duties", "retention", "CN-1"),
    ("schedule", "list"), ("schedule", "run", "tidy"), ("schedule", "pause", "sweep", "--by", "li", "--because", "x"),
    ("schedule", "resume", "sweep", "--by", "li"), ("status",), ("audit", "sequence"), ("audit", "checkpoint"),
    ("audit", "verify"), ("audit", "replay"), ("audit", "match"), ("audit", "show", "--loan", "CN-1"),
    ("audit", "prove", "--loan", "CN-1"), ("audit", "review", "--month", "2026-03", "--out", "{out}/review", "--at", MONTH_OVER),
    ("audit", "export", "--from", BEFORE_ALL, "--to", MONTH_OVER, "--out", "{out}/regulator", "--at", MONTH_OVER),
    ("privacy", "rotate"), ("privacy", "due"), ("privacy", "export", "C1", "--out", "{out}/person", "--by", "li"),
    ("privacy", "erase", "C1", "--records", "contacts", "--because", "x", "--by", "li"),
    ("privacy", "erase", "C1", "--because", "x", "--by", "li"), ("privacy", "erase", "C1", "--because", "x", "--by", "li", "--yes"),
    ("privacy", "deeds"),
)  # fmt: skip


@cache
def commands() -> set[str]:
    """Every command that the command line has, by its words."""

    def walk(one: object, words: tuple[str, ...]) -> Iterator[str]:
        if isinstance(one, TyperGroup):
            for name, below in one.commands.items():
                yield from walk(below, (*words, name))
        else:
            yield " ".join(words)

    return set(walk(typer_main.get_command(cli.app), ()))


def name_of(arguments: tuple[str, ...]) -> str:
    """Which command a command line is."""
    known = commands()
    return next(name for n in (2, 1) if (name := " ".join(arguments[:n])) in known)


def test_every_command_has_its_place() -> None:
    """A command is asked below, or said not to need it; what is asked or said is there."""
    asked = {name_of(one) for one in ASKED}
    assert asked | set(OTHERWISE) == commands()
    assert asked & set(OTHERWISE) == set()
    assert asked >= SHOWS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace that knows the marked people."""
    create_workspace(tmp_path / "ws")
    with (tmp_path / "ws" / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f'allow_list: ["{MOBILE}", "{EMAIL}", "{STREET}"]\nbacklog_share_max: 1\n')
    write_book(tmp_path / "book", **BOOK)
    with _opened(tmp_path) as book, book.write() as session:
        said = {"from": MOBILE, "text": f"{TEXT}, says {NAME}"}
        session.add(Arrival(source="twilio", key="SM1", kind="text", private_json=json.dumps(said), state="parked",
                            why="nobody has this number", recorded_at=BEFORE, due_at=BEFORE))  # fmt: skip

    return tmp_path / "ws"


def test_only_those_tell_who_must(run: Run, tmp_path: Path) -> None:
    """A book of marked people through every command: output, errors, logs and files, as text and as JSON."""
    out = tmp_path / "out"
    out.mkdir()
    told: set[str] = set()
    for arguments in ASKED:
        words = [word.format(book=tmp_path / "book", out=out, **_ids(tmp_path)) for word in arguments]
        name, before = name_of(arguments), _files(tmp_path)
        for lead in ((), ("--json",)) if name in READS else ((),):
            code, said, err = run(*lead, *words)
            assert code in (0, 1, 3, 4), (words, said, err)
            assert "Traceback" not in err
            lines = found(said) + found(err)
            written = [file for file in _files(tmp_path) - before if _tells(file)]
            if name in SHOWS:
                told.update([name] if lines or written else [])
                assert found(err) == [], words
            else:
                # A text that was typed is said back by nobody.
                assert (lines, written) == ([], []), words
    assert SHOWS - told == NOT_HERE


READS = {
    "log", "loan", "endpoints list", "tasks list", "consents show", "status", "privacy due", "privacy deeds", "duties list",
    "decide", "gate ask", "audit show", "inbox list", "visits list", "schedule list",
}  # fmt: skip
"""Those that are asked for JSON as well."""

NOT_HERE = {"letters print", "dialler export", "contact start", "legal bundle"}
"""This book has nothing for them at that hour, or their file is packed: what they write is looked at where they are tested."""


def _opened(folder: Path) -> closing[Database]:
    return closing(open_database(f"sqlite:///{folder}/ws/data/duecourse.db"))


def _ids(folder: Path) -> dict[str, str]:
    """The names of a task and of a reply, once they are there."""
    with _opened(folder) as book, book.session() as session:
        contacts = list(session.exec(select(Contact).order_by(col(Contact.id))))
    task = next((one.id for one in contacts if one.channel == "call" and one.direction == "out"), "none")
    return {"task": task, "reply": next((one.id for one in contacts if one.direction == "in"), "none")}


def _files(folder: Path) -> set[Path]:
    """What was written beside the book and the database."""
    mine = {file for part in ("out", "ws") for file in (folder / part).rglob("*") if file.is_file()}
    return {file for file in mine if not file.name.startswith("duecourse.db") and file.name != "duecourse.yaml"}


def _tells(file: Path) -> bool:
    held = file.read_bytes().lower()
    return any(mark.lower().encode() in held for mark in MARKS)
