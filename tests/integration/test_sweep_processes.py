"""A sweep by several processes: the same decisions, and whoever is killed leaves nothing half done or done twice."""

import multiprocessing
import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlmodel import select

from engine.errors import StoreError
from store.db import Database
from store.tables import Run
from tests.opening import open_database
from tests.sweep_books import NOW, DayGate, LoanSpec, PersonSpec, everything, fill, rulebook
from tests.sweep_process import QUEUES, run
from workflows.deciding import sweep as module

STAGES = ("current", "reminded", "phone")


@pytest.fixture(autouse=True)
def _small_books_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """These books are too small to be worth a second process."""
    monkeypatch.setattr(module, "LOANS_PER_PROCESS", 1)


def book(people: int, seed: int) -> list[PersonSpec]:
    chance = Random(seed)
    return [
        PersonSpec(
            tuple(
                LoanSpec(chance.randrange(-20, 40), stage=chance.choice(STAGES), amount=chance.randrange(10_00, 900_00))
                for _ in range(chance.choice((1, 1, 2)))
            )
        )
        for _ in range(people)
    ]


def alone(people: list[PersonSpec], template: Path, folder: Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """What one process makes of the book, in one go."""
    path = folder / "alone.db"
    shutil.copyfile(template, path)
    database = open_database(f"sqlite:///{path}")
    fill(database, people)
    module.sweep(database, rulebook(), DayGate(), now=NOW, queues=QUEUES)
    found = everything(database)
    database.close()
    return found


def test_processes_make_no_difference(database: Database, sqlite_template: Path, tmp_path: Path) -> None:
    """Two processes, chunks of seven loans, limited queues: every row is as if one process had done it in one chunk."""
    people = book(60, seed=1)
    fill(database, people)
    result = module.sweep(database, rulebook(), DayGate(), now=NOW, queues=QUEUES, loans_per_chunk=7, processes=2)
    found = everything(database)
    assert found == alone(people, sqlite_template, tmp_path)
    assert result.counts["decisions"] == len(found["decision"])
    assert result.counts["contacts"] == len(found["contact"])
    assert {row[4] for row in found["contact"]} == {"", *QUEUES}, "the book tries too little"


def test_a_sweep_killed_at_any_moment_goes_on(database: Database, sqlite_template: Path, tmp_path: Path) -> None:
    """`kill -9` to a sweep with its processes, again and again: the last one ends with what an undisturbed one does."""
    people = book(80, seed=2)
    fill(database, people)
    chance = Random(3)
    context = multiprocessing.get_context("spawn")
    written = []
    for _ in range(2):
        begun = context.Event()
        process = context.Process(target=run, args=(database.address, 3, 2, begun))
        process.start()
        assert begun.wait(120)
        process.join(chance.uniform(0, 0.2))
        process.kill()
        process.join()
        written.append(len(everything(database)["decision"]))
    run(database.address, 3, 2, None)
    found = everything(database)
    assert found == alone(people, sqlite_template, tmp_path)
    assert 0 < written[0] < len(found["decision"]), f"killed too early or too late: {written}"
    assert written == sorted(written)
    with database.session() as session:
        assert session.exec(select(Run.status)).all() == ["done"]


def test_a_process_that_dies_ends_the_sweep_with_a_word(database: Database) -> None:
    """Memory runs out in one of them: the sweep says so, and the next call goes on."""
    fill(database, book(30, seed=4))

    def kill_one(_done: int, _total: int) -> None:
        multiprocessing.active_children()[0].kill()

    with pytest.raises(StoreError) as ended:
        module.sweep(database, rulebook(), DayGate(), now=NOW, loans_per_chunk=1, processes=2, progress=kill_one)
    assert str(ended.value) == (
        "a process of the sweep was killed, perhaps because memory ran out\n"
        "  mend: lower `loans_per_chunk` or `sweep_processes`, and run `duecourse sweep` again: it goes on where it stopped"
    )
    assert module.sweep(database, rulebook(), DayGate(), now=NOW, processes=2, loans_per_chunk=5).finished
