"""The book of duties at the command line, from outside."""

from pathlib import Path

from tests.e2e.book import AS_OF, FILES, IMPORTED, SWEPT, write_book
from tests.e2e.command import Said, duecourse

_HOLDS = """\
ref,person,loan,kind,form,owner,review_on,starts_at
H-1,C1,CN-1,dispute,written,lin,2026-03-20,2026-03-02T08:00:00+08:00
"""
_LATER = "2026-03-18T09:00+08:00"
_OVER = "2026-03-21T09:00+08:00"


def test_a_duty_from_the_hold_to_its_evidence(tmp_path: Path) -> None:
    """Kept, listed, due soon, lapsed, refused without its next day, done, owed again, given away; texts and JSON alike."""
    loans = FILES["loans"].replace("opened_on,basis", "opened_on,basis,limitation_on")
    loans = loans.replace("2025-06-20,schedule", "2025-06-20,schedule,2028-12-20")
    loans = loans.replace("2024-05-01,account", "2024-05-01,account,2026-08-01")
    write_book(tmp_path / "book", holds=_HOLDS, loans=loans)

    def duties(*arguments: str) -> Said:
        return duecourse("-w", "ws", "duties", *arguments, cwd=tmp_path)

    duecourse("init", "ws", cwd=tmp_path)
    assert duecourse("-w", "ws", "import", "book", "--as-of", AS_OF, "--at", IMPORTED, cwd=tmp_path).code == 0
    assert duties("list", "--at", SWEPT).out == "nothing is owed\n"
    kept = duties("keep", "--at", SWEPT)
    assert kept.out == "2 new, 0 done, 0 void, 0 open again; 1 due soon, 0 lapsed\n"
    assert duties("keep", "--at", SWEPT).out == "0 new, 0 done, 0 void, 0 open again; 0 due soon, 0 lapsed\n"
    listed = [line.split()[:7] for line in duties("list", "--at", SWEPT).out.splitlines()]
    assert listed[1:] == [
        ["1", "2026-08-01", "due", "soon", "legal", "loan", "US-1"], ["2", "2026-03-20", "open", "lin", "loan", "CN-1", "Every"],
    ]  # fmt: skip
    review = "2"
    assert duties("list", "--owner", "lin", "--at", SWEPT).out.count("\n") == 2
    assert duties("list", "--due-by", "2026-03-19", "--at", SWEPT).out == "nothing is owed\n"
    assert "limitation" in duties("list", "--loan", "US-1", "--at", SWEPT).out
    assert "due soon" in duties("list", "--owner", "lin", "--at", _LATER).out
    # The job has not run since, and all the same the list says so.
    assert "lapsed" in duties("list", "--owner", "lin", "--at", _OVER).out.splitlines()[1]
    assert duties("keep", "--at", _OVER).out == "0 new, 0 done, 0 void, 0 open again; 0 due soon, 1 lapsed\n"
    said = ("--by", "lin", "--evidence", "letter of 20 March", "--at", _OVER)
    assert duties("done", review, *said).failure == (
        1, "", ("hold `H-1` goes on, and needs a later day on which it is looked at again\n"
        "  mend: add `--next 2026-05-01`, or end the hold by an import\n"),
    )  # fmt: skip
    assert duties("done", review, *said, "--next", "2026-05-01").failure == (0, f"duty {review}: done\n", "")
    assert duties("keep", "--at", _OVER).out.startswith("1 new")
    every = duecourse(
        "-w", "ws", "--json", "duties", "list", "--all", "--owner", "lin", "--at", _OVER, cwd=tmp_path
    ).answer
    assert [(one["state"], one["due_on"], one["about"], one["evidence"]) for one in every] == [
        ("open", "2026-05-01", "loan CN-1", ""), ("done late", "2026-03-20", "loan CN-1", "letter of 20 March"),
    ]  # fmt: skip
    assert duties("give", "3", "--to", "sam").failure == (0, "duty 3: sam\n", "")
    assert duties("give", review, "--to", "sam").code == 1
    assert duties("give", "77", "--to", "sam").failure == (
        1, "", "no duty 77\n  mend: `duecourse duties list` shows them\n",
    )  # fmt: skip


def test_how_long_records_are_kept(tmp_path: Path) -> None:
    """By the packs that bind; a loan that nobody knows is an error."""
    contacts = (
        "ref,loan,person,channel,at,outcome\n"
        "K-1,CN-1,C1,call,2026-02-25T10:00:00+08:00,conversation\n"
        "K-2,CN-1,C1,sms,2026-02-27T10:00:00+08:00,delivered\n"
    )
    write_book(tmp_path / "book", contacts=contacts)
    duecourse("init", "ws", cwd=tmp_path)
    duecourse("-w", "ws", "import", "book", "--as-of", AS_OF, "--at", IMPORTED, cwd=tmp_path)
    answer = duecourse("-w", "ws", "--json", "duties", "retention", "CN-1", "--at", SWEPT, cwd=tmp_path).answer
    by = ["cn.cba2026.records.company", "cn.cba2026.records.card"]
    assert [(one["records"], one["kept_to"], one["rules"]) for one in answer] == [
        ("contacts", "2031-02-27", by), ("recordings", "2031-02-25", by),
    ]  # fmt: skip
    said = duecourse("-w", "ws", "duties", "retention", "US-1", "--at", SWEPT, cwd=tmp_path)
    assert said.out == "no pack says how long the records that there are of US-1 are kept\n"
    none = duecourse("-w", "ws", "duties", "retention", "XX", cwd=tmp_path)
    assert none.failure == (1, "", "no loan `XX`\n  mend: write the reference it was imported with\n")
