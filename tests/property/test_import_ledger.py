"""The import's rules for movements are the ledger's own: what one takes, the other takes."""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from engine.errors import DataError
from store.columns import from_us, to_us
from store.db import Database
from store.ledger import NewMovement, record
from store.ledger_checks import KINDS
from store.tables import Loan
from tests.factories import at
from tests.imports import AS_OF, LOANS, NOW, PEOPLE, Importer, rejects
from tests.opening import open_database

DAY = date(2026, 2, 10)
STORED = (
    ("S1", "L1", "payment", 5, 0, None), ("S2", "L1", "pending_debit", 5, 0, None), ("S3", "L1", "pending_debit", 5, 0, None),
    ("S4", "L1", "payment", 5, 0, "S3"), ("S5", "L1", "waiver", 3, 0, None), ("S6", "L1", "reversal", 3, 0, "S5"),
    ("S7", "L2", "fee", 5, 0, None), ("S8", "L1", "charge_off", 5, 1, None),
)  # fmt: skip
"""A ledger with something of everything: open, ended, ending."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a movement file: amount in whole yen or yuan, days from `DAY`."""

    ref: str
    loan: str
    kind: str
    amount: int
    day: int
    ends: str | None
    recorded_day: int = 0

    def movement(self, loans: dict[str, int]) -> NewMovement:
        """As the ledger's own door takes it."""
        digits = 1 if self.loan == "L2" else 100
        return NewMovement(
            loan_id=loans[self.loan],
            kind=self.kind,
            amount_minor=self.amount * digits,
            effective_on=DAY + timedelta(days=self.day),
            recorded_at=at(DAY + timedelta(days=self.recorded_day), 12),
            source="core",
            ref=self.ref,
            ends=("core", self.ends) if self.ends else None,
        )


refs = st.sampled_from(["S1", "S2", "S3", "S5", "S7", "S8", "A", "B", "C", "D", "E", "F"])
lines = st.builds(
    Line,
    ref=refs,
    loan=st.sampled_from(["L1", "L1", "L1", "L2"]),
    kind=st.sampled_from(sorted(KINDS)),
    amount=st.sampled_from([3, 5, 5, 5, 8]),
    day=st.sampled_from([-1, 0, 0, 0, 1, 2]),
    ends=st.none() | refs,
    recorded_day=st.sampled_from([0, 0, 1]),
)
chains = st.tuples(lines, lines, lines, st.permutations(["A", "B", "C"])).map(
    lambda drawn: [
        replace(drawn[0], ref=drawn[3][0], kind="pending_debit", ends=None),
        replace(drawn[1], ref=drawn[3][1], kind="payment", ends=drawn[3][0], amount=5, day=0),
        replace(drawn[2], ref=drawn[3][2], kind="reversal", ends=drawn[3][1]),
    ]
)
"""A debit, its payment, its reversal, nearly right: random lines alone hardly ever make one."""
batches = st.tuples(st.lists(lines, max_size=5), st.lists(chains, max_size=1)).flatmap(
    lambda parts: st.permutations([*parts[0], *(line for chain in parts[1] for line in chain)])
)


@pytest.fixture(scope="module")
def ledger(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Importer]:
    """A book with that ledger."""
    folder = tmp_path_factory.mktemp("ledger")
    shutil.copyfile(sqlite_template, folder / "book.db")
    database = open_database(f"sqlite:///{folder / 'book.db'}")
    importer = Importer(database, folder)
    importer.take("people", PEOPLE)
    importer.take("loans", LOANS)
    with database.write() as session:
        record(session, [Line(*line).movement(loan_ids(session)) for line in STORED])
    yield importer
    database.close()


def loan_ids(session: Session) -> dict[str, int]:
    """Loan's ref -> id."""
    return {ref: loan_id for ref, loan_id in session.exec(select(Loan.ref, Loan.id)) if loan_id is not None}


def refused(database: Database, batch: list[Line]) -> bool:
    """Whether the ledger's own door refuses the batch; nothing is kept either way."""
    with database.write() as session:
        movements = [line.movement(loan_ids(session)) for line in batch]
        try:
            record(session, movements)
        except DataError:
            return True
        finally:
            session.rollback()
    return False


def text_of(batch: list[Line]) -> str:
    """The batch as a movement file."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("ref", "loan", "kind", "amount", "effective_on", "recorded_at", "ends"))
    for line in batch:
        on, recorded = DAY + timedelta(days=line.day), at(DAY + timedelta(days=line.recorded_day), 12)
        row = (line.ref, line.loan, line.kind, line.amount, on, from_us(to_us(recorded)).isoformat(), line.ends or "")
        writer.writerow(row)
    return file.getvalue()


@given(batch=batches)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_import_takes_what_the_ledger_takes(ledger: Importer, batch: list[Line]) -> None:
    """
    What the import takes of a batch the ledger takes as a whole; of what it rejects the ledger takes none beside it;
    and a batch that the ledger takes has no rejects.
    """
    result = ledger.take("movements", text_of(batch), dry_run=True, as_of=AS_OF, now=NOW)
    bad = {row for row, *_ in rejects(result)}
    taken = [line for row, line in enumerate(batch, start=2) if row not in bad]
    assert not refused(ledger.database, taken)
    assert refused(ledger.database, batch) == bool(bad)
    for ref in {line.ref for row, line in enumerate(batch, start=2) if row in bad}:
        # Rows that contradict each other are rejected together, so they are put back together.
        back = [line for row, line in enumerate(batch, start=2) if row in bad and line.ref == ref]
        assert refused(ledger.database, [*taken, *back])
