"""Three simulated days, checked; and the checker itself, checked."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from duecourse.demo.world import World
from store.tables import Run
from tests.simulation.checker import check
from tests.simulation.mutations import MUTATIONS, Mutation, mutate
from tests.simulation.opener import teach
from tests.simulation.records import HOUR, Handed, Violation
from tests.simulation.witness import Finished, against_the_log, live_through

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo's first three days."""
    return live_through(tmp_path_factory.mktemp("three") / "demo", days=3, seed=10)


def test_three_days_without_a_violation(three_days: Finished) -> None:
    """No invariant that applies so far is violated, and there was something that could have violated them."""
    assert _told(check(three_days.database, three_days.handed, three_days.workspace)) == []
    assert {handed.channel for handed in three_days.handed} == {"sms", "email"}


def test_the_log_has_nothing_against_three_days(three_days: Finished, tmp_path: Path) -> None:
    """Every contact, hold and notice is as the log says, and nothing was written later than it says, with a checkpoint a day."""
    shutil.copytree(three_days.workspace, tmp_path / "demo")
    assert against_the_log(replace(three_days, workspace=tmp_path / "demo")) == []


def test_history_does_not_follow_from_what_contacts_are_called(
    three_days: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same seed gives the same history, however many runs there were before: contacts have theirs in their names."""
    place = World.begin

    def after_other_runs(world: World) -> None:
        with world.works.database.write() as session:
            session.add(Run(id=9_000, kind="entry", now_at=BEFORE, known_at=BEFORE, started_at=BEFORE, status="done"))
        place(world)

    monkeypatch.setattr(World, "begin", after_other_runs)
    again = live_through(tmp_path / "demo", days=3, seed=10)
    assert _contacts(again) == _contacts(three_days)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_checker_finds_what_is_wrong(mutation: Mutation, three_days: Finished, tmp_path: Path) -> None:
    """A wrong done to a clean database is found, under the invariant it breaks."""
    shutil.copytree(three_days.workspace / "secrets", tmp_path / "secrets")
    copy = tmp_path / "data" / "mutated.db"
    copy.parent.mkdir()
    shutil.copyfile(three_days.database, copy)
    assert mutate(copy, mutation) > 0
    found = check(copy, three_days.handed)
    assert any(one.invariant == mutation.invariant and mutation.says in str(one) for one in found), _told(found)


def test_the_checker_compares_with_the_providers(three_days: Finished) -> None:
    """A message taken twice, taken before its commit, taken from nobody or lost on the way is found."""
    first, *rest = three_days.handed
    stranger = Handed("9-9-9", "sms", "+12125550100", "sending")
    wrongs = {
        "reached the provider 2 times": [first, first, *rest],
        "was committed as planned when the provider took it": [replace(first, committed="planned"), *rest],
        "went to another number": [replace(first, to="+12125550100"), *rest],
        "nobody planned it": [stranger, first, *rest],
        "no provider took it": rest,
        "house: calls and messages 08:00 to 21:00": [replace(first, at=_night(three_days, first)), *rest],
        "arrives, ": [replace(first, at=_night(three_days, first) - HOUR, arrives=_night(three_days, first)), *rest],
        "left 2.0 seconds after sending was switched off": [replace(first, off_us=2_000_000), *rest],
        "its message holds the name of person": [replace(first, text=_name_of_somebody_else(three_days, first)), *rest],
    }
    for says, handed in wrongs.items():
        assert any(says in str(one) for one in check(three_days.database, handed)), says


def test_a_file_with_a_name_in_it_is_found(three_days: Finished, tmp_path: Path) -> None:
    """Personal data in a log or feed of the workspace is found, with the file's name."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "run.log").write_text("nothing to see\n", encoding="utf-8")
    assert check(three_days.database, workspace=folder) == []
    first = three_days.handed[0]
    (folder / "run.log").write_text(f"sent to {first.to}\n", encoding="utf-8")
    assert [one.about for one in check(three_days.database, workspace=folder)] == ["file run.log"]


def _name_of_somebody_else(finished: Finished, handed: Handed) -> str:
    query = "select opened('person.name', name) from person where id != (select person_id from contact where id = ?) limit 1"
    with closing(sqlite3.connect(finished.database)) as connection:
        teach(connection, finished.database)
        name: str = connection.execute(query, (handed.contact,)).fetchone()[0]
    return f"Dear {name}, ..."


def _night(finished: Finished, handed: Handed) -> int:
    """Twelve hours after it was offered, which was by day."""
    with closing(sqlite3.connect(finished.database)) as connection:
        at: int = connection.execute("select at from contact where id = ?", (handed.contact,)).fetchone()[0]
    return at + 12 * HOUR


def _contacts(finished: Finished) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(finished.database)) as connection:
        rows = connection.execute("select slot, status, outcome, at from contact order by slot, at").fetchall()
    assert len(rows) > 100
    return rows


def _told(found: Iterable[Violation]) -> list[str]:
    return [str(one) for one in found]
