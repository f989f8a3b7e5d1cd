"""How commands answer: results on stdout as text or one JSON document, problems and progress on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from engine.errors import DuecourseError, Problem, ProofError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_WIDTH = 1_000
"""What reads a pipe wants whole lines: nothing is wrapped or cut there."""

DONE, COULD_NOT_RUN, USED_WRONGLY, ANSWER_IS_NO, CANNOT_TELL = 0, 1, 2, 3, 4


class Output:
    """Where a command's words go. One per process; `json` is set by the global `--json` flag."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @cached_property
    def out(self) -> "Console":
        """Where results go."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True, width=_width())

    @cached_property
    def err(self) -> "Console":
        """Where everything else goes."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def answer(self, value: Any, draw: "Callable[[Console], None]") -> None:
        """Give the result: `value` as JSON under `--json`, else whatever `draw` prints."""
        if self.as_json:
            typer.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))
        else:
            draw(self.out)

    def line(self, value: Any) -> None:
        """One JSON object on a line of its own, for answers that are a stream of cases."""
        typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        self.err.print(text, style="dim", markup=False)

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print problems with their mends to stderr: as text, or one JSON object a line."""
        for problem in problems:
            if self.as_json:
                at = problem.at
                place = {"file": at.file, "line": at.line, "column": at.column} if at else {}
                typer.echo(
                    json.dumps({**place, "what": problem.what, "mend": problem.mend}, ensure_ascii=False), err=True
                )
            else:
                self.err.print(str(problem), markup=False)

    def fail(self, error: DuecourseError) -> NoReturn:
        """Print every problem with its mend and stop: could not run; where a proof was asked for, no or cannot tell."""
        self.problems(error.problems)
        if isinstance(error, ProofError):
            raise SystemExit(CANNOT_TELL if error.unknown else ANSWER_IS_NO)
        raise SystemExit(COULD_NOT_RUN)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar on stderr, told (done, total); silent in pipes and under `--json`."""
        if self.as_json or not self.err.is_terminal:
            yield lambda _done, _total: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def table(*columns: str) -> "Table":
    """A table in the house style: on a narrow terminal its cells run on over several lines, and none is cut short."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    return drawn


def _width() -> int | None:
    # A terminal knows its width, and so does whoever sets COLUMNS.
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value, key=str)
    return str(value)
