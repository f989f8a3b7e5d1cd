"""The inbox: what came from outside, each thing once, until somebody has handled it. What it means is not known here."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import bindparam, text, update
from sqlmodel import Session, col, select

from store.columns import Instant, SealedText
from store.tables import Arrival

End = Literal["done", "parked", "closed"]

_INSERT: Final = text(
    "insert into arrival (source, key, kind, detail_json, private_json, state, why, recorded_at, due_at) "
    "values (:source, :key, :kind, :detail, :private, 'waiting', '', :now, :now) on conflict (source, key) do nothing"
).bindparams(bindparam("now", type_=Instant), bindparam("private", type_=SealedText("arrival.private_json")))


@dataclass(frozen=True, slots=True)
class NewArrival:
    """
    Something from outside, on its way into the inbox.

    Attributes:
        source, key: who says so, and their name for it: the same again is the same thing.
        detail: what it says, with nothing that identifies a person.
        private: what does, or what somebody wrote; gone once it is handled.
    """

    source: str
    key: str
    kind: str
    detail: Mapping[str, Any]
    private: Mapping[str, str] = field(default_factory=dict)


def put(session: Session, arrivals: Sequence[NewArrival], *, now: datetime) -> int:
    """Write down what came; returns how much of it was new."""
    new = 0
    for one in arrivals:
        row = {"source": one.source, "key": one.key, "kind": one.kind, "now": now}
        row |= {"detail": _written(one.detail), "private": _written(one.private) if one.private else None}
        new += session.connection().execute(_INSERT, row).rowcount
    return new


def waiting(session: Session, kinds: Collection[str], *, now: datetime, limit: int) -> list[Arrival]:
    """What waits and is due, in the order in which it came."""
    due = select(Arrival).where(
        col(Arrival.state) == "waiting", col(Arrival.due_at) <= now, col(Arrival.kind).in_(kinds)
    )
    found = list(session.exec(due.order_by(col(Arrival.id)).limit(limit)))
    for one in found:
        session.expunge(one)
    return found


def parked(session: Session) -> list[Arrival]:
    """What waits for a person, in the order in which it came."""
    found = list(session.exec(select(Arrival).where(col(Arrival.state) == "parked").order_by(col(Arrival.id))))
    session.expunge_all()
    return found


def settle(session: Session, arrival: int | None, end: End, why: str, *, now: datetime) -> bool:
    """
    Say what something came to, in the transaction that did it; False where somebody else has.

    Args:
        why: a sentence without personal data.
    """
    came_from = "parked" if end == "closed" else "waiting"
    # Whoever has to look needs to see what it says; nobody else does.
    kept = {} if end == "parked" else {"private_json": None}
    ended = update(Arrival).where(col(Arrival.id) == arrival, col(Arrival.state) == came_from)
    done = session.connection().execute(ended.values(state=end, why=why, ended_at=now, **kept))
    return done.rowcount == 1


def settle_all(session: Session, arrivals: Mapping[int, str], *, now: datetime) -> int:
    """
    Say of many that they are done with, in the transaction that did it; returns how many waited until then.

    Args:
        arrivals: which -> what it came to, a sentence without personal data.
    """
    by_words: dict[str, list[int]] = {}
    for arrival, why in arrivals.items():
        by_words.setdefault(why, []).append(arrival)
    done = 0
    for why, ids in by_words.items():
        ended = update(Arrival).where(col(Arrival.id).in_(ids), col(Arrival.state) == "waiting")
        said = ended.values(state="done", why=why, ended_at=now, private_json=None)
        done += session.connection().execute(said).rowcount
    return done


def put_off(session: Session, arrival: int | None, *, until: datetime, why: str) -> None:
    """Look at it again later."""
    later = update(Arrival).where(col(Arrival.id) == arrival, col(Arrival.state) == "waiting")
    session.connection().execute(later.values(due_at=until, why=why))


def try_again(session: Session, arrivals: Collection[int], *, now: datetime) -> int:
    """Let parked ones wait anew; returns how many."""
    again = update(Arrival).where(col(Arrival.id).in_(arrivals), col(Arrival.state) == "parked")
    return session.connection().execute(again.values(state="waiting", due_at=now, ended_at=None)).rowcount


def detail_of(arrival: Arrival) -> dict[str, Any]:
    """What it says."""
    found: dict[str, Any] = json.loads(arrival.detail_json)
    return found


def private_of(arrival: Arrival) -> dict[str, str]:
    """What it says that identifies somebody, or was written by them; empty once it is handled."""
    found: dict[str, str] = json.loads(arrival.private_json or "{}")
    return found


def _written(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, ensure_ascii=False, sort_keys=True)
