"""What a dialler reports, on its way from a file into the book."""

import logging
from datetime import datetime
from pathlib import Path

from duecourse.people import record_outcome
from duecourse.reports import learnt_of, promised_of
from duecourse.wiring import Works
from store.tables import Contact, Loan
from workflows.desk.dialler_results import Row, import_results
from workflows.desk.reporting import OfBatch
from workflows.importing import Imported

log = logging.getLogger(__name__)

NOBODY = "dialler"
"""Who reports where a row names no agent."""


def take_results(works: Works, file: Path, now: datetime) -> Imported:
    """Take a results file in; raises like `workflows.desk.dialler_results.import_results`."""

    def record(row: Row, batch: OfBatch) -> None:
        with works.database.session() as session:
            contact = session.get_one(Contact, row.contact)
            currency = session.get_one(Loan, contact.loan_id).currency
        due = row.due_on.isoformat() if row.due_on is not None else None
        record_outcome(
            works, row.contact, row.outcome, agent=row.agent or NOBODY, now=row.at, call_at=row.call_at, batch=batch,
            promised=promised_of(row.amount, due, currency), learnt=learnt_of(row.said, row.marks, ""),
        )  # fmt: skip

    def late(row: Row, until: datetime) -> None:
        extra = {"action": "alert", "contact": row.contact, "until": until.isoformat()}
        log.warning("a dialler called after its time was over", extra=extra)

    return import_results(works.database, file, now=now, record=record, late=late)
