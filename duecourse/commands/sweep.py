"""`duecourse sweep`: decide for the whole book."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from duecourse.clock import At, instant
from duecourse.session import Session
from engine.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(sweep)


def sweep(
    context: typer.Context,
    at: At = None,
    plan: Annotated[bool, typer.Option("--plan", help="only say what it would do")] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="decide nothing; write the book to Parquet files"),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="decide an exported book, not the database"),
    ] = None,
    decisions: Annotated[Path | None, typer.Option(metavar="DIR", help="where its decisions go")] = None,
    engine: Annotated[Literal["duckdb", "spark"] | None, typer.Option(help="who decides it [default: duckdb]")] = None,
    master: Annotated[
        str | None,
        typer.Option(envvar="DUECOURSE_SPARK_MASTER", help="Spark's master [default: local[*]]"),
    ] = None,
    sql: Annotated[bool, typer.Option("--sql", help="only print the statements that it runs, for an auditor")] = False,
) -> None:
    """
    Decide every loan now: move stages, plan contacts, and log why, also where the answer is to do nothing.

    A sweep that was stopped goes on where it was. Nothing is sent here: `duecourse dispatch` sends.
    With --facts and --decisions it is a rehearsal on files (docs/scale-out.md): the database is not touched.
    """
    session: Session = context.obj
    if sql:
        _print_sql(session)
    elif facts is not None or decisions is not None or engine is not None:
        if facts is None or decisions is None:
            raise typer.BadParameter("--facts and --decisions go together, with or without --engine")
        if plan or export is not None or at is not None:
            raise typer.BadParameter(
                "--facts decides an exported book for its own instant: leave --at, --plan, --export out"
            )
        _decide_files(session, facts, decisions, engine or "duckdb", master)
    elif export is not None:
        if plan:
            raise typer.BadParameter("--export decides nothing: leave --plan out")
        _export(session, export, instant(at))
    else:
        _sweep(session, instant(at), plan=plan)


def _print_sql(session: Session) -> None:
    from workflows.deciding.sweep_sql import sweep_sql

    statements = sweep_sql(session.workspace_or_shipped.rulebook)
    session.output.answer({"sql": statements}, lambda console: console.print(statements, end="", markup=False))


def _sweep(session: Session, at: "datetime", *, plan: bool) -> None:
    from workflows.alerts import PREFIX

    with session.output.progress("deciding") as progress:
        result = session.works.sweep(at, progress, plan=plan)
    answer = {"run": result.run_id, "now": result.now, "finished": result.finished, "brake": result.brake}
    head = "what a sweep would do" if plan else f"run {result.run_id}"
    _answer(session, answer, f"{head} at {result.now:%Y-%m-%d %H:%M}Z", result.counts)
    if unknown := ", ".join(
        f"{name.removeprefix(PREFIX)} {count:,}"
        for name, count in result.counts.items()
        if count and name.startswith(PREFIX)
    ):
        session.output.note(f"nobody is contacted where something is not known: {unknown}; `duecourse log` shows whom")
    if result.brake:
        session.output.note(f"the brake is on: {result.brake}; `duecourse dispatch --release` lets go")
    if result.failed:
        session.output.fail(StoreError(result.failed))


def _export(session: Session, folder: Path, at: "datetime") -> None:
    from duecourse.offline import export

    with session.output.progress("exporting") as progress:
        about = export(session.workspace, session.database, folder, now=at, progress=progress)
    answer = {"book": str(folder), "now": about.now, "loans": about.loans}
    text = f"{about.loans:,} loans as of {about.now:%Y-%m-%d %H:%M}Z in {folder}"
    session.output.answer(answer, lambda console: console.print(text, markup=False))


def _decide_files(
    session: Session, facts: Path, decisions: Path, engine: 'Literal["duckdb", "spark"]', master: str | None
) -> None:
    from duecourse.offline import decide_files

    with session.output.progress("deciding") as progress:
        about, counts = decide_files(
            session.workspace, facts, decisions, engine=engine, master=master or "local[*]", progress=progress
        )
    answer = {"engine": engine, "now": about.now, "decisions": str(decisions)}
    _answer(session, answer, f"what a sweep would do at {about.now:%Y-%m-%d %H:%M}Z, by {engine}", counts)


def _answer(session: Session, answer: "Mapping[str, object]", head: str, counts: "Mapping[str, int]") -> None:
    from rich.table import Table

    counted = {name: count for name, count in sorted(counts.items()) if count}
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, count in counted.items():
        table.add_row(name.replace(".", " "), f"{count:,}")
    session.output.answer({**answer, "counts": counted}, lambda console: console.print(head, table))
