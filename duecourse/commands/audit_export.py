"""`duecourse audit export`: a stretch of the log for a regulator, with the proof that nothing of it is missing or changed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant
from duecourse.session import Session
from engine.errors import DataError, DuecourseError, Problem, ProofError

if TYPE_CHECKING:
    from compliance.checkpoint import PublicKey


class Form(StrEnum):
    """How tables are written."""

    csv = "csv"
    parquet = "parquet"


def export(
    context: typer.Context,
    since: Annotated[str, typer.Option("--from", help="what happened at this instant or later")],
    until: Annotated[str, typer.Option("--to", help="and before this one")],
    out: Annotated[Path, typer.Option(help="the folder to make")],
    form: Annotated[Form, typer.Option("--format", help="how tables are written")] = Form.csv,
    at: At = None,
) -> None:
    """
    Export the log of a period as tables with a manifest and a proof: decisions, verdicts, contacts, consents, overrides, deeds.

    Ids and hashes only. Whoever gets the folder checks it without us: python verify_proof.py FOLDER --keys KEYS
    Exit code 3: the log is not what was signed. 4: no key is at hand by which to tell.
    """
    from workflows.regulator.export import export as run

    session: Session = context.obj
    begins, ends = instant(since), instant(until)
    if begins >= ends:
        raise DataError(Problem("the period ends before it begins", "write `--from` before `--to`"))
    with session.output.progress("exporting") as progress:
        made = run(
            session.database, out, keys_to_prove_by(session), since=begins, until=ends, form=form.value,
            now=session.rehearsed(at), progress=progress,
        )  # fmt: skip
    answer = {"folder": str(out), "from": made.start, "to": made.end, "rows": made.rows, "sha256": made.digest}
    lines = [f"{table}: {rows:,}" for table, rows in made.rows.items()]
    lines.append(f"{out}: positions {made.start:,} to {made.end - 1:,} of the log")
    lines.append(f"SHA-256 {made.digest}  manifest.json")
    session.output.answer(answer, lambda console: console.print("\n".join(lines), markup=False))


def keys_to_prove_by(session: Session) -> "tuple[PublicKey, ...]":
    """
    The log's public keys.

    Raises:
        ProofError: what stands in their file is no keys: as where there is none, nobody can tell.
    """
    from duecourse.audit import public_keys

    try:
        return public_keys(session.workspace)
    except DuecourseError as error:
        raise ProofError(error.problems, unknown=True) from None
