"""The lists behind the numbers: every row in a CSV file, and a page of the first ones for whoever only looks."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflows.review.page import HEAD, text_cell
from workflows.review.report import Number
from workflows.spreadsheet import cell, line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN_MAX: Final = 500
"""Rows on a list's page; all of them are in its file."""
_ROWS: Final = 10_000
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")
_COLUMNS: Final[Mapping[str, str]] = {
    "position": "its place in the log; empty: none yet",
    "entry": "the entry, as `duecourse audit show` and `audit prove` take it",
    "contact": "our id of the contact",
    "loan": "the loan's reference",
    "person": "the person's reference",
    "rule": "the rule it is about",
    "at": "when, UTC",
    "local": "when, by the strictest clock at the person's place",
    "what": "what there is to say of it",
}


class Lists:
    """
    Writes lists into a folder, each once.

    Attributes:
        rows: how many rows each has, by name.
    """

    def __init__(self, con: "DuckDBPyConnection", folder: Path) -> None:
        self._con, self._folder = con, folder
        self.rows: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def number(self, name: str, title: str, query: str, *, count: str = "count(*)", bad: bool = False) -> Number:
        """
        A number and its list.

        Args:
            query: gives the list: some of `_COLUMNS`, in its order; no text that somebody wrote.
            count: what of it is counted, e.g. the people in it.
        """
        name = _file_name(name)
        if name not in self.rows:
            self.rows[name] = self._write(name, title, query)
        if not self.rows[name]:
            return Number(0)
        value = self.rows[name]
        if count != "count(*)":
            ((value,),) = self._con.execute(f"select {count} from ({query})").fetchall()
        return Number(value, name, bad=bad and value > 0)

    def digest(self) -> str:
        """SHA-256 over the name and hash of every file, by name."""
        lines = (f"{digest_of(path)}  {path.name}\n" for path in sorted(self._folder.iterdir()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _write(self, name: str, title: str, query: str) -> int:
        """Write a list, where there is anything in it; how many rows it has."""
        found = self._con.execute(f"from ({query}) order by all")
        columns = [column[0] for column in found.description or ()]
        shown = found.fetchmany(SHOWN_MAX)
        if not shown:
            return 0
        rows = len(shown)
        with (self._folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(line(columns))
            file.writelines(map(_written, shown))
            while more := found.fetchmany(_ROWS):
                file.writelines(map(_written, more))
                rows += len(more)
        page = "".join(_page(name, title, columns, shown, rows))
        (self._folder / f"{name}.html").write_text(page, encoding="utf-8")
        return rows


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _written(row: tuple[Any, ...]) -> str:
    """A row of CSV. Whatever is empty here is not known: no cell needs to say that it is the empty text."""
    return line(
        cell(value) if isinstance(value, str) and value else "" if value is None else f"{value}" for value in row
    )


def _file_name(name: str) -> str:
    """The name where it can be one of a file on any system; else what of it can, and a hash of all of it."""
    plain = _ODD.sub("-", name)
    return name if plain == name else f"{plain[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _page(name: str, title: str, columns: list[str], shown: list[tuple[Any, ...]], rows: int) -> Iterator[str]:

    yield HEAD.format(title=escape(title))
    yield f'<p class="back"><a href="../review.html">Review</a></p>\n<h1>{escape(title)}</h1>\n'
    more = f"The first {len(shown):,} of {rows:,} rows" if rows > len(shown) else f"{rows:,} rows"
    yield f'<p>{more}; all of them: <a href="{name}.csv">{name}.csv</a>. Go on with <code>duecourse audit show ENTRY</code>, or <code>audit prove ENTRY</code>.</p>\n'
    said = "".join(f'<th scope="col" title="{escape(_COLUMNS.get(c, ""))}">{escape(c)}</th>' for c in columns)
    yield f'<div class="scroll"><table><thead><tr>{said}</tr></thead>\n<tbody>\n'
    for row in shown:
        yield "<tr>" + "".join(_cell(value) for value in row) + "</tr>\n"
    yield "</tbody></table></div>\n</main></body></html>\n"


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    return text_cell(str(value))
