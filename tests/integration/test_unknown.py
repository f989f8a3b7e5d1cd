"""What is not known means no contact, an alert, and a count that the operator sees; it never costs another loan its decision."""

import json
from datetime import timedelta

import pytest
from sqlmodel import Session, col, select

from compliance import BulkGate, Gate, shipped_packs
from engine.matching import InterpreterMatcher
from store.db import Database
from store.tables import Consent, DecisionRow, Person, Run
from tests.sweep_books import NOW, LoanSpec, PersonSpec, fill, rulebook
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.sweep import plan_sweep, sweep

BOOK = tuple(PersonSpec((LoanSpec(5),)) for _ in range(6))


def gate() -> BulkGate:
    return BulkGate(Gate(shipped_packs(), ["CN"]))


def people(session: Session) -> list[Person]:
    return list(session.exec(select(Person).order_by(col(Person.id))))


def spoil(database: Database) -> list[int]:
    """Two whose statements nobody can read, one whose zone is none, one in a place whose law nobody knows; whose they are."""
    fill(database, BOOK)
    with database.write() as session:
        everybody = people(session)
        for n, (person, detail) in enumerate(zip(everybody, ("{", '{"windows": [{"days": 5}]}'), strict=False)):
            session.add(
                Consent(
                    person_id=person.id,
                    kind="consent",
                    received_at=NOW,
                    recorded_at=NOW,
                    ref=f"c{n}",
                    detail_json=detail,
                )
            )
        everybody[2].zones = "Mars/Olympus"
        everybody[3].country = "DE"
        return [person.id or 0 for person in everybody[:4]]


WANTED = {"unknown.statement": 2, "unknown.zone": 1, "unknown.jurisdiction": 1}


def unknown(counts: object) -> dict[str, int]:
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if name.startswith("unknown.")}


def alerts(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    found = [record for record in caplog.records if getattr(record, "action", "") == "alert"]
    return sorted((record.unknown, record.count) for record in found)  # type: ignore[attr-defined]


def test_a_sweep_withholds_counts_and_tells_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Every loan is decided; the spoiled ones are withheld, each kind is told once with its number, by ids only."""
    spoiled = spoil(database)
    assert unknown(dict(plan_sweep(database, rulebook(), gate(), now=NOW).counts)) == WANTED
    assert alerts(caplog) == []
    result = sweep(database, rulebook(), gate(), now=NOW, loans_per_chunk=2)
    assert unknown(dict(result.counts)) == WANTED
    with database.session() as session:
        rows = session.exec(select(DecisionRow)).all()
        stored = json.loads(session.exec(select(Run.counts_json)).one())
        borrowers = {person.id for person in people(session)}
    assert {row.borrower_id for row in rows} == borrowers
    assert {row.borrower_id for row in rows if "gate.unknown." in row.reasons} == set(spoiled)
    assert {row.outcome for row in rows if row.borrower_id in spoiled} == {"withheld"}
    assert {row.outcome for row in rows if row.borrower_id not in spoiled} <= {"contact", "wait"}
    assert unknown(stored) == WANTED
    assert alerts(caplog) == [("jurisdiction", 1), ("statement", 2), ("zone", 1)]


def test_an_event_tells_as_well(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The same of a micro-batch of events, which is a run of its own."""
    spoiled = spoil(database)
    rules = rulebook()
    decide_borrowers(
        database, rules, gate(), borrower_ids=spoiled, now=NOW + timedelta(hours=1),
        matcher=InterpreterMatcher(rules.strategies),
    )  # fmt: skip
    assert alerts(caplog) == [("jurisdiction", 1), ("statement", 2), ("zone", 1)]
