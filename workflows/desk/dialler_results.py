"""
What a dialler reports of the calls it was given: each row becomes the outcome of its task, with everything that follows.

A row that cannot be taken is rejected with its reason and mend, as in every import; the same row again changes nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from engine.errors import DuecourseError
from engine.facts import Catalogue
from store.columns import from_us
from store.db import Database
from store.tables import Batch, BatchItem
from workflows.desk.outcome_file import outcomes
from workflows.desk.reporting import OfBatch
from workflows.importing import rejects
from workflows.importing.check import check_rows
from workflows.importing.contract import Column, Kind
from workflows.importing.delivery import Delivery, Imported
from workflows.importing.read import read_source

RESULTS: Final = Kind(
    "results",
    "contact",
    "What a dialler reports of the calls that `duecourse dialler export` gave it.",
    (
        Column("batch", "int", "the column `batch` of the exported file", required=True),
        Column("contact", "ref", "its column `contact`", required=True),
        Column("at", "instant", "when it was called, or when it was given up", required=True, past=True),
        Column(
            "outcome", "word", "what came of it; `not_tried` where nobody was called", required=True,
            values=tuple(outcomes()["call"]),
        ),
        Column("agent", "text", "who spoke; empty: nobody"),
        Column("amount", "text", "of a promise: the amount, in major units of the loan's currency, e.g. 1200.50"),
        Column("due_on", "date", "of a promise: its day"),
        Column("call_at", "instant", "of a `call_back`: when they want to be called"),
        Column("said", "text", "what they said about being contacted, as with `--said`; several with `;` between"),
        Column("marks", "text", "what is known now against the number, as with `--mark`; several with `;` between"),
    ),
    ("batch", "contact"),
)  # fmt: skip
"""The contract of a results file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a results file, typed. `said` and `marks` as they were written."""

    batch: int
    contact: str
    at: datetime
    outcome: str
    agent: str | None
    amount: str | None
    due_on: date | None
    call_at: datetime | None
    said: tuple[str, ...]
    marks: tuple[str, ...]

    @property
    def content(self) -> str:
        """Everything it says, in one spelling."""
        said = {
            "at": self.at.isoformat(), "outcome": self.outcome, "agent": self.agent, "amount": self.amount,
            "due_on": self.due_on.isoformat() if self.due_on else None,
            "call_at": self.call_at.isoformat() if self.call_at else None,
            "said": list(self.said), "marks": list(self.marks),
        }  # fmt: skip
        return json.dumps(said, sort_keys=True, ensure_ascii=False)


Record = Callable[[Row, OfBatch], None]
"""Writes a row down as the outcome of its task; DuecourseError where it cannot."""
Late = Callable[[Row, datetime], None]
"""Told of a call that was made after its time was over."""


def import_results(database: Database, path: Path, *, now: datetime, record: Record, late: Late) -> Imported:
    """
    Take a results file in. Each row is a transaction of its own, as if an agent had reported it; a killed import goes on
    where it stopped when the file is imported again.

    Raises:
        DataError: the file is not what it says it is.
    """
    import duckdb

    with duckdb.connect() as con:
        file = read_source(path, RESULTS)
        nothing = Catalogue({}, {})
        delivery = Delivery(con, RESULTS, file, "dialler", now, now, nothing, "", database.dialect, lambda _: None)
        delivery.register()
        check_rows(delivery)
        added = 0
        rows = con.execute("select * from good order by row").fetchall()
        for number, *values in rows:
            row = _row(values)
            item, problem = _batch_of(database, row)
            if item is not None:
                problem = _take(item, row, record, late)
                added += problem is None
            if problem is not None:
                reason, mend = problem
                con.execute("insert into reject values (?, ?, ?, ?)", [number, "", reason, mend])
        # The copy of a row that was rejected is no better than that row.
        rejects.reject_copies(con)
        rejected = rejects.count(con)
        written = rejects.write(con, path)
        return Imported(
            kind=RESULTS.name, file=str(path), rows=file.count, added=added, changed=0,
            same=file.count - added - rejected, rejected=rejected, reasons=rejects.reasons(con),
            rejects_file=str(written) if written else None,
        )  # fmt: skip


def _row(values: list[Any]) -> Row:
    batch, contact, at, outcome, agent, amount, due_on, call_at, said, marks = values
    return Row(
        batch, contact, from_us(at), outcome, agent, amount, due_on, None if call_at is None else from_us(call_at),
        _several(said), _several(marks),
    )  # fmt: skip


def _several(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(";") if part.strip())


def _batch_of(database: Database, row: Row) -> tuple[BatchItem | None, tuple[str, str] | None]:
    """
    The item of a batch that a row is about, with nothing reported of it yet.

    Returns:
        None where the row was taken before; and why it cannot be taken.
    """
    with database.session() as session:
        item = session.get(BatchItem, (row.batch, row.contact))
        batch = session.get(Batch, row.batch)
        session.expunge_all()
    if item is None or batch is None or batch.kind != "dialler":
        return None, ("was not in that batch of a dialler", "write `batch` and `contact` as they were exported")
    if item.result_json == row.content:
        return None, None
    if item.result_json != "{}":
        return None, ("was reported with other content", "what came first stays; write the difference down by hand")
    if batch.status == "void":
        return None, ("is of a batch that was given back", "if it was called, use `duecourse contact record`")
    if row.at < batch.made_at:
        return None, ("was called before it was exported", "correct `at`")
    return item, None


def _take(item: BatchItem, row: Row, record: Record, late: Late) -> tuple[str, str] | None:
    try:
        record(row, OfBatch("dialler", item.batch_id, row.content))
    except DuecourseError as error:
        return error.problems[0].what, error.problems[0].mend
    if item.until_at is not None and row.at > item.until_at and row.outcome != "not_tried":
        late(row, item.until_at)
    return None
