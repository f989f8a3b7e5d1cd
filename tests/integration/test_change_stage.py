"""Single changes of a loan's stage: legal ones are written with their history, others are refused with the mend."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import cast

import pytest
from sqlmodel import select

from engine.stages import Stage
from store.db import Database
from store.tables import Loan, Person, StageChange
from tests.sweep_books import NOW, LoanSpec, PersonSpec, fill
from workflows.deciding.machine import StageError, change_stage

ON = NOW.date()
NONE: Mapping[str, date] = {}


def change(database: Database, target: str, reason: str = "", notices: Mapping[str, date] = NONE) -> StageChange:
    with database.write() as session:
        return change_stage(
            session, 1, cast("Stage", target), cause="event:mediation", reason=reason, now=NOW, on=ON, notices=notices
        )


def test_a_change_is_written_with_its_history_and_tells_whoever_decides(database: Database) -> None:
    """Loan, history entry and the person's version change together; an episode ends with cure."""
    fill(database, [PersonSpec((LoanSpec(30, stage="phone"),))])
    with database.session() as session:
        before = session.get_one(Person, 1).version
    change(database, "reminded", "mediation agreed")
    change(database, "current")
    with database.session() as session:
        loan = session.get_one(Loan, 1)
        assert (loan.stage, loan.stage_on, loan.stage_entry, loan.episode, loan.episode_on) == (
            "current",
            ON,
            3,
            1,
            None,
        )
        found = [(x.entry, x.source, x.target, x.cause, x.reason) for x in session.exec(select(StageChange))]
        assert found == [
            (2, "phone", "reminded", "event:mediation", "mediation agreed"),
            (3, "reminded", "current", "event:mediation", ""),
        ]
        assert session.get_one(Person, 1).version == before + 2


@pytest.mark.parametrize(
    ("stage", "target", "message"),
    [
        (
            "current",
            "current",
            (
                "loan `L1.0` cannot go from current to current\n"
                "  mend: from current it can go to reminded, phone, field_visit, legal, closed"
            ),
        ),
        (
            "closed",
            "phone",
            "loan `L1.0` cannot go from closed to phone\n  mend: from closed it can go to current",
        ),
        (
            "phone",
            "legal",
            (
                "loan `L1.0` has no prelegal_notice in force, which legal demands\n"
                "  mend: serve the prelegal_notice and wait until it counts as received"
            ),
        ),
        ("phone", "reminded", "loan `L1.0` cannot go back to reminded without a reason\n  mend: say why"),
    ],
)
def test_what_the_table_does_not_allow_is_refused_and_nothing_is_written(
    database: Database, stage: str, target: str, message: str
) -> None:
    """The message says what is possible or missing; the loan stays as it was."""
    fill(database, [PersonSpec((LoanSpec(30, stage=stage),))])
    with pytest.raises(StageError) as refused:
        change(database, target)
    assert str(refused.value) == message
    with database.session() as session:
        assert (session.get_one(Loan, 1).stage, session.exec(select(StageChange)).all()) == (stage, [])


def test_a_loan_nobody_imported_is_refused(database: Database) -> None:
    """No loan, no change."""
    with pytest.raises(StageError) as refused:
        change(database, "phone")
    assert str(refused.value) == "there is no loan 1\n  mend: import it first"


def test_only_a_notice_in_force_is_evidence(database: Database) -> None:
    """One that takes effect tomorrow is none yet; one in force today is."""
    fill(database, [PersonSpec((LoanSpec(95, stage="phone"),))])
    with pytest.raises(StageError):
        change(database, "legal", notices={"prelegal_notice": ON + timedelta(days=1)})
    assert change(database, "legal", notices={"prelegal_notice": ON}).target == "legal"
