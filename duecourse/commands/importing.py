"""`duecourse import`: a lender's files into the book, and the contract they follow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO
from duecourse.session import Session
from engine.errors import DataError, DuecourseError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rich.console import Console

    from workflows.importing import Imported, Kind

_REASONS_MAX = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(help="a folder whose files are named after their kinds, or one file")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="what a single file holds, where its name does not say")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="when the files were made, e.g. 2026-03-02T06:00+08:00; required for movements and accounts"
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="the system they come from: part of a movement's name", envvar="DUECOURSE_SOURCE")
    ] = "core",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change, and change nothing")] = False,
    contract: Annotated[
        bool, typer.Option("--contract", help="print what a file holds instead, of all kinds or of the one named")
    ] = False,
    at: At = None,
) -> None:
    """Bring people, loans, schedules, payments and whatever else a lender has into the book, from CSV or Parquet."""
    from workflows.importing import find_files, import_files

    session: Session = context.obj
    if contract:
        _print_contract(session, kind or (str(path) if path else None))
        return
    if path is None:
        raise typer.BadParameter("name a folder or a file, or ask for the --contract")
    now = instant(at)
    files = find_files(path, _kind(kind) if kind else None)
    with session.output.progress(f"importing {path.name}") as progress:
        results = import_files(
            session.database,
            files,
            as_of=instant(as_of) if as_of else None,
            now=now,
            catalogue=session.workspace.catalogue,
            source=source,
            dry_run=dry_run,
            progress=progress,
        )
    news = any(result.added or result.changed or result.removed for result in results)
    entered = _enter(session, now) if news and not dry_run else {}
    answer = {"files": results, "entered": entered}
    session.output.answer(answer, lambda console: draw_imported(console, results, entered))
    if any(result.rejected for result in results):
        raise typer.Exit(ANSWER_IS_NO)


def _enter(session: Session, now: "datetime") -> "Mapping[str, int]":
    """Place what is new in its stage. What was imported stays imported, whatever hinders that: the next sweep does it."""
    try:
        return session.works.enter(now)
    except DuecourseError as e:
        session.output.note(
            "the files are imported, but new loans could not be placed yet; the next sweep places them:"
        )
        session.output.problems(e.problems)
        return {}


def draw_imported(console: "Console", results: "list[Imported]", entered: "Mapping[str, int] | None" = None) -> None:
    """What files brought as a table, and below it why rows were rejected."""
    from rich.table import Table

    names = ("file", "rows", "added", "changed", "removed", "same", "rejected")
    table = Table(*names, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        counts = (result.rows, result.added, result.changed, result.removed, result.same, result.rejected)
        table.add_row(Path(result.file).name, *(f"{count:,}" if count else "" for count in counts))
    console.print(table)
    for result in results:
        if not result.rejected:
            continue
        console.print(
            f"\n{result.rejected:,} rejected rows of {result.kind} are in {result.rejects_file}", markup=False
        )
        for reason in result.reasons[:_REASONS_MAX]:
            what = f"{reason.column}: {reason.reason}" if reason.column else reason.reason
            console.print(f"  {reason.rows:,} x {what}\n    mend: {reason.mend}", markup=False)
        if len(result.reasons) > _REASONS_MAX:
            console.print(f"  and {len(result.reasons) - _REASONS_MAX} more reasons")
    if results and results[0].dry_run:
        console.print("\nnothing was changed: this was a dry run")
    if entered:
        console.print(f"\nplaced: {', '.join(f'{loans:,} in {stage}' for stage, loans in sorted(entered.items()))}")


def _kind(name: str) -> "Kind":
    from workflows.importing import KINDS

    if name not in KINDS:
        raise DataError(unknown_name("kind of file", name, KINDS, at=None, otherwise=f"one of {', '.join(KINDS)}"))
    return KINDS[name]


def _print_contract(session: Session, name: str | None) -> None:
    from workflows.importing import KINDS, VERSION
    from workflows.importing.contract_doc import contract_document, kind_document

    kinds = [_kind(name)] if name else list(KINDS.values())
    text = kind_document(kinds[0]).strip() if name else contract_document()
    answer = {"version": VERSION, "kinds": kinds}
    session.output.answer(answer, lambda console: console.print(text, markup=False))
