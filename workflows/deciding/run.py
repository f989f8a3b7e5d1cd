"""
The run record: one act of deciding, with its moment and the hashes of everything that decided, frozen at its start.

A sweep that was stopped or killed goes on with what it froze, so that half a book is never decided by other rules
than the rest. It is left behind where that is no longer the right question: another day, or other rules. What it
planned waits until the sweep that took its place has ended, and the brake has been judged on both.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, text
from sqlmodel import Session, col, select

from engine.errors import Problem, StoreError
from engine.gate import Gate, Source
from engine.strategy import Strategy
from store.columns import Instant
from store.db import Database
from store.tables import Published, Run
from workflows.alerts import alert_unknown

ENGINE_VERSION: Final = "3"
"""Grows whenever the same rows, strategies and packs could give other facts or another decision than before."""

_PUBLISH: Final = text(
    "insert into published (digest, kind, name, content, published_at) values (:digest, :kind, :name, :content, :at)"
    " on conflict do nothing"
).bindparams(bindparam("at", type_=Instant))


@dataclass(frozen=True, slots=True)
class Frozen:
    """A run's identity: what it decides with. `done_to` is the last borrower decided, of a run that goes on."""

    id: int
    now: datetime
    known_at: datetime
    strategies: Mapping[str, str]
    done_to: int = 0
    finished: bool = False
    counts: Mapping[str, int] | None = None


def begin_sweep(
    session: Session,
    strategies: Mapping[str, Strategy],
    gate: Gate,
    *,
    now: datetime,
    known_at: datetime,
    zone: ZoneInfo,
) -> Frozen:
    """
    The run to work on: the last sweep where it still stands open on the same day and rules, a new one otherwise.

    Args:
        zone: where the lender works: says what the same day is.
    Raises:
        StoreError: `now` is before the last sweep's: the clock went backwards.
    """
    digests = {name: strategy.digest for name, strategy in strategies.items()}
    last = session.exec(select(Run).where(Run.kind == "sweep").order_by(col(Run.id).desc()).limit(1)).first()
    if last is not None:
        if now < last.now_at:
            what = f"the clock went backwards: it is {_minute(now)}, and the last sweep was at {_minute(last.now_at)}"
            raise StoreError(Problem(what, "set the clock right, or wait until it has passed the last sweep"))
        same = (
            json.loads(last.strategies_json) == digests
            and last.gate_digest == gate.digest
            and last.engine_version == ENGINE_VERSION
        )
        today = last.now_at.astimezone(zone).date() == now.astimezone(zone).date()
        if same and (today if last.status != "done" else last.now_at == now):
            last.status = "running" if last.status != "done" else "done"
            return _frozen(last)
        if last.status == "running":
            last.status, last.ended_at = "stopped", now
    publish(session, strategies.values(), gate, now=now)
    return _frozen(_add(session, "sweep", digests, gate, now=now, known_at=known_at))


def begin_events(session: Session, strategies: Mapping[str, Strategy], gate: Gate, *, now: datetime) -> Frozen:
    """A new run for a micro-batch of events."""
    return _begin(session, "events", strategies, gate, now)


def begin_entry(session: Session, strategies: Mapping[str, Strategy], gate: Gate, *, now: datetime) -> Frozen:
    """A new run that places imported loans."""
    return _begin(session, "entry", strategies, gate, now)


def begin_by_hand(session: Session, strategies: Mapping[str, Strategy], gate: Gate, *, now: datetime) -> Frozen:
    """A new run for one contact that a person started, sent or told us of."""
    return _begin(session, "by_hand", strategies, gate, now)


def begin_looks(session: Session, strategies: Mapping[str, Strategy], gate: Gate, *, now: datetime) -> Frozen:
    """A new run for a round of second looks."""
    return _begin(session, "look", strategies, gate, now)


def _begin(session: Session, kind: str, strategies: Mapping[str, Strategy], gate: Gate, now: datetime) -> Frozen:
    digests = {name: strategy.digest for name, strategy in strategies.items()}
    publish(session, strategies.values(), gate, now=now)
    return _frozen(_add(session, kind, digests, gate, now=now, known_at=now))


def frozen_plan(strategies: Mapping[str, Strategy], *, now: datetime) -> Frozen:
    """The identity of a run that is only planned: nothing of it is written."""
    return Frozen(0, now, now, {name: strategy.digest for name, strategy in strategies.items()})


def publish(session: Session, strategies: Iterable[Strategy], gate: Gate, *, now: datetime) -> None:
    """
    Keep every strategy and pack that decides, as it was written, by its content hash, for ever.

    Beside each strategy its `reading`, named by the strategy's digest.
    """
    written = []
    for strategy in strategies:
        written.append(Source("strategy", strategy.id, strategy.digest, strategy.source))
        if strategy.reading:
            hashed = hashlib.sha256(strategy.reading.encode()).hexdigest()
            written.append(Source("reading", strategy.digest, hashed, strategy.reading))
    written += gate.sources
    digests = [one.digest for one in written]
    known = set(session.exec(select(Published.digest).where(col(Published.digest).in_(digests))))
    # Several workers may publish the same at once: in one order, none waits for another in a circle.
    for one in sorted(written, key=lambda one: one.digest):
        if one.digest not in known:
            known.add(one.digest)
            row = {"digest": one.digest, "kind": one.kind, "name": one.name, "content": one.content, "at": now}
            session.execute(_PUBLISH, row)


def advance(database: Database, run_id: int, *, done_to: int) -> None:
    """Note that every borrower up to this one is decided, or waits for a seat in a queue."""
    with database.write() as session:
        run = session.get_one(Run, run_id)
        run.done_to = max(run.done_to, done_to)


def counts_of(session: Session, run_id: int) -> dict[str, int]:
    """What a run has done so far, as the transactions of its chunks added it up."""
    counts: dict[str, int] = json.loads(session.get_one(Run, run_id).counts_json)
    return counts


def end(session: Session, run_id: int, *, now: datetime, counts: Mapping[str, int], status: str = "done") -> None:
    """Close a run with what it did; `status` as in `Run`."""
    run = session.get_one(Run, run_id)
    if status == "stopped" and run.status != "running":
        # Who lost the lock of a sweep stops, maybe after another has gone on with it and ended it.
        return
    run.status, run.ended_at = status, now
    run.counts_json = json.dumps(counts, sort_keys=True)
    if status == "done":
        alert_unknown(counts, run=run_id)


def leave_behind(session: Session, run_id: int) -> None:
    """Close the sweeps before this one that were broken off: nobody goes on with them."""
    broken = select(Run).where(col(Run.kind) == "sweep", col(Run.status) == "stopped", col(Run.id) < run_id)
    for run in session.exec(broken):
        run.status = "left"


def _add(
    session: Session, kind: str, digests: Mapping[str, str], gate: Gate, *, now: datetime, known_at: datetime
) -> Run:
    run = Run(
        kind=kind,
        now_at=now,
        known_at=known_at,
        strategies_json=json.dumps(digests, sort_keys=True),
        gate_digest=gate.digest,
        engine_version=ENGINE_VERSION,
        started_at=now,
    )
    session.add(run)
    session.flush()
    return run


def _frozen(run: Run) -> Frozen:
    if run.id is None:
        raise AssertionError("a run without an id was never written")
    return Frozen(
        run.id,
        run.now_at,
        run.known_at,
        json.loads(run.strategies_json),
        run.done_to,
        run.status == "done",
        json.loads(run.counts_json),
    )


def _minute(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes")
