"""Evidence for a referral: everything that was known at an instant and nothing else, the same bytes again."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from pypdf import PdfReader
from sqlmodel import select

from channels.paper import Document, Part, Press, document_pages
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import BatchItem, DecisionRow, Hold, Loan, Notice, Party, Person, Promise, Run, StageChange
from store.timeline import known_loan
from tests.factories import add_payment, make_person
from tests.outgoing import DATES, NOW, TODAY, add, book, borrower_of, door_of, plan, rows
from workflows.desk.evidence import evidence
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.tasks import start_task

BEFORE, AFTER = NOW + timedelta(minutes=30), NOW + timedelta(hours=1)


def case(database: Database) -> str:
    """A loan with something of everything on file by `BEFORE`, and news of each kind at `AFTER`; its reference."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    friend = make_person(database, mobile="+8613700000077", name="A Friend Indeed")
    guarantor = make_person(database, mobile="+8613700000078", name="A Guarantor")
    task = plan(database, loan, "call", status="sent")
    start_task(door_of(database, {}), task, agent="mei", now=NOW)
    from engine.strategy import PromisePolicy
    from workflows.desk.outcomes import Promised

    promised = Promised(50_00, TODAY + timedelta(days=2))
    record_outcome(database, task, Report("promise", "mei", NOW, TODAY, PromisePolicy(), DATES, promised))
    add(
        database,
        Party(loan_id=loan, person_id=friend, role="contact_person"),
        Party(loan_id=loan, person_id=guarantor, role="guarantor"),
    )
    for at, word in ((NOW, "early"), (AFTER, "late")):
        add(
            database,
            Hold(person_id=person, loan_id=loan, kind="dispute", owner=f"owner-{word}", review_on=TODAY, starts_at=at, recorded_at=at, ref=f"h-{word}"),
            Notice(loan_id=loan, person_id=person, kind="prelegal_notice", sent_on=TODAY, effective_on=TODAY, how=f"letter {word}", recorded_at=at, ref=f"n-{word}"),
            StageChange(loan_id=loan, entry=9 if word == "late" else 8, source="phone", target="legal", on_on=TODAY, at=at, cause=f"move:{word}"),
            Promise(loan_id=loan, amount_minor=7_00, made_at=at, due_on=TODAY, ref=f"p-{word}", status="kept", settled_on=TODAY + timedelta(days=9)),
        )  # fmt: skip
        add_payment(database, loan, 1_00, TODAY, recorded_at=at, ref=f"m-{word}-{loan}")
        with database.write() as session:
            said = NewStatement(person, "opt_out", at, source="s", ref=f"c-{word}", evidence=f"tape-{word}")
            add_statement(session, said, now=at)
            run = Run(kind="sweep", now_at=at, known_at=at, gate_digest="ab" * 16, started_at=at)
            session.add(run)
            session.flush()
            session.add(
                DecisionRow(
                    run_id=run.id, loan_id=loan, borrower_id=person, now_at=at, on_on=TODAY, strategy="test-cny",
                    strategy_digest="cd" * 16, stage_before="phone", stage_after="legal", outcome="contact",
                    rule=f"rule-{word}", facts_json="{}", trace_json="{}",
                )
            )  # fmt: skip
    plan(database, loan, "text", planned_at=AFTER, name="late-text")
    (ref,) = (row.ref for row in rows(database, Loan))
    return str(ref)


def bundle(database: Database, ref: str, as_of=BEFORE) -> Document:  # type: ignore[no-untyped-def]
    with database.session() as session:
        return evidence(session, known_loan(session, ref), lender="Example Lender", as_of=as_of, on=TODAY)


def test_everything_known_then_and_nothing_later(database: Database) -> None:
    """Each part has what was on file at the instant; what came an hour later is in the bundle of that hour."""
    ref = case(database)
    early, later = bundle(database, ref), bundle(database, ref, AFTER)
    empty = ("Account statements", "Letters and proofs")
    for part, more in zip(early.parts, later.parts, strict=True):
        assert bool(part.rows) is (part.title not in empty and part.title != "The claim"), part.title
        words, added = replace(early, parts=(part,)).words, replace(early, parts=(more,)).words
        assert "late" not in words, part.title
        if part.title in {
            "Ledger",
            "Notices",
            "Consents and refusals",
            "Disputes and other holds",
            "Stages",
            "Decisions",
            "Contacts",
        }:
            assert "early" in words or part.title == "Contacts", part.title
            assert "late" in added, part.title
    assert "overdue CNY 99.00" in early.parts[0].text[1]
    assert "overdue CNY 98.00" in later.parts[0].text[1]
    promises = next(part for part in early.parts if part.title == "Promises")
    # One that was kept only afterwards was open then.
    assert [row[3] for row in promises.rows] == ["open", "open"]


def test_only_those_of_the_contract_are_named(database: Database) -> None:
    """Borrower and guarantor by name, once; the contact person by reference; no number, no address, no text anywhere."""
    ref = case(database)
    document = bundle(database, ref, AFTER)
    names = {person.ref: person.name for person in rows(database, Person)}
    (people,) = (part for part in document.parts if part.title == "People")
    assert [(row[0], row[2]) for row in people.rows] == [
        ("borrower", names[people.rows[0][1]]), ("contact_person", "by reference only"), ("guarantor", "A Guarantor"),
    ]  # fmt: skip
    said = document.words
    assert said.count("A Guarantor") == said.count(people.rows[0][2]) == 1
    assert "A Friend Indeed" not in said
    assert "+86" not in said
    assert "@" not in said


def test_the_same_book_and_instant_give_the_same_bytes(sqlite_database: Database) -> None:
    """In this process and in another; anything else on file gives other bytes, and another hash in the index."""
    ref = case(sqlite_database)
    first, again = (document_pages(bundle(sqlite_database, ref), Press()) for _ in range(2))
    assert first.content == again.content
    code = (
        "import sys; from tests.opening import open_database; from channels.paper import *;"
        "from tests.integration.test_evidence import bundle;"
        "print(document_pages(bundle(open_database(sys.argv[1]), sys.argv[2]), Press()).digest)"
    )
    url = sqlite_database.url.render_as_string(hide_password=False)
    ran = subprocess.run([sys.executable, "-c", code, url, ref], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == first.digest
    with sqlite_database.write() as session:
        hold = session.exec(select(Hold)).first()
        assert hold is not None
        hold.reason = "changed afterwards"
        session.add(hold)
    changed = bundle(sqlite_database, ref)
    notes = [
        (a.title, a.note != b.note)
        for a, b in zip(bundle(sqlite_database, ref, AFTER).parts, changed.parts, strict=True)
    ]
    assert document_pages(changed, Press()).digest != first.digest
    assert ("The claim", True) in notes
    assert ("Schedule", False) in notes


def test_the_index_names_every_part_and_its_hash(sqlite_database: Database) -> None:
    """Whoever is given the file finds each part by its page, and can tell whether it is the one that was sealed."""
    document = bundle(sqlite_database, case(sqlite_database))
    reader = PdfReader(BytesIO(document_pages(document, Press()).content))
    index = "".join(reader.pages[0].extract_text().split())
    for number, part in enumerate(document.parts, 1):
        assert part.note in index, part.title
        page = reader.get_destination_page_number(reader.outline[number - 1])  # type: ignore[arg-type]
        assert part.title in reader.pages[page].extract_text()


def test_printed_letters_are_known_by_their_hashes(sqlite_database: Database, tmp_path: Path) -> None:
    """The letter that was sent is the file that the manifest named."""
    from tests.integration.test_letters import manifest, printed, queued

    (loan,) = book(sqlite_database)
    queued(sqlite_database, loan)
    done = printed(door_of(sqlite_database, {}), tmp_path)
    (listed,) = manifest(done.folder or tmp_path)
    (ref,) = (row.ref for row in rows(sqlite_database, Loan))
    (papers,) = (part for part in bundle(sqlite_database, ref).parts if part.title == "Letters and proofs")
    assert [row[2] for row in papers.rows] == [listed["sha256"]]
    assert len(rows(sqlite_database, BatchItem)) == 1
    assert isinstance(papers, Part)
