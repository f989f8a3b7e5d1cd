"""What a person is handed, whose clocks are over, and what the commands and the job make of it."""

import json
import stat
from contextlib import closing
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlmodel import col

from compliance import Gate, shipped_packs
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.errors import DataError
from engine.matching import LiveMatcherSet
from store.db import Database
from store.tables import Consent, ContactStatus, Deed, DeedNote, Endpoint, Hold, Loan, Party, Person
from tests.factories import make_loan, make_person
from tests.forgotten import (
    AGENCY,
    CLOSED,
    EMAIL,
    LENDER,
    LONG_AFTER,
    MOBILE,
    NAME,
    OPENED,
    OTHER_MOBILE,
    OTHER_NAME,
    REF,
    STREET,
    remembered,
)
from tests.outgoing import add, book, rows, small_rulebook
from workflows.deciding.decide import decide_borrowers
from workflows.privacy.due import by_rule, erase_over, over
from workflows.privacy.erase import erase
from workflows.privacy.export import TITLES, Lender, export_person
from workflows.privacy.person_data import person_data
from workflows.privacy.reveal import deeds_about_people, reveal
from workflows.privacy.subject import find_subject

TODAY = LONG_AFTER.date()
HOUSE = Lender("Example Lender", "+1 555 0100", "care@lender.example")


def handed(database: Database, folder: Path, ref: str = REF) -> dict[str, list[dict[str, object]]]:
    """What somebody is given, as data."""
    export_person(
        database, ref, folder, small_rulebook(), LENDER, lender=HOUSE, because="request 9", by="li", now=LONG_AFTER,
        today=TODAY,
    )  # fmt: skip
    found: dict[str, list[dict[str, object]]] = json.loads((folder / "data.json").read_text())
    return found


def test_all_that_is_held_is_handed_out(database: Database, tmp_path: Path) -> None:
    """Every table's row about them, with their own numbers and words; for this user's eyes; and the log knows."""
    person, _ = remembered(database)
    data = handed(database, tmp_path / "out")
    empty = {name for name, lines in data.items() if not lines}
    assert empty == {"duties", "decisions", "kept_until"}
    assert data["you"][0]["name"] == NAME
    assert [one["value"] for one in data["numbers_and_addresses"]] == [MOBILE, EMAIL, STREET]
    assert [one["amount"] for one in data["ledger"]] == ["$100.00", "$100.00"]
    assert "I am Zebedee Quillfeather" in str(data["messages"][0]["text"])
    assert {one["who"] for one in data["who_received_data"]} == {"twilio"}
    for file in ("data.json", "record.html", "README.txt"):
        assert stat.S_IMODE((tmp_path / "out" / file).stat().st_mode) == 0o600
    (deed,) = rows(database, Deed)
    assert (deed.kind, deed.subject) == ("export", f"person:{person}")
    assert json.loads(deed.detail_json)["rows"]["contacts"] == 1
    (note,) = rows(database, DeedNote)
    assert (note.by, note.because) == ("li", "request 9")
    again = handed(database, tmp_path / "again")
    assert [one["who"] for one in again["who_received_data"]] == ["twilio", "you"]


def test_nothing_of_others_is_handed_out(database: Database, tmp_path: Path) -> None:
    """No name, number or word of the guarantor and no agent's name, also where we wrote them into a reason."""
    person, _ = remembered(database)
    at = LONG_AFTER - timedelta(days=900)
    add(
        database,
        Hold(person_id=person, kind="complaint", owner="care", review_on=CLOSED, starts_at=at, ends_at=at, recorded_at=at,
             reason=f"{OTHER_NAME} called from {OTHER_MOBILE} and mei took it", ref="h-2"),
        ContactStatus(contact_id="c-0", status="delivered", at=at, why="wen: no_answer"),
        ContactStatus(contact_id="c-0", status="delivered", at=at, why="taken by wen, with bob"),
    )  # fmt: skip
    handed(database, tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        said = file.read_text()
        for name in (OTHER_NAME, OTHER_MOBILE, "mei", "wen", "about Zebedee"):
            assert name not in said, (file.name, name)
    data = json.loads((tmp_path / "out" / "data.json").read_text())
    assert data["holds"][-1]["reason"] == "another person called from another person and an agent took it"
    assert [one["contact"] for one in data["contacts"]] == ["c-0"]
    theirs = handed(database, tmp_path / "theirs", "G-1")
    assert theirs["loans"][0]["your_part"] == "guarantor"
    assert theirs["ledger"]
    assert NAME not in json.dumps(theirs)
    assert MOBILE not in json.dumps(theirs)


def test_a_contact_person_is_not_told_of_the_debt(sqlite_database: Database, tmp_path: Path) -> None:
    """Whoever is only somebody to ask for the borrower learns that they are on file, and nothing of the loan."""
    remembered(sqlite_database)
    friend = make_person(sqlite_database, ref="F-1", name="A Friend", mobile="+12125550199")
    add(sqlite_database, Party(loan_id=1, person_id=friend, role="contact_person"))
    data = handed(sqlite_database, tmp_path / "out", "F-1")
    assert data["loans"] == [{"loan": None, "your_part": "contact_person"}]
    assert [name for name in ("ledger", "decisions", "stages", "promises", "facts") if data[name]] == []
    assert "L-1" not in json.dumps(data)


class Texts(HTMLParser):
    """What a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_page_shows_what_was_written_and_runs_none_of_it(sqlite_database: Database, tmp_path: Path) -> None:
    """Hostile text is text: in a name, in a message; and the page and the covering text are in the person's language."""
    evil = '<script>alert("x")</script>&amp;'
    make_person(sqlite_database, ref="Z-1", name=evil, language="zh")
    handed(sqlite_database, tmp_path / "out", "Z-1")
    page = Texts()
    page.feed((tmp_path / "out" / "record.html").read_text())
    assert evil in page.said
    assert "script" not in page.tags
    assert TITLES["decisions"][1] in page.said
    assert "截至" in (tmp_path / "out" / "README.txt").read_text()


def test_decisions_come_with_their_reasons(sqlite_database: Database) -> None:
    """What was decided, what was known then, and the explanation, drawn from the log and without anybody else."""
    (loan,) = book(sqlite_database)
    rules = small_rulebook()
    borrower = rows(sqlite_database, Loan, col(Loan.id) == loan)[0].borrower_id
    gate = Gate([pack for pack in shipped_packs() if pack.id.startswith(("house.", "cn."))], ["CN"])
    at = datetime(2026, 11, 24, 4, tzinfo=LONG_AFTER.tzinfo)
    decide_borrowers(
        sqlite_database,
        rules,
        gate,
        borrower_ids=[borrower],
        now=at,
        matcher=LiveMatcherSet(rules.strategies),
        write=True,
    )
    ref = rows(sqlite_database, Person, col(Person.id) == borrower)[0].ref
    with sqlite_database.session() as session:
        data = person_data(session, find_subject(session, ref), rules, LENDER, now=at, today=at.date())
    (decided,) = data["decisions"]
    lines = decided["explanation"]
    assert any("rule text" in line for line in lines)
    assert decided["known_then"]["dpd"] == 5


def test_nothing_is_written_over_and_nobody_is_guessed(sqlite_database: Database, tmp_path: Path) -> None:
    """A folder that holds something, and a ref that nobody has, are refused; no deed is written."""
    remembered(sqlite_database)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(DataError, match="is there already"):
        handed(sqlite_database, tmp_path / "full")
    with pytest.raises(DataError, match="no person `C-9`"):
        handed(sqlite_database, tmp_path / "out", "C-9")
    assert not (tmp_path / "out").exists()
    assert rows(sqlite_database, Deed) == []


def test_a_number_is_shown_whole_to_whoever_says_what_for(database: Database) -> None:
    """Each look is in the log before it is shown, by id; who looked and why stands beside, and goes with the person."""
    person, _ = remembered(database)
    (mobile, postal) = (next(e for e in rows(database, Endpoint) if e.kind == kind) for kind in ("mobile", "postal"))
    assert reveal(database, mobile.id, because="the bank asks", by="mei", now=LONG_AFTER) == ("mobile", MOBILE)
    assert reveal(database, postal.id, because="a visit", by="li", now=LONG_AFTER) == ("postal", STREET)
    with pytest.raises(DataError, match="not said who looks"):
        reveal(database, mobile.id, because=" ", by="mei", now=LONG_AFTER)
    with pytest.raises(DataError, match="no endpoint `99`"):
        reveal(database, 99, because="x", by="mei", now=LONG_AFTER)
    assert [(deed.kind, deed.subject, deed.detail_json) for deed in rows(database, Deed)] == [
        ("reveal", f"endpoint:{mobile.id}", "{}"), ("reveal", f"endpoint:{postal.id}", "{}"),
    ]  # fmt: skip
    with database.session() as session:
        noted = deeds_about_people(session, REF, limit=9)
        assert [(one.by, one.because) for one in noted] == [("li", "a visit"), ("mei", "the bank asks")]
        assert deeds_about_people(session, "G-1", limit=9) == []
    erase(database, REF, LENDER, because="request 7", by="li", now=LONG_AFTER, today=TODAY)
    with database.session() as session:
        assert {one.because for one in deeds_about_people(session, f"erased-{person}", limit=9)} == {"request 7", ""}
    with pytest.raises(DataError, match="of somebody who was erased"):
        reveal(database, mobile.id, because="x", by="mei", now=LONG_AFTER)


def test_nobody_is_erased_before_the_lender_says_so(tmp_path: Path) -> None:
    """The job of a workspace as it comes leaves everybody; with the setting it erases whom nothing stands against."""
    create_workspace(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws", {"actor": "agency"})
    with closing(Works(workspace, workspace.open_database())) as works:
        remembered(works.database)
        assert "erased" not in works.tidy(LONG_AFTER)
    workspace = open_workspace(tmp_path / "ws", {"actor": "agency", "erase_when_over": True})
    with closing(Works(workspace, workspace.open_database())) as works:
        assert works.tidy(LONG_AFTER)["erased"] == 2
        assert {row.name for row in rows(works.database, Person)} == {""}


def test_whose_clocks_are_over(database: Database) -> None:
    """By pack and record: those past their last day, what stands against each, and nobody with an open loan."""
    remembered(database)
    now_open = make_person(database, ref="O-1", country="US", zones="America/New_York")
    make_loan(database, ref="L-2", borrower_id=now_open, instalments=[(OPENED, 1)], opened_on=OPENED)
    make_loan(database, ref="L-3", borrower_id=now_open, instalments=[(OPENED, 1)], opened_on=OPENED, stage="closed")

    def found(day: date, dates=AGENCY):  # type: ignore[no-untyped-def]
        return list(over(database, dates, now=datetime.combine(day, LONG_AFTER.timetz()), today=day))

    assert found(date(2023, 3, 3)) == []
    ended = found(date(2023, 3, 4))
    assert [one.ref for one in ended] == [REF, "G-1"]
    assert all(one.against == () for one in ended)
    assert by_rule(ended)["file", "us.regf.retention", "12 CFR 1006.100(a)"] == 2
    add(database, Hold(person_id=1, kind="dispute", owner="care", review_on=TODAY, starts_at=LONG_AFTER - timedelta(days=1500),
                       recorded_at=LONG_AFTER, ref="h-9"))  # fmt: skip
    held = found(date(2026, 3, 1))
    assert held[0].against == ("a hold stands: dispute, number 2",)
    assert held[0].late_since is None
    # No pack of the United States says anything to a lender who collects for themselves.
    assert found(TODAY, LENDER) == []


def test_what_is_over_goes_when_the_lender_wants_it(sqlite_database: Database) -> None:
    """The job erases whom nothing stands against and nobody else, once, and says by which rules."""
    remembered(sqlite_database)
    add(sqlite_database, Hold(person_id=2, kind="dispute", owner="care", review_on=TODAY, starts_at=LONG_AFTER,
                              recorded_at=LONG_AFTER, ref="h-9"))  # fmt: skip
    for count in (1, 0):
        assert erase_over(sqlite_database, AGENCY, now=LONG_AFTER, today=TODAY) == {"erased": count}
    assert [row.name for row in rows(sqlite_database, Person)] == ["", OTHER_NAME]
    (note,) = rows(sqlite_database, DeedNote)
    assert (note.by, note.because) == ("duecourse", "kept long enough: us.regf.retention")
    assert rows(sqlite_database, Consent)[0].how == "erased:consent:1"
