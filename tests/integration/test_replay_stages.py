"""Stage changes derived again: by decisions, by entry rules, by people; and found where one was changed, or is missing."""

from typing import Any

import pytest
from sqlmodel import col, select

from store.db import Database
from store.log_kinds import erased_text
from store.tables import Loan, Run, Snapshot, StageChange
from tests.replaying import FEW_LOANS, as_kept, drawn, flawless, lived, scalars, tampered
from workflows.replay.findings import Chosen, Told
from workflows.replay.looks import NO_SNAPSHOT
from workflows.replay.replay import replay
from workflows.replay.stages import LACKING, NO_CHANGE, NO_RUN


def changes(database: Database, cause: str) -> list[StageChange]:
    """The changes of this kind of cause, but for those of the book's maker."""
    wanted = select(StageChange).where(col(StageChange.cause).startswith(cause), StageChange.cause != "entry:synthetic")
    return scalars(database, wanted.order_by(col(StageChange.id)))


def test_every_change_comes_out_the_same(database: Database) -> None:
    """Of loans that entered, that decisions moved, and that a person moved; also of one loan, or one run."""
    lived(database, 1)
    by = {cause: changes(database, cause) for cause in ("entry:", "move:", "agent:")}
    assert all(by.values())
    found = flawless(replay(database, Chosen())).of["stage change"]
    assert found.equal == sum(map(len, by.values()))
    assert dict(found.not_derivable) == {NO_RUN: FEW_LOANS // 2}
    for one in (by["entry:"][0], by["move:"][0]):
        alone = replay(database, Chosen(run=one.run_id)).of["stage change"]
        assert alone.equal == alone.total == sum(each.run_id == one.run_id for each in (*by["entry:"], *by["move:"]))
        of_loan = replay(database, Chosen(loan=one.loan_id)).of["stage change"]
        assert of_loan.equal == sum(each.loan_id == one.loan_id for some in by.values() for each in some)


def test_what_somebody_did_to_a_change_is_found(sqlite_database: Database) -> None:
    """A target, a cause, a day, an order, a change that is gone, a stage nobody moved the loan to."""
    every_wrong(sqlite_database)


@pytest.mark.slow
def test_the_same_is_found_on_postgresql(postgres_database: Database) -> None:
    """The same wrongs, found in the same words."""
    every_wrong(postgres_database)


def every_wrong(database: Database) -> None:
    lived(database, 2)
    entered = next(one for one in changes(database, "entry:") if one.target != "current")
    moved, by_hand = changes(database, "move:")[0], changes(database, "agent:")[0]

    def told(loan: int) -> list[Told]:
        return [
            one for one in replay(database, Chosen(loan=loan)).told if one.about.subject == "stage change" and one.tree
        ]

    def wrong(one: StageChange, label: str, **values: Any) -> None:
        change = ", ".join(f"{name} = :{name}" for name in values)
        tampered(
            database,
            f"update stage_change set {change} where id = :id",
            id=one.id,
            **as_kept(database, "stage_change", values),
        )
        assert label in drawn(told(one.loan_id)[0]), values
        before = {name: getattr(one, name) for name in values}
        tampered(
            database,
            f"update stage_change set {change} where id = :id",
            id=one.id,
            **as_kept(database, "stage_change", before),
        )

    wrong(entered, "target", target="legal")
    wrong(entered, "cause", cause="entry:made-up")
    wrong(entered, "reason", reason="served by hand")
    wrong(moved, "target", target="legal")
    wrong(moved, "cause", cause="move:made-up")
    wrong(moved, "entry", entry=moved.entry + 5)
    wrong(by_hand, "derived: never phone", target="phone")
    wrong(by_hand, "derived: never reminded", reason="")
    assert told(entered.loan_id) == told(moved.loan_id) == []
    erased = erased_text("stage_change", str(by_hand.id))
    tampered(database, "update stage_change set reason = :reason where id = :id", reason=erased, id=by_hand.id)
    assert told(by_hand.loan_id) == []
    tampered(database, "update loan set stage = 'legal' where id = :id", id=entered.loan_id)
    assert [one.why for one in told(entered.loan_id)] == [LACKING]
    stage = scalars(database, select(Loan.stage).where(Loan.id == moved.loan_id))[0]
    tampered(database, "delete from stage_change where id = :id", id=moved.id)
    assert {NO_CHANGE} <= {one.why for one in told(moved.loan_id)}, stage
    if database.dialect == "sqlite":
        # What no column of a day can hold: whatever stands there, a replay ends with an answer.
        tampered(database, "update stage_change set on_on = 'x' where id = :id", id=by_hand.id)
        assert LACKING in {one.why for one in told(by_hand.loan_id)}
    run = scalars(database, select(Run.id).where(Run.kind == "entry"))[0]
    assert scalars(database, select(Snapshot.id).where(Snapshot.run_id == run))
    tampered(database, "delete from snapshot where run_id = :run", run=run)
    found = replay(database, Chosen(run=run)).of["stage change"]
    assert (found.equal, set(found.not_derivable)) == (0, {NO_SNAPSHOT})
