"""`duecourse privacy ...`: what a person may ask of whoever holds their data, how long it is held, and the keys it is sealed with."""

import typer

from duecourse.commands.privacy_deeds import deeds
from duecourse.commands.privacy_due import due
from duecourse.commands.privacy_erase import erase
from duecourse.commands.privacy_export import export
from duecourse.commands.privacy_rotate import rotate


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Personal data: handing it out, erasing it, keeping it no longer than needed, sealing it.",
                        no_args_is_help=True)  # fmt: skip
    for command in (export, erase, due, deeds, rotate):
        group.command(command.__name__)(command)
    app.add_typer(group, name="privacy")
