"""The brake holds, on both databases: nothing of a sweep leaves before it has ended and the brake has been judged on all of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from store.db import Database
from store.outbox import claim, expire, is_left
from store.settings import read_setting
from store.tables import Contact, Run
from tests.sweep_books import CNY, NOW, DayGate, LoanSpec, PersonSpec, fill, rulebook
from workflows.brake import release_brake
from workflows.deciding.run import end
from workflows.deciding.sweep import SweepResult, sweep

BOOK = [PersonSpec((LoanSpec(5),))] * 6
"""A text each."""
HOUR = timedelta(hours=1)


class KilledError(BaseException):
    """The process is gone."""


def run(database: Database, now: datetime = NOW, share_max: float = 0.5, **options: Any) -> SweepResult:
    given = {"rulebook": rulebook(), "gate": DayGate(), "loans_per_chunk": 1, "backlog_share_max": share_max}
    return sweep(database, now=now, **(given | options))


def leaves(database: Database, now: datetime = NOW) -> int:
    """What a dispatch would get hold of; nobody asks it to wait for the brake here."""
    taken = claim(database, {"sms": 99, "email": 99}, now=now, worker="w", lease=timedelta(seconds=0))
    assert is_left(database, ("sms", "email"), now=now) == bool(taken)
    return len(taken)


def after(chunks: int, happens: Callable[[], None]) -> Callable[[int, int], None]:
    """Progress that has something happen after so many chunks."""
    left = iter(range(chunks))

    def heard(_done: int, _total: int) -> None:
        if next(left, None) == chunks - 1:
            happens()

    return heard


def die() -> None:
    raise KilledError


def killed(database: Database, chunks: int, **options: Any) -> None:
    with pytest.raises(KilledError):
        run(database, progress=after(chunks, die), **options)


def brake(database: Database) -> str:
    with database.session() as session:
        return read_setting(session, "brake") or ""


def ends(database: Database) -> list[str]:
    with database.session() as session:
        return list(session.exec(select(Run.status).order_by(col(Run.id))))


def test_a_dispatch_between_chunks_gets_nothing_of_the_sweep(database: Database) -> None:
    """The brake is judged on all that the sweep planned, and nothing of it has left by then."""
    fill(database, BOOK)
    seen: list[int] = []
    result = run(database, progress=lambda _done, _total: seen.append(leaves(database)))
    assert len(seen) == 7
    assert set(seen) == {0}
    assert result.brake == brake(database) == "6 contacts are planned for 6 loans, more than 50%, at 2026-11-24 04:00Z"
    assert leaves(database) == 6


def test_a_usual_sweep_lets_go_at_its_end(database: Database) -> None:
    """No more than the share: nobody has to look."""
    fill(database, BOOK)
    assert run(database, share_max=1).brake is None
    assert (brake(database), leaves(database)) == ("", 6)


def test_what_was_planned_otherwise_leaves_while_a_sweep_runs(database: Database) -> None:
    """An event's contact does not wait for a sweep, nor does one that an import brought."""
    fill(database, BOOK)
    run(database, share_max=1)
    with database.write() as session:
        kinds = ("events", "by_hand", "look", "entry")
        others = [Run(kind=kind, now_at=NOW, known_at=NOW, started_at=NOW) for kind in kinds]
        session.add_all(others)
        session.flush()
        runs = [*(one.id for one in others), None]
        for contact, run_id in zip(session.exec(select(Contact)), runs, strict=False):
            contact.run_id = run_id
        session.exec(select(Run).where(col(Run.kind) == "sweep")).one().status = "running"
    assert leaves(database) == 5


def test_nothing_of_a_killed_sweep_leaves_and_the_one_that_goes_on_is_braked(database: Database) -> None:
    """Judged on what the run planned before and after: each half alone would have passed."""
    fill(database, BOOK)
    killed(database, 3)
    assert (leaves(database, NOW + HOUR), brake(database)) == (0, "")
    result = run(database, NOW + HOUR, progress=after(1, lambda: None))
    assert result.finished
    assert result.brake == "6 contacts are planned for 6 loans, more than 50%, at 2026-11-24 05:00Z"
    assert ends(database) == ["done"]


def test_nothing_of_a_stopped_sweep_leaves(database: Database) -> None:
    """Asked to stop, it has not been judged either."""
    fill(database, BOOK)
    run(database, stop=iter([False, False, True]).__next__)
    assert (ends(database), leaves(database), brake(database)) == (["stopped"], 0, "")


def test_what_a_sweep_left_behind_planned_waits_for_the_next_and_counts(database: Database) -> None:
    """Other rules: another run decides, and the end of that lets both go; the brake is judged on both."""
    fill(database, BOOK)
    killed(database, 3)
    others = rulebook(CNY.replace("dpd between 1 and 20", "dpd between 1 and 21"))
    seen: list[int] = []
    result = run(
        database, NOW + HOUR, rulebook=others, progress=lambda _done, _total: seen.append(leaves(database, NOW + HOUR))
    )
    assert (set(seen), ends(database)) == ({0}, ["left", "done"])
    assert result.counts["contacts"] < 6
    assert result.brake == "6 contacts are planned for 6 loans, more than 50%, at 2026-11-24 05:00Z"
    assert leaves(database, NOW + HOUR) == 6


def test_where_no_sweep_follows_the_contacts_of_a_killed_one_reach_their_end(database: Database) -> None:
    """They do not wait for ever."""
    fill(database, BOOK)
    killed(database, 3)
    assert expire(database, now=NOW + 25 * HOUR) == 3
    assert run(database, NOW + 25 * HOUR, share_max=1).brake is None
    assert ends(database) == ["left", "done"]


def test_one_chunk_that_cannot_be_decided_holds_nobody_else_back(database: Database) -> None:
    """The whole book was looked at, so that the brake can be judged."""

    class Failing(DayGate):
        def check(self, ask: Any, now: datetime) -> Any:
            if ask.person == 3:
                raise ZeroDivisionError
            return super().check(ask, now)

    fill(database, BOOK)
    result = run(database, gate=Failing(), share_max=0.9)
    assert (result.finished, result.brake, ends(database)) == (False, None, ["failed"])
    assert leaves(database) == 5
    assert run(database, NOW + HOUR, share_max=1).counts["contacts"] == 6
    assert ends(database) == ["done"]


def test_a_person_lets_go_for_good(database: Database) -> None:
    """The same sweep asked for again, when it is done, does not put the brake on again."""
    fill(database, BOOK)
    assert run(database).brake
    with database.write() as session:
        release_brake(session)
    assert run(database).finished
    assert brake(database) == ""


def test_who_lost_the_sweep_does_not_reopen_it(database: Database) -> None:
    """One that stops when another has ended the run leaves it ended: what it planned is on its way."""
    fill(database, BOOK)
    done = run(database, share_max=1)
    with database.write() as session:
        end(session, done.run_id or 0, now=NOW, counts={}, status="stopped")
    assert ends(database) == ["done"]
