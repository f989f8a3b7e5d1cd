"""`duecourse privacy rotate`: another key for what is personal."""

from typing import Annotated

import typer

from duecourse.clock import At, instant
from duecourse.session import Session


def rotate(
    context: typer.Context,
    by: Annotated[str, typer.Option(help="who; kept in the log, withheld", envvar="DUECOURSE_AGENT")] = "",
    at: At = None,
) -> None:
    """
    Make a new key for personal data, and seal everything anew with it.

    Others may go on working meanwhile. Broken off, the next call goes on where it stopped, with the same key. Keys that
    come from the environment are not made here: put the new one first there, and this seals with it.
    """
    from duecourse.keys import rotate_keys

    session: Session = context.obj
    with session.output.progress("sealing anew") as progress:
        workspace = session.workspace
        done = rotate_keys(
            workspace.folder, workspace.settings.seal, session.database, by=by, now=instant(at),
            progress=lambda rows: progress(rows, rows),
        )  # fmt: skip
    answer = {"key": done.key, "made": done.made, "rows": done.rows, "former": list(done.former)}
    if done.former:
        former = ", ".join(f"`{one}`" for one in done.former)
        last = (
            f"nothing in the database needs {former} any more: take that out of {done.place} once every backup made until "
            "now is gone"
        )
    else:
        last = "there is no other key"
    text = f"{done.rows:,} rows sealed anew; `{done.key}` seals now\n{last}"
    session.output.answer(answer, lambda console: console.print(text, markup=False))
