"""`duecourse config show`: every setting, its value, and where the value came from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from duecourse.session import Session

if TYPE_CHECKING:
    from pydantic import BaseModel


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="How Duecourse is told to run.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="config")


def show(context: typer.Context) -> None:
    """List every setting, its value, and whether it is a default, from the file, the environment or a flag."""
    from rich.table import Table

    session: Session = context.obj
    workspace = session.workspace
    rows = [(name, value, workspace.origins.get(name, "default")) for name, value in _leaves(workspace.settings)]

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for name, value, origin in rows:
        table.add_row(name, str(value), origin)
    answer = [{"setting": name, "value": value, "from": origin} for name, value, origin in rows]
    session.output.answer(answer, lambda console: console.print(table))


def _leaves(model: "BaseModel", prefix: str = "") -> Iterator[tuple[str, Any]]:
    from pydantic import BaseModel

    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
