"""What people asked for, derived again from what was read for it, and told as not derivable where nothing was kept."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import Gate
from duecourse.people import move_loan
from duecourse.wiring import Works
from engine.decision_json import from_json
from engine.explain import explain_loan
from engine.explain_tree import ExplainNode
from store.db import Database
from store.tables import DecisionRow, Hold, Loan, Run, StageChange
from tests.outgoing import add
from tests.packing import only_the_questions, repacked
from tests.replaying import drawn, few_packs, flawless, scalars, tampered, works_of
from tests.review_book import reviewed, signed
from workflows.deciding.machine import StageError
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import Done, record, start
from workflows.desk.sayings import NOTHING_LEARNT
from workflows.replay.by_hand import QUESTION
from workflows.replay.findings import Chosen, Count
from workflows.replay.looks import NO_SNAPSHOT
from workflows.replay.replay import replay


@contextmanager
def works_on(database: Database) -> Iterator[Works]:
    """A small book; of its packs the house's lets nothing get harsher during a dispute."""
    write_book(database, 12, on=ON)
    with works_of(few_packs(), database) as works:
        yield works


def disputed(database: Database) -> Loan:
    """A loan in no treatment yet, whose borrower disputes it."""
    loan: Loan = scalars(database, select(Loan).where(Loan.stage == "current").order_by(col(Loan.id)))[0]
    add(
        database,
        Hold(person_id=loan.borrower_id, kind="dispute", blocks="", owner="care", reason="", review_on=ON, ref="d",
             starts_at=NOW - timedelta(days=1), recorded_at=NOW - timedelta(days=1)),
        bump=loan.borrower_id,
    )  # fmt: skip
    return loan


def refused_move(works: Works, loan: Loan) -> None:
    with pytest.raises(StageError, match="the gate does not let loan"):
        move_loan(works, loan.borrower_id, loan.id or 0, "reminded", by="mei", reason="asked for", now=NOW)


def labels(node: ExplainNode) -> list[str]:
    return [node.label, *(label for child in node.children for label in labels(child))]


def test_a_move_that_the_gate_refuses_a_person_stands_in_the_log(database: Database, tmp_path: Path) -> None:
    """The command fails, nothing moves, and the entry says who wanted what, and which rule with which citation stood against it."""
    with works_on(database) as works:
        loan = disputed(database)
        refused_move(works, loan)
    (row,) = scalars(database, select(DecisionRow))
    assert (row.loan_id, row.outcome, row.reasons, row.rule) == (loan.id, "withheld", "house.default.holds", None)
    assert (row.stage_before, row.stage_after) == ("current", "current")
    assert scalars(database, select(Run.kind)) == ["by_hand"]
    assert scalars(database, select(StageChange).where(StageChange.cause == "agent:mei")) == []
    drawing = labels(explain_loan(from_json(row.trace_json), on=row.on_on))
    assert any("mei: move (collect)" in label for label in drawing), drawing
    assert any("by hand to reminded" in label for label in drawing)
    assert any("house.default.holds" in label for label in drawing)
    assert "asked for" not in row.trace_json
    reviewed(database, tmp_path / "review", signed(database))
    with (tmp_path / "review" / "entries" / "deny-house.default.holds.csv").open(encoding="utf-8") as file:
        assert [each["entry"] for each in csv.DictReader(file)] == [f"decision:{row.run_id}-{loan.id}"]
    assert flawless(replay(database, Chosen())).of["decision"].equal == 1
    tampered(
        database, "update decision set trace_json = replace(trace_json, 'house.default.holds', 'house.default.other')"
    )
    assert replay(database, Chosen()).of["decision"].different == 1


def heard(works: Works, ref: str) -> Done:
    return record(
        works.door, Wanted(ref, "call"), "conversation", direction="in", agent="mei", at=NOW, now=NOW,
        learnt=NOTHING_LEARNT,
    )  # fmt: skip


def test_what_the_gate_was_not_asked_is_derived_from_what_was_read(database: Database) -> None:
    """That they called us, and that there is no number to call: both follow from what was kept, and are not taken on trust."""
    with works_on(database) as works:
        one, other = scalars(database, select(Loan).order_by(col(Loan.id)))[:2]
        heard(works, one.ref)
        tampered(database, "update endpoint set valid = false where person_id = :who", who=other.borrower_id)
        assert start(works.door, Wanted(other.ref, "call"), agent="mei", now=NOW).contact is None
    assert flawless(replay(database, Chosen())).of["decision"] == Count(equal=2)
    for loan, old, new in ((one.id, '"outcome":"recorded"', '"outcome":"contact"'), (other.id, "no_endpoint", "hours")):
        change = "update decision set trace_json = replace(trace_json, :old, :new) where loan_id = :loan"
        tampered(database, change, old=old, new=new, loan=loan)
        assert replay(database, Chosen(loan=loan)).of["decision"] == Count(different=1)
    tampered(database, "delete from snapshot")
    assert replay(database, Chosen()).of["decision"].not_derivable == {NO_SNAPSHOT: 2}


def test_a_question_that_does_not_follow_from_what_was_read_is_found(database: Database) -> None:
    """Questions are evidence only with what they were made of: whoever asks the gate about somebody else is found out."""
    with works_on(database) as works:
        (ref,) = scalars(database, select(Loan.ref).order_by(col(Loan.id)).limit(1))
        start(works.door, Wanted(ref, "call"), agent="mei", now=NOW)
    assert flawless(replay(database, Chosen())).of["decision"].equal == 1
    repacked(database, lambda head, rest: (head.replace(b'"dpd":', b'"dpd":9'), rest))
    found = replay(database, Chosen())
    assert found.of["decision"].different == 1
    assert found.told[0].why == QUESTION
    assert "dpd" in " ".join(drawn(found.told[0]))


def test_questions_that_a_former_version_kept_alone_are_asked_again(sqlite_database: Database) -> None:
    """Of these nothing else was kept: the gate is asked once more, as it was."""
    with works_on(sqlite_database) as works:
        (ref,) = scalars(sqlite_database, select(Loan.ref).order_by(col(Loan.id)).limit(1))
        start(works.door, Wanted(ref, "call"), agent="mei", now=NOW)
    only_the_questions(sqlite_database)
    assert flawless(replay(sqlite_database, Chosen())).of["decision"].equal == 1


def test_a_move_without_its_notice_stands_in_the_log(sqlite_database: Database) -> None:
    """The gate has nothing against it, and the stage demands a letter: refused, kept, and derived again."""
    with works_on(sqlite_database) as works:
        # The house's pack asks for it as well; here the law alone is asked.
        works.workspace.gate = Gate([pack for pack in works.workspace.packs if pack.id == "cn.cba2026"], ["CN"])
        tampered(sqlite_database, "update loan set stage = 'field_visit' where id = 1")
        (loan,) = scalars(sqlite_database, select(Loan).where(Loan.id == 1))
        with pytest.raises(StageError, match="has no prelegal_notice in force"):
            move_loan(works, loan.borrower_id, 1, "legal", by="mei", reason="", now=NOW)
    (row,) = scalars(sqlite_database, select(DecisionRow))
    assert row.outcome == "withheld"
    assert any(
        "no prelegal_notice in force" in label for label in labels(explain_loan(from_json(row.trace_json), on=ON))
    )
    assert of_decisions(sqlite_database) == Count(equal=1)
    tampered(sqlite_database, "update decision set trace_json = replace(trace_json, 'no prelegal', 'some prelegal')")
    assert of_decisions(sqlite_database) == Count(different=1)


def of_decisions(database: Database) -> Count:
    return replay(database, Chosen()).of["decision"]
