"""
The invariants of DESIGN.md 11, checked over a finished run by code that shares nothing with the product.

It reads the database with plain SQL and compares with what the stand-ins took; the law is written out by hand.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tests.simulation import (
    calls,
    coverage,
    deadlines,
    hours,
    ladder,
    limits,
    money,
    privacy,
    sending,
    stopping,
    switches,
)
from tests.simulation.opener import teach
from tests.simulation.records import Handed, Records, Told, Violation

_CHECKS = (
    hours.hours,
    limits.limits,
    calls.recorded_calls,
    sending.histories,
    sending.logged_first,
    sending.once,
    sending.providers,
    sending.doubts,
    stopping.stopping,
    stopping.reopened,
    switches.switched_off,
    switches.sweeps,
    coverage.coverage,
    ladder.chains,
    ladder.duties,
    money.totals,
    money.positions,
    deadlines.deadlines,
    privacy.tables,
    privacy.messages,
)


def check(
    database: Path, handed: Sequence[Handed] | None = None, workspace: Path | None = None, told: Told | None = None
) -> list[Violation]:
    """
    Every violation found.

    Args:
        database: a SQLite file that nobody is writing.
        handed: what the stand-ins took, in order; None leaves that comparison out.
        workspace: a folder whose files must not hold personal data.
        told: what else the world outside knows; None: nothing was to fail.
    """
    records = Records(database, handed, told)
    try:
        found = [violation for one in _CHECKS for violation in one(records)]
        if workspace is not None:
            found += privacy.files(records, workspace)
        return found
    finally:
        records.close()


def fingerprint(database: Path) -> dict[str, str]:
    """
    One hash per kind of outcome: decisions, contacts, their histories, stages, promises.

    Loans and people go by the references they were imported with, so that two imports of the same book can be
    compared whatever order its rows were in.
    """
    records = Records(database)
    teach(records.connection, database)
    try:
        return {name: _hash(records, query) for name, query in _OUTCOMES.items()}
    finally:
        records.close()


def _hash(records: Records, query: str) -> str:
    rows = sorted(repr(tuple(row)) for row in records.connection.execute(query))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


_OUTCOMES = {
    "decisions": (
        "select r.kind, d.now_at, l.ref, d.on_on, d.strategy, d.arm, d.stage_before, d.stage_after, d.outcome, d.rule,"
        " c.ref, d.next_look_at, d.reasons, d.facts_json"
        " from decision d join run r on r.id = d.run_id join loan l on l.id = d.loan_id"
        " left join loan c on c.id = d.covered_by"
    ),
    "contacts": (
        "select l.ref, p.ref, opened('endpoint.value', e.value), c.role, c.channel, c.purpose, c.rule, c.name, c.queue, c.stage_entry, c.status,"
        " c.outcome, c.planned_at, c.not_before_at, c.expires_at, c.at, opened('contact.why', c.why), c.attempts"
        " from contact c join loan l on l.id = c.loan_id join person p on p.id = c.person_id"
        " left join endpoint e on e.id = c.endpoint_id"
    ),
    "histories": (
        "select l.ref, c.rule, c.channel, c.planned_at, s.status, s.at, opened('contact_status.why', s.why)"
        " from contact_status s join contact c on c.id = s.contact_id join loan l on l.id = c.loan_id"
    ),
    "stages": (
        "select l.ref, s.entry, s.source, s.target, s.on_on, s.at, s.cause, opened('stage_change.reason', s.reason)"
        " from stage_change s join loan l on l.id = s.loan_id"
    ),
    "duties": (
        "select d.rule, l.ref, d.start_on, d.due_on, d.escalate_on, d.owner, d.status, d.escalated_at, d.lapsed_at, opened('duty.evidence', d.evidence)"
        " from duty d left join loan l on l.id = d.loan_id"
    ),
    "promises": (
        "select l.ref, p.amount_minor, p.made_at, p.due_on, p.status, p.paid_minor, p.settled_on"
        " from promise p join loan l on l.id = p.loan_id"
    ),
}
