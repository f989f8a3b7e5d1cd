"""`duecourse packs ...`: the law and the house rules that the gate asks."""

from pathlib import Path
from typing import Annotated

import typer

from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session
from engine.errors import DataError, Problem


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The law and house packs that the gate asks.", no_args_is_help=True)
    group.command("list")(list_packs)
    group.command("show")(show)
    group.command("test")(test)
    app.add_typer(group, name="packs")


def list_packs(context: typer.Context) -> None:
    """List every pack with its rules' provenance: what nobody has read is called unverified."""
    from rich.text import Text

    session: Session = context.obj
    packs = session.workspace_or_shipped.gate.packs
    drawn = table("pack", "title", "rules", "verified", "secondary", "unverified")
    answer = []
    for pack in packs:
        counts = {name: sum(rule.provenance == name for rule in pack.rules) for name in _PROVENANCES}
        answer.append({"pack": pack.id, "title": pack.title_en, "rules": len(pack.rules), **counts})
        drawn.add_row(pack.id, Text(pack.title_en), str(len(pack.rules)), *(str(n) for n in counts.values()))
    session.output.answer(answer, lambda console: console.print(drawn))


_PROVENANCES = ("verified", "secondary", "unverified")


def show(context: typer.Context, pack: Annotated[str, typer.Argument(help="e.g. cn.cba2026")]) -> None:
    """Say what each rule of a pack does, and where that is written."""
    from rich.text import Text

    session: Session = context.obj
    packs = {p.id: p for p in session.workspace_or_shipped.gate.packs}
    if pack not in packs:
        raise DataError(Problem(f"no pack `{pack}`", "`duecourse packs list` shows them"))
    found = packs[pack]
    drawn = table("rule", "says", "citation", "status", "provenance")
    answer = []
    for rule in found.rules:
        row = (rule.id, rule.says_en, rule.citation, rule.status, rule.provenance)
        answer.append(dict(zip(("rule", "says", "citation", "status", "provenance"), row, strict=True)))
        drawn.add_row(*(Text(str(cell)) for cell in row))
    session.output.answer(answer, lambda console: console.print(f"{found.id}: {found.title_en}", drawn))


def test(context: typer.Context, files: Annotated[list[Path], typer.Argument(help="case files")]) -> None:
    """Run case files against the packs they name; exit 3 when a case fails."""
    from compliance import run_cases
    from config.files import read_text

    session: Session = context.obj
    packs = session.workspace_or_shipped.gate.packs
    results = [result for file in files for result in run_cases(read_text(file, str(file)), str(file), packs)]
    failed = [result for result in results if not result.passed and not result.skipped]
    skipped = sum(bool(result.skipped) for result in results)
    if session.output.as_json:
        for result in results:
            session.output.line(result)
    else:
        for result in failed:
            lines = "\n  ".join((f"{result.id}: {result.title}", *result.trace))
            session.output.out.print(lines, markup=False)
        passed = len(results) - len(failed) - skipped
        session.output.out.print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    if failed:
        raise typer.Exit(ANSWER_IS_NO)
