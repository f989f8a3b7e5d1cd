"""The `duecourse` command: nouns and verbs, one file per sub-command, heavy work imported only when it runs."""

import atexit
import gc
import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from duecourse.logs import log_as_sentences
from duecourse.output import Output
from duecourse.session import Session
from engine.errors import DuecourseError

app = typer.Typer(
    name="duecourse",
    help="Decides and carries out what happens to a loan after it is paid out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS = (
    "init", "db", "settings", "importing", "rules", "packs", "gate", "stages", "sweep", "dispatch", "schedule", "serve", "listen", "status", "inbox",
    "reconcile", "decide", "log", "audit", "loan", "move", "tasks", "visits", "letters", "dialler", "legal", "contact", "consents",
    "endpoints", "privacy", "events", "duties", "demo",
)  # fmt: skip
"""Every module of `duecourse.commands`, in the order `--help` shows them; each has a `register(app)`."""


@app.callback()
def everything(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", envvar="DUECOURSE_WORKSPACE", help="folder with duecourse.yaml [default: here]"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="DUECOURSE_JSON", help="answer as one JSON document")
    ] = False,
) -> None:
    """Options that every command understands stand before its name."""
    context.obj = Session(workspace, Output(as_json=as_json))


for _name in _COMMANDS:
    importlib.import_module(f"duecourse.commands.{_name}").register(app)


def main() -> None:
    """Run one command; what the user can mend is said in words, never as a traceback."""
    # A command makes much and drops little: searching all of it for circles, again and again and once more at the very
    # end, was two fifths of the time of a short one.
    gc.set_threshold(50_000, 10, 10)
    atexit.register(_spare_the_last_search)
    log_as_sentences()
    try:
        app()
    except DuecourseError as e:
        # Whatever stood on the command line, so that a program that asked for JSON gets its errors as JSON too.
        Output(as_json="--json" in sys.argv[1:]).fail(e)


def _spare_the_last_search() -> None:
    # DuckDB counts what is left of it at the end, complains of it, and is in circles.
    if "duckdb" not in sys.modules:
        gc.freeze()
