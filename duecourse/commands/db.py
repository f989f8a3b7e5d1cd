"""`duecourse db ...`: the database's schema, and whether it is production."""

from contextlib import closing
from typing import Annotated

import typer

from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The database: its schema, and whether it may reach real people.", no_args_is_help=True)
    group.command("upgrade")(upgrade)
    group.command("environment")(environment)
    app.add_typer(group, name="db")


def upgrade(context: typer.Context) -> None:
    """
    Bring the database's schema up to this version of Duecourse.

    A book from before personal data was sealed is sealed now, with a key that is made where there is none.
    """
    from duecourse.keys import add_key, has_keys
    from store.db import open_database

    session: Session = context.obj
    workspace, seal = session.workspace, session.workspace.settings.seal
    with closing(open_database(workspace.database_url)) as database:
        kept = has_keys(workspace.folder, seal) or database.is_sealed()
        made = None if kept else add_key(workspace.folder, seal)
    with closing(workspace.unchecked_database()) as database:
        before, after = database.upgrade()
        database.check()
    text = f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do"
    if made is not None:
        text += f"\n{seal.keys_file} is new: keep a copy of it, where copies of the database are not"
    answer = {"before": before, "after": after, "key": made.id if made is not None else None}
    session.output.answer(answer, lambda console: console.print(text, markup=False))


def environment(
    context: typer.Context,
    value: Annotated[str | None, typer.Argument(help="development or production; nothing: only show")] = None,
    sending: Annotated[str | None, typer.Option(help="on or off: the switch that stops all sending")] = None,
) -> None:
    """
    Show or set what this database is. Real providers are reached only where it says production and sending is on.

    The marker is in the database itself and names that very database: a copy, restored for a test or in an
    emergency, reaches nobody until it is told what it is.
    """
    from store.identity import declare_environment
    from store.settings import read_setting, write_setting

    session: Session = context.obj
    with session.database.write() as transaction:
        for name, wanted, allowed in (
            ("environment", value, ("development", "production")),
            ("sending", sending, ("on", "off")),
        ):
            if wanted is not None:
                if wanted not in allowed:
                    raise typer.BadParameter(f"{name} is {' or '.join(allowed)}")
                if name == "environment":
                    declare_environment(session.database, transaction, wanted)
                else:
                    write_setting(transaction, name, wanted)
        answer = {name: read_setting(transaction, name) for name in ("environment", "sending")}
    text = f"environment: {answer['environment']}, sending: {answer['sending']}"
    session.output.answer(answer, lambda console: console.print(text))
