"""`duecourse privacy ...`: what a person may ask of whoever holds their data, and how long it is held."""

import typer

from duecourse.commands.privacy_deeds import deeds
from duecourse.commands.privacy_due import due
from duecourse.commands.privacy_erase import erase
from duecourse.commands.privacy_export import export


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="A person's own data: handing it out, erasing it, keeping it no longer than needed.",
                        no_args_is_help=True)  # fmt: skip
    group.command("export")(export)
    group.command("erase")(erase)
    group.command("due")(due)
    group.command("deeds")(deeds)
    app.add_typer(group, name="privacy")
