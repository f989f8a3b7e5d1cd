"""`letters`, `dialler`, `visits`, `legal` and the newer words of `tasks` from outside, with the shipped rules and packs."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

from store.db import Database
from store.tables import Contact, Deed, DeedNote, Endpoint, Loan, Party, Person, Proof
from tests.conftest import Run
from tests.integration.test_outgoing_commands import AT, call, opened, reachable, run
from tests.outgoing import NOW, add, book, borrower_of, contact_of, fed, plan, rows

__all__ = ["opened", "run"]

LATER = NOW + timedelta(days=3)


def paper(database: Database, channel: str, name: str) -> str:
    """A letter or visit of the shipped templates that waits in the queue of its channel."""
    (loan,) = book(database)
    fed(database, NOW)
    person = borrower_of(database, loan)
    add(
        database,
        Endpoint(person_id=person, kind="postal", value=f'{{"text": "Road {person}, Shanghai"}}', recorded_at=NOW),
    )
    return plan(database, loan, "notice", channel=channel, name=name, rule=None, status="sent", expires_at=LATER)


def test_letters_from_queue_to_post(run: Run, opened: Database, tmp_path: Path) -> None:
    """Printed, listed, confirmed; with nothing left to print the exit code is 3, and off means off."""
    task = paper(opened, "letter", "reminder-letter")
    command = ("letters", "print", "--out", str(tmp_path / "out"), "--by", "ann", "--at", AT)
    assert run(*command) == (1, "", "sending is off\n  mend: run `duecourse db environment --sending on`")
    reachable(opened, task)
    assert run(*command)[:2] == (0, f"batch 1: 1 letters, 1 pages in {tmp_path}/out/letters-1")
    assert sorted(path.name for path in (tmp_path / "out" / "letters-1").iterdir()) == [f"{task}.pdf", "manifest.csv"]
    assert run(*command) == (3, "nothing to print", "")
    assert run("letters", "list")[1].splitlines()[1].split() == [
        "1",
        "letter",
        "out",
        "2026-11-24",
        "04:00Z",
        "ann",
        "open",
        "1",
    ]
    assert run("letters", "confirm", "1", "--by", "ann", "--at", AT) == (0, "batch 1: 1 posted", "")
    assert run("letters", "void", "7", "--by", "ann", "--reason", "burnt") == (
        1, "", "no print batch 7\n  mend: `duecourse letters list` shows them",
    )  # fmt: skip
    assert contact_of(opened, task).outcome == "posted"


def test_a_dialler_takes_calls_and_reports(run: Run, opened: Database, tmp_path: Path) -> None:
    """Export, recall, import and the contract; what cannot be taken is rejected, and the exit code is 3."""
    task = call(opened)
    queue = "early-junior"
    with opened.write() as session:
        session.get_one(Contact, task).queue = queue
    reachable(opened, task)
    file = tmp_path / "calls.csv"
    export = ("dialler", "export", "--queue", queue, "--out", str(file), "--by", "ann", "--at", AT)
    assert run(*export)[:2] == (0, "batch 1: 1 calls until 06:00Z")
    assert run("dialler", "recall", "1", "--at", AT) == (0, "every call may still be made", "")
    done = tmp_path / "done.csv"
    done.write_text(f"batch,contact,at,outcome\n1,{task},{AT},no_answer\n1,c-0,{AT},busy\n")
    code, out, _ = run("dialler", "import", str(done), "--at", AT)
    assert code == 3
    assert "1 x was not in that batch of a dialler" in out
    assert contact_of(opened, task).outcome == "no_answer"
    assert run("dialler", "import", "--contract")[1].startswith("## results")
    assert run("dialler", "list")[1].splitlines()[1].endswith("no_answer 1")
    assert run("dialler", "void", "1", "--by", "ann")[0] == 1
    assert run(*export[:5], str(tmp_path / "x.csv"), *export[6:])[:2] == (3, "nobody to call")


def test_a_visit_from_plan_to_proof(run: Run, opened: Database, tmp_path: Path) -> None:
    """Planned with its sheets, begun by two, reported with a photograph; wrong teams are refused."""
    task = paper(opened, "visit", "visit-brief")
    reachable(opened, task)
    with opened.write() as session:
        session.get_one(Contact, task).purpose = "collect"
    plan_it = ("visits", "plan", "--on", "2026-11-25", "--by", "ann", "--at", AT)
    code, out, _ = run(*plan_it, "--team", "mei,li")
    assert code == 0
    assert f"{task} is on no route: refused: house.default.visit_notice" in out
    with opened.write() as session:
        session.get_one(Contact, task).purpose = "service"
    code, out, _ = run(*plan_it, "--team", "mei,li", "--out", str(tmp_path / "routes"))
    assert out.splitlines()[1].split()[:3] == ["mei,", "li", "1"]
    assert sorted(path.name for path in (tmp_path / "routes").iterdir()) == [
        "visits-2026-11-25-mei.csv", "visits-2026-11-25-mei.pdf",
    ]  # fmt: skip
    assert run("visits", "list", "--on", "2026-11-25")[1].splitlines()[1].split()[-1] == "planned"
    assert run(*plan_it, "--team", "mei,mei")[2] == "`mei` goes twice on one day\n  mend: name everybody once"
    assert run("visits", "list", "--on", "2026-12-25")[1] == "nothing is planned for that day"
    start = ("tasks", "start", task, "--agent", "mei", "--at", AT)
    assert run(*start)[2].startswith(f"visit `{task}`: refused: cn.cba2026.visit\n  mend: say who goes along")
    assert run(*start, "--with", "li")[1].startswith(f"{task}  visit  visit-brief")
    photo = tmp_path / "door.jpg"
    photo.write_bytes(b"a door")
    digest = hashlib.sha256(b"a door").hexdigest()
    outcome = (
        "tasks",
        "outcome",
        task,
        "--agent",
        "mei",
        "--outcome",
        "met",
        "--at",
        AT,
        "--with",
        "li",
        "--proof",
        str(photo),
    )
    assert run(*outcome) == (0, f"{task}: met; proof {digest[:16]}", "")
    assert [(proof.digest, proof.people) for proof in rows(opened, Proof)] == [(digest, "mei, li")]


def test_a_bundle_is_the_same_again(run: Run, opened: Database, tmp_path: Path) -> None:
    """One PDF, its hash said; the same instant gives the same bytes; it is for this user's eyes."""
    paper(opened, "letter", "reminder-letter")
    (ref,) = (loan.ref for loan in rows(opened, Loan))
    first, second = tmp_path / "a.pdf", tmp_path / "b.pdf"
    mine = ("--as-of", AT, "--by", "li")
    code, out, _ = run("--json", "legal", "bundle", ref, "--out", str(first), *mine)
    assert code == 0
    run("legal", "bundle", ref, "--out", str(second), *mine, "--because", "case 7", "--at", AT)
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(out)["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert first.stat().st_mode & 0o077 == 0
    assert run("legal", "bundle", "NO", "--out", str(first), *mine)[2].startswith("no loan `NO`")
    assert run("legal", "bundle", ref, "--out", str(tmp_path / "no" / "x.pdf"), *mine)[2].startswith(
        f"cannot write `{tmp_path}/no/x.pdf`"
    )


def test_a_bundle_names_people_and_leaves_a_deed_about_each(run: Run, opened: Database, tmp_path: Path) -> None:
    """Borrower and guarantor are named in it, the neighbour is not: a deed about each of the two, with its hash, by whom and what for; without a name no file."""
    paper(opened, "letter", "reminder-letter")
    (loan,) = rows(opened, Loan)
    guarantor, neighbour = (
        Person(id=900 + at, ref=f"P{at}", name="Guo", language="zh", country="CN", region="CN-SH", zones="Asia/Shanghai", bucket=at, created_at=NOW)
        for at in range(2)
    )  # fmt: skip
    add(opened, guarantor, neighbour)
    parts = ((900, "guarantor"), (901, "neighbour"))
    add(opened, *(Party(loan_id=loan.id, person_id=who, role=role) for who, role in parts))
    out = tmp_path / "a.pdf"
    refused = run("legal", "bundle", loan.ref, "--out", str(out), "--by", " ")
    assert refused[2].startswith(
        "it is not said who hands it out, or what for\n  mend: write `--by NAME --because TEXT`"
    )
    assert not out.exists()
    assert run("legal", "bundle", loan.ref, "--out", str(out), "--by", "li", "--because", "case 7", "--at", AT)[0] == 0
    deeds = {deed.id: deed for deed in rows(opened, Deed) if deed.kind == "evidence"}
    notes = {note.person_id: note for note in rows(opened, DeedNote)}
    assert set(notes) == {loan.borrower_id, 900}
    assert {(note.by, note.because) for note in notes.values()} == {("li", "case 7")}
    assert {deeds[note.deed_id].subject for note in notes.values()} == {f"loan:{loan.id}"}
    assert all(hashlib.sha256(out.read_bytes()).hexdigest() in deed.detail_json for deed in deeds.values())


def test_a_call_back_and_the_catalogue(run: Run, opened: Database) -> None:
    """The time they asked for is an option; the catalogue is a command."""
    task = call(opened)
    report = ("tasks", "outcome", task, "--agent", "ann", "--at", AT, "--outcome", "call_back")
    assert run(*report)[2].startswith("a call-back needs its time\n  mend: write `--outcome call_back --call-at")
    assert run(*report, "--call-at", "2026-11-24T15:00")[2].startswith("`2026-11-24T15:00` names no zone")
    assert run(*report, "--call-at", "2026-11-24T15:00+08:00") == (0, f"{task}: call_back", "")
    listed = json.loads(run("--json", "tasks", "list", "--at", "2026-11-24T15:00+08:00")[1])
    assert [(one["task"], one["reason"]) for one in listed] == [(f"{task}-b1", "ann promised to call back")]
    assert "call_back  conversation  call_back" in " ".join(run("tasks", "outcomes", "call")[1].split()).replace(
        " ", "  "
    ).replace("    ", "  ")
    assert run("tasks", "outcomes", "fax")[0] == 1
