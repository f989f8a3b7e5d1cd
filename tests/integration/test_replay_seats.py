"""Who got the seats of limited queues, derived again: alike however a sweep went, and found where somebody gave a seat away."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from engine.judging import QUEUE_FULL
from engine.matching import LiveMatcherSet
from store.db import Database
from store.outbox import bump_versions
from store.situations import Happened
from store.snapshots import digest_of, pack_seats, unpack
from store.tables import DecisionRow, Loan, Run, Snapshot
from tests.replaying import drawn, few_packs, flawless, scalars, tampered
from workflows.deciding import sweep as sweeping
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.sweep import sweep
from workflows.replay.findings import Chosen
from workflows.replay.replay import replay
from workflows.replay.seats import NO_SEATS, WISH

LOANS = 120


def decided(database: Database, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep with few seats that is stopped, goes on, and is overtaken by changes; then an event for some of its borrowers."""
    chance = Random(seed)
    write_book(database, LOANS, on=ON)
    workspace = few_packs()
    queues = {
        name: replace(one, capacity_per_day=chance.choice((0, 1, 2, 4))) for name, one in workspace.queues.items()
    }
    real, rounds = sweeping.packed_round, []

    def packed_round(queues: Any, zone: Any, taken: Any, candidates: Iterable[bytes], *, at: datetime) -> bytes:
        # Somebody changes after the seats were given out, or was sure to get none: their last look is under lock.
        portions = list(candidates)
        waiting = [borrower for borrower, _ in orjson.loads(b"[" + b",".join(portions) + b"]")]
        with database.write() as session:
            bump_versions(session, chance.sample(waiting, min(3, len(waiting))))
        rounds.append(len(waiting))
        return real(queues, zone, taken, portions, at=at)

    asked = iter([False] * chance.randrange(1, 8) + [True])
    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "packed_round", packed_round)
        for stop in (lambda: next(asked, True), lambda: False):
            sweep(
                database, workspace.rulebook, BulkGate(workspace.gate), now=NOW, queues=queues, loans_per_chunk=40,
                zone="Asia/Shanghai", stop=stop,
            )  # fmt: skip
    assert any(rounds)
    owners = sorted(set(scalars(database, select(Loan.borrower_id))))
    paid = {loan: frozenset({"payment"}) for loan in scalars(database, select(Loan.id))}
    decide_borrowers(
        database, workspace.rulebook, workspace.gate, borrower_ids=owners, now=NOW + timedelta(hours=3), queues=queues,
        matcher=LiveMatcherSet(workspace.rulebook.strategies), happened=Happened(by_loan=paid), zone="Asia/Shanghai",
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_every_seat_comes_out_the_same(database: Database, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped and gone on with, overtaken by changes, one by one of an event: whoever has a seat is whose turn it was."""
    decided(database, seed, monkeypatch)
    turned_away = select(DecisionRow.loan_id).where(col(DecisionRow.trace_json).contains(QUEUE_FULL))
    loans = scalars(database, turned_away)
    assert loans
    flawless(replay(database, Chosen()))
    alone = replay(database, Chosen(loan=loans[0])).of["decision"]
    assert alone.equal == alone.total > 0


def test_a_seat_that_was_given_to_somebody_else_is_found(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log, by a rank, by a capacity, or by taking away what says how the seats were given out."""
    decided(sqlite_database, 4, monkeypatch)
    run = scalars(sqlite_database, select(Run.id).where(Run.kind == "sweep"))[-1]
    kept = scalars(sqlite_database, select(Snapshot).where(Snapshot.run_id == run, Snapshot.first_id == 0))[-1]
    everything = replay(sqlite_database, Chosen(run=run)).of["decision"].equal
    somebody_who_was_turned_away(sqlite_database, run)
    said = unpack(kept.content, kept.digest).seats
    assert said is not None

    def instead(**values: Any) -> Any:
        content = pack_seats({**said, **values}, at=NOW)
        sql = "update snapshot set content = :content, digest = :digest where id = :id"
        tampered(sqlite_database, sql, content=content, digest=digest_of(content), id=kept.id)
        return replay(sqlite_database, Chosen(run=run))

    # Another capacity: somebody else has the seats.
    found = instead(queues=[[name, capacity + 50, rank] for name, capacity, rank in said["queues"]])
    assert found.of["decision"].different > 0
    # Another rank of one candidate, who would have come first: what they wanted is derived from what was seen of them.
    first, *others = said["wishes"]
    borrower, options = first
    better = [
        [closed, [[queue, day, [[False, -(10**12)], *rank[1:]]] for queue, day, rank in claims]]
        for closed, claims in options
    ]
    found = instead(wishes=[[borrower, better], *others])
    assert WISH in {one.why for one in found.told}
    # A candidate is left out.
    found = instead(wishes=others)
    assert WISH in {one.why for one in found.told}
    # Nonsense, well packed.
    found = instead(taken=[["x", "2026-03-02", "many"]], wishes=[[borrower, [[[], [["x", "2026-03-02", 5]]]]]])
    assert found.of["decision"].not_derivable["its snapshot is not as it was packed"] > 0
    assert instead().of["decision"].equal == everything
    tampered(sqlite_database, "delete from snapshot where id = :id", id=kept.id)
    found = replay(sqlite_database, Chosen(run=run)).of["decision"]
    assert found.not_derivable[NO_SEATS] > 0


def somebody_who_was_turned_away(database: Database, run: int) -> None:
    """Their decision, written as if there had been a seat, is not what follows."""
    full = select(DecisionRow).where(DecisionRow.run_id == run, col(DecisionRow.trace_json).contains(QUEUE_FULL))
    one = scalars(database, full)[0]
    of = "where run_id = :run and loan_id = :loan"
    change = f"update decision set trace_json = :trace {of}"
    tampered(database, change, run=run, loan=one.loan_id, trace=one.trace_json.replace(QUEUE_FULL, "not_needed"))
    found = replay(database, Chosen(run=run))
    assert [told.about.loan for told in found.told] == [one.loan_id]
    assert f"derived: {QUEUE_FULL}" in drawn(found.told[0])
    tampered(database, change, run=run, loan=one.loan_id, trace=one.trace_json)
