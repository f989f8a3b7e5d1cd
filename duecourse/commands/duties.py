"""`duecourse duties ...`: what must be done by a day, whose it is, and how long records are kept."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import At, instant
from duecourse.output import table
from duecourse.session import Session
from engine.errors import DataError, Problem

if TYPE_CHECKING:
    from sqlmodel import Session as Reading

    from store.tables import Duty, Loan

_DAY = ["%Y-%m-%d"]
Number = Annotated[int, typer.Argument(help="the duty's number", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="What must be done by a day: the book of dated duties.", no_args_is_help=True)
    group.command("list")(list_all)
    group.command("keep")(keep)
    group.command("done")(done)
    group.command("give")(give)
    group.command("retention")(retention)
    app.add_typer(group, name="duties")


def list_all(
    context: typer.Context,
    owner: Annotated[str | None, typer.Option(help="only this owner's")] = None,
    due_by: Annotated[datetime | None, typer.Option(formats=_DAY, help="only what is due by this day")] = None,
    loan: Annotated[str | None, typer.Option(help="only this loan's and its borrower's")] = None,
    every: Annotated[bool, typer.Option("--all", help="also what is done or void")] = False,
    at: At = None,
) -> None:
    """List what is owed: what has lapsed first, then what is due soon, then the rest by day."""
    from rich.text import Text

    from store.duties import list_duties, state_of

    session: Session = context.obj
    today = _today(session, instant(at))
    with session.database.session() as reading:
        found = _loan(reading, loan) if loan is not None else None
        by_day = due_by.date() if due_by else None
        duties = list_duties(reading, today=today, owner=owner, due_by=by_day, loan=found, closed=every)
        about = subjects(reading, duties)
    rows = [duty_row(duty, state_of(duty, today), about[duty.id]) for duty in duties]
    drawn = table("id", "due", "state", "owner", "about", "what is to be done")
    for row in rows:
        what = f"{row['what']} ({row['evidence']})" if row["evidence"] else row["what"]
        cells = (row["id"], row["due_on"], row["state"], row["owner"], row["about"], what)
        drawn.add_row(*(Text(str(cell)) for cell in cells))
    session.output.answer(rows, lambda console: console.print(drawn if rows else "nothing is owed"))


def keep(context: typer.Context, at: At = None) -> None:
    """Bring the book of duties up to date, as the job `duties` does: new ones, done ones, those that press or lapsed."""
    session: Session = context.obj
    counts = session.works.keep_duties(instant(at))
    text = (
        f"{counts['new']} new, {counts['done']} done, {counts['void']} void, {counts['reopened']} open again; "
        f"{counts['escalated']} due soon, {counts['lapsed']} lapsed"
    )
    session.output.answer(counts, lambda console: console.print(text))


def done(
    context: typer.Context,
    number: Number,
    by: Annotated[str, typer.Option(help="who did it")],
    evidence: Annotated[str, typer.Option(help="what shows it, without personal data")],
    next_on: Annotated[
        datetime | None, typer.Option("--next", formats=_DAY, help="of a hold that goes on: its next day of review")
    ] = None,
    at: At = None,
) -> None:
    """Say that a duty is done, with what shows it."""
    from workflows.duties_by_hand import close_duty

    session: Session = context.obj
    now = instant(at)
    next_day = next_on.date() if next_on else None
    today = _today(session, now)
    close_duty(session.database, number, by=by, evidence=evidence, today=today, now=now, next_on=next_day)
    session.output.answer({"duty": number, "done_by": by}, lambda console: console.print(f"duty {number}: done"))


def give(
    context: typer.Context, number: Number, to: Annotated[str, typer.Option(help="whose it is from now on")]
) -> None:
    """Give a duty to another owner."""
    from workflows.duties_by_hand import give_duty

    session: Session = context.obj
    give_duty(session.database, number, to)
    answer = {"duty": number, "owner": to}
    session.output.answer(answer, lambda console: console.print(f"duty {number}: {to}", markup=False))


def retention(
    context: typer.Context, loan: Annotated[str, typer.Argument(help="the loan's reference")], at: At = None
) -> None:
    """Say how long each kind of a loan's records must be kept, by every pack that binds."""
    from rich.text import Text

    from store.retention import read_life

    session: Session = context.obj
    now = instant(at)
    with session.database.session() as reading:
        life, matter = read_life(reading, _loan(reading, loan), now)
    kept = session.workspace.pack_dates.kept(life, matter, _today(session, now))
    answer = [
        {
            "records": one.records,
            "kept_to": one.to,
            "at_most_to": one.at_most,
            "rules": [rule.id for rule in one.rules],
            "says": one.rules[0].says_en,
        }
        for one in kept
    ]
    drawn = table("records", "kept to", "by", "citation")
    for one in kept:
        # Open: the loan is not settled, so that nothing can be said of its end.
        to = "open" if one.to is None else one.to.isoformat()
        drawn.add_row(one.records, to, one.rules[0].id, Text(one.rules[0].citation))
    nothing = f"no pack says how long the records that there are of {loan} are kept"
    session.output.answer(answer, lambda console: console.print(drawn if kept else nothing, markup=False))


def _today(session: Session, now: datetime) -> date:
    return now.astimezone(ZoneInfo(session.settings.zone)).date()


def _loan(reading: "Reading", ref: str) -> "Loan":
    from store.timeline import find_loan

    found = find_loan(reading, ref)
    if found is None:
        raise DataError(Problem(f"no loan `{ref}`", "write the reference it was imported with"))
    return found


def subjects(reading: "Reading", duties: Sequence["Duty"]) -> dict[int | None, str]:
    """What each duty is about, by the references that the lender knows."""
    from store.timeline import loan_refs, person_refs

    loans = loan_refs(reading, (duty.loan_id for duty in duties if duty.loan_id is not None))
    people = person_refs(reading, (duty.person_id for duty in duties if duty.person_id is not None))
    about: dict[int | None, str] = {}
    for duty in duties:
        if duty.loan_id is not None:
            about[duty.id] = f"loan {loans[duty.loan_id]}"
        elif duty.person_id is not None:
            about[duty.id] = f"person {people[duty.person_id]}"
        else:
            about[duty.id] = duty.subject.replace(":", " ", 1)
    return about


def duty_row(duty: "Duty", state: str, about: str) -> dict[str, Any]:
    """A duty as it is shown."""
    return {
        "id": duty.id,
        "rule": duty.rule,
        "about": about,
        "what": duty.what,
        "started_on": duty.start_on,
        "due_on": duty.due_on,
        "escalates_on": duty.escalate_on,
        "state": state,
        "owner": duty.owner,
        "escalated_at": duty.escalated_at,
        "lapsed_at": duty.lapsed_at,
        "closed_at": duty.closed_at,
        "closed_by": duty.closed_by,
        "evidence": duty.evidence,
    }
