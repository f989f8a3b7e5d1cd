"""`duecourse init DIR`: a lender's own workspace."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from duecourse.session import Session
from engine.errors import Problem, SettingsError

_SETTINGS = """\
# How this Duecourse runs. `duecourse config show` lists every setting and where its value came from;
# DUECOURSE_* in the environment goes before this file (DUECOURSE_LENDER__NAME for lender.name).
database: sqlite:///data/duecourse.db
zone: Asia/Shanghai
language: en
actor: first_party
lender:
  name: Example Lender
  phone: "+1 555 0100"
  url: https://lender.example
# sms: {account_sid: ..., from_number: "+15550100"}   # token: DUECOURSE_SMS__AUTH_TOKEN
# mail: {host: mail.lender.example, from_address: care@lender.example}
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    database: Annotated[
        str | None, typer.Option(help="postgresql://... or sqlite:///file [default: in DIR/data]")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            help="deal people to strategy arms by this word, for a rehearsal that others can repeat [default: a secret]"
        ),
    ] = None,
) -> None:
    """Make a workspace: strategies, templates, house pack, queues, settings and an empty database."""
    from hashlib import sha256

    session: Session = context.obj
    create_workspace(folder, database, bucket_key=None if seed is None else sha256(seed.encode()).hexdigest()[:32])
    session.folder = folder
    value = {"workspace": str(folder), "database": session.workspace.database_url}

    said = _WELCOME.format(folder=folder)
    seal = session.settings.seal
    if seal.keys is None:
        said += _KEEP_KEYS.format(file=seal.keys_file)
    session.output.answer(value, lambda console: console.print(said, markup=False))


_WELCOME = """\
{folder} is ready. Next:
  duecourse -w {folder} rules check        are the strategies sound?
  duecourse -w {folder} import FOLDER      bring in your book (docs/data-contract.md)
  duecourse -w {folder} sweep              decide for every loan
  duecourse -w {folder} serve              keep doing it, every day"""

_KEEP_KEYS = "\nKeep a copy of {file} where copies of the database are not: without it nobody reads the names in it."


def create_workspace(folder: Path, database: str | None = None, *, bucket_key: str | None = None) -> None:
    """
    Lay out a workspace and create its database, with a key of its own unless the environment hands one in.

    Args:
        bucket_key: secret hex text that deals strategy arms; by default one that nobody can guess.
    Raises:
        SettingsError: the folder holds a workspace or other files already.
        StoreError: the database cannot be created.
    """
    import secrets

    from duecourse.keys import add_key, has_keys
    from duecourse.workspace import open_workspace, shipped_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(Problem(f"`{folder}` is not an empty folder", "name a new one"))
    shipped = shipped_folder()
    (folder / "data").mkdir(parents=True)
    shutil.copytree(shipped / "rules", folder / "rules", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    (folder / "config").mkdir()
    for name in ("queues.yaml", "schedule.yaml"):
        shutil.copy(shipped / "config" / name, folder / "config" / name)
    shutil.copytree(shipped / "compliance" / "packs" / "house", folder / "packs")
    settings = _SETTINGS if database is None else _SETTINGS.replace("sqlite:///data/duecourse.db", database)
    (folder / "duecourse.yaml").write_text(settings, encoding="utf-8")
    workspace = open_workspace(folder, {})
    if not has_keys(folder, workspace.settings.seal):
        add_key(folder, workspace.settings.seal)
    with closing(workspace.unchecked_database()) as opened:
        opened.create(bucket_key=bucket_key or secrets.token_hex(16))
