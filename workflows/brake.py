"""The brake: what makes dispatch wait until a person has looked."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from engine.errors import Problem, SettingsError
from store.settings import read_setting, write_setting
from store.tables import Contact, Loan, Setting


def apply_brake(session: Session, run_id: int, planned: int, *, share_max: float, now: datetime) -> str | None:
    """
    Stop dispatch when more of the book is to be contacted than usual; returns why, or None.

    After an outage, or an edit that meant more than it said, a person looks before a whole book is written to. For
    the transaction that ends a sweep: before it nothing of the sweep leaves (`store.outbox`), after it the brake is on.

    Args:
        planned: contacts that the run planned, whatever has become of them. What waits from before counts as well.
    """
    loans = session.exec(select(func.count()).select_from(Loan).where(col(Loan.stage) != "closed")).one()
    before = select(func.count()).where(col(Contact.status) == "planned", func.coalesce(Contact.run_id, 0) != run_id)
    planned += session.exec(before).one()
    if not loans or planned <= share_max * loans:
        return None
    why = f"{planned} contacts are planned for {loans} loans, more than {share_max:.0%}, at {now:%Y-%m-%d %H:%M}Z"
    write_setting(session, "brake", why)
    return why


def brake_channel(session: Session, lane: str, why: str) -> None:
    """Stop one lane: what it would send next would fail alike."""
    write_setting(session, f"brake.{lane}", why)


def release_brake(session: Session) -> None:
    """A person has looked: let everything go on."""
    for row in session.exec(select(Setting).where(col(Setting.name).like("brake%"))):
        session.delete(row)


def check_brake(session: Session) -> None:
    """
    Refuse while the brake is on for everything.

    Raises:
        SettingsError: says why the brake is on and how to let it go.
    """
    why = read_setting(session, "brake")
    if why:
        mend = "look at `duecourse sweep --plan`, then run `duecourse dispatch --release`"
        raise SettingsError(Problem(f"the brake is on: {why}", mend))


def channel_brake(session: Session, lane: str) -> Problem | None:
    """Why this lane stands still; None where it does not."""
    why = read_setting(session, f"brake.{lane}")
    what = f"{lane.replace('_', ' ')} stands still: {why}"
    return Problem(what, "mend that, then run `duecourse dispatch --release`") if why else None
