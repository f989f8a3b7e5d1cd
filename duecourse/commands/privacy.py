"""`duecourse privacy ...`: what is on file about people, and the keys it is sealed with."""

import typer

from duecourse.commands.privacy_rotate import rotate


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Personal data: the keys it is sealed with.", no_args_is_help=True)
    group.command("rotate")(rotate)
    app.add_typer(group, name="privacy")
