"""What a review says: sections of text, tables and one map of hours. HTML and PDF are drawn from the same."""

from dataclasses import dataclass

from channels.paper import Document, Part


@dataclass(frozen=True, slots=True)
class Number:
    """
    A number, with the list of what it counts.

    Attributes:
        of: the list's name; empty where it counts nothing, or what stands in no list.
    """

    value: int
    of: str = ""
    bad: bool = False

    def __str__(self) -> str:
        return f"{self.value:,}"


Cell = str | Number


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a heading and a sentence; numbers stand to the right. `wide`: shares of the width for the PDF."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    wide: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """
    Contacts by weekday (0 = Monday) and hour.

    Attributes:
        cells: 7 rows of 24. closed: hours in which a rule that was about some contact is closed throughout.
    """

    cells: tuple[tuple[Number, ...], ...]
    closed: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a review."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    map: HeatMap | None = None
    findings: int = 0
    """Of how many breaches it tells."""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole review. `figures` stand at the top; `entries`: where the lists are, from its own folder."""

    title: str
    head: tuple[str, ...]
    figures: tuple[tuple[str, Number], ...]
    sections: tuple[Section, ...]
    entries: str = "entries"
    findings: int = 0

    @property
    def verdict(self) -> str:
        """What it comes to."""
        if not self.findings:
            return "Nothing was found that breaks a rule."
        said = "1 finding breaks a rule" if self.findings == 1 else f"{self.findings:,} findings break a rule"
        return f"! {said}: see Breaches and Integrity."


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def as_document(report: Report) -> Document:
    """The same for paper: every number a link to its list, as far as a reader of PDF follows it."""
    parts = [
        _part(
            "In figures",
            (),
            Table(("", "number"), tuple((name, number) for name, number in report.figures), wide=(5, 1)),
            report,
        )
    ]
    for section in report.sections:
        text = section.text
        tables = [*section.tables, *([_hours(section.map)] if section.map is not None else [])]
        if not tables:
            parts.append(Part(section.title, text))
        for table in tables:
            title = section.title if not table.title else f"{section.title}: {table.title}"
            parts.append(_part(title, (*text, *([table.note] if table.note else [])), table, report))
            text = ()
    return Document(report.title, (*report.head, report.verdict), tuple(parts), report.title)


def _part(title: str, text: tuple[str, ...], table: Table, report: Report) -> Part:
    links = {
        (y, x): f"{report.entries}/{cell.of}.html"
        for y, row in enumerate(table.rows)
        for x, cell in enumerate(row)
        if isinstance(cell, Number) and cell.of
    }
    right = frozenset(x for row in table.rows for x, cell in enumerate(row) if isinstance(cell, Number))
    rows = tuple(tuple(_said(cell) for cell in row) for row in table.rows)
    return Part(title, text, table.columns, rows, table.wide, right=right, links=links)


def _said(cell: Cell) -> str:
    return f"! {cell}" if isinstance(cell, Number) and cell.bad else str(cell)


def _hours(heat: HeatMap) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for hour in range(24):
        row = [heat.cells[day][hour] for day in range(7)]
        marks = ", ".join(DAYS[day] for day in range(7) if (day, hour) in heat.closed)
        closed = "every day" if marks.count(",") == 6 else marks
        if any(number.value for number in row) or 7 <= hour < 22:
            rows.append((f"{hour:02}:00", *row, closed))
    return Table(
        ("local hour", *DAYS, "closed by a rule"), tuple(rows), "by weekday and local hour", (1.3, *[0.8] * 7, 2.6)
    )
