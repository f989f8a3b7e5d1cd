"""`duecourse endpoints ...`: the numbers and addresses of a person, and what is known against them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant
from duecourse.masking import masked
from duecourse.output import table
from duecourse.session import Session
from engine.errors import DataError, Problem
from engine.gate import Role

if TYPE_CHECKING:
    from sqlmodel import Session as Writing

    from store.tables import Endpoint


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Numbers and addresses, and what is known against them.", no_args_is_help=True)
    group.command("list")(list_endpoints)
    group.command("reveal")(reveal)
    group.command("mark")(mark)
    group.command("restore")(restore)
    app.add_typer(group, name="endpoints")


def list_endpoints(
    context: typer.Context,
    loan: Annotated[str | None, typer.Argument(help="a loan's reference; its borrower is meant, or `--role`")] = None,
    person: Annotated[str | None, typer.Option(help="or a person's own reference")] = None,
    role: Annotated[Role | None, typer.Option(help="their part in the loan [default: borrower]")] = None,
) -> None:
    """List them by id; of the number or address itself only as much as tells it from the others."""
    from rich.text import Text

    from workflows.ledger_view import endpoints_of, find_person

    session: Session = context.obj
    with session.database.session() as reading:
        found = endpoints_of(reading, find_person(reading, loan, person, role))
    rows = [
        {"endpoint": e.id, "kind": e.kind, "value": masked(e.kind, e.value), "place": e.place, "valid": e.valid,
         "basis": e.basis, "source": e.source, "marks": sorted({*e.marks.split(), *e.learnt_marks.split()})}
        for e in found
    ]  # fmt: skip
    drawn = table("endpoint", "kind", "value", "place", "valid", "basis", "source", "marks")
    for row in rows:
        cells = [" ".join(cell) if isinstance(cell, list) else "" if cell is None else cell for cell in row.values()]
        cells[4] = "yes" if row["valid"] else "no"
        drawn.add_row(*(Text(str(cell)) for cell in cells))
    session.output.answer(rows, lambda console: console.print(drawn if rows else "there is none on file"))


def reveal(
    context: typer.Context,
    endpoint: Annotated[int, typer.Argument(help="its id")],
    because: Annotated[str, typer.Option(help="what for; `privacy deeds` shows it")],
    by: Annotated[str, typer.Option(help="who looks at it")],
    at: At = None,
) -> None:
    """Show one number or address whole. The log keeps that it was done, and the book by whom and why."""
    from workflows.privacy.reveal import reveal as show_whole

    session: Session = context.obj
    kind, value = show_whole(session.database, endpoint, because=because, by=by, now=instant(at))
    answer = {"endpoint": endpoint, "kind": kind, "value": value}
    session.output.answer(answer, lambda console: console.print(value, markup=False))


def mark(
    context: typer.Context,
    endpoint: Annotated[int, typer.Argument(help="its id")],
    marks: Annotated[list[str], typer.Argument(help="employer_provided, known_disclosure, unlawful_source")],
    off: Annotated[bool, typer.Option("--off", help="take it back: it was a mistake")] = False,
) -> None:
    """Write down what is known against a number or address; whatever is about to leave for it is looked at again."""
    from workflows.desk.sayings import mark as mark_endpoint

    session: Session = context.obj
    with _changing(session, endpoint) as (writing, found):
        mark_endpoint(writing, endpoint, marks, off=off)
        known = found.learnt_marks.split()
    line = f"endpoint {endpoint}: {', '.join(known) or 'nothing is known against it'}"
    session.output.answer({"endpoint": endpoint, "marks": known}, lambda console: console.print(line, markup=False))


def restore(context: typer.Context, endpoint: Annotated[int, typer.Argument(help="its id")]) -> None:
    """Take back that a number or address leads nowhere, or to somebody else; no import does that."""
    from workflows.desk.sayings import restore as restore_endpoint

    session: Session = context.obj
    with _changing(session, endpoint) as (writing, _):
        restore_endpoint(writing, endpoint)
    line = f"endpoint {endpoint}: may be used again"
    session.output.answer({"endpoint": endpoint, "valid": True}, lambda console: console.print(line, markup=False))


@contextmanager
def _changing(session: Session, endpoint: int) -> "Iterator[tuple[Writing, Endpoint]]":
    """A write transaction that holds its person, and after which whatever is about to leave for them is looked at again."""
    from store.outbox import bump_versions, lock_versions
    from store.tables import Endpoint

    with session.database.write() as writing:
        found = writing.get(Endpoint, endpoint)
        if found is None:
            raise DataError(Problem(f"no endpoint `{endpoint}`", "`duecourse endpoints list LOAN` shows their ids"))
        lock_versions(writing, [found.person_id])
        yield writing, found
        bump_versions(writing, [found.person_id])
