"""Sixty simulated days from one seed, and shorter runs from others: `make sim`."""

import csv
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from duecourse.demo import run
from tests.simulation.checker import check, fingerprint
from tests.simulation.records import Violation
from tests.simulation.witness import Faults, against_the_log, first_sweep, live_through

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_ROUGH: Faults = (
    (0.02, "drop_after_accept"), (0.02, "drop"), (0.02, "html"), (0.02, 429), (0.01, 503), (0.01, "no_json"), (0.02, 30005),
    (0.02, 21610),
)  # fmt: skip
"""A provider on a bad day: taken and not said, not taken and not said, broken pages, refusals of every kind."""


def test_sixty_days_without_a_violation(tmp_path: Path) -> None:
    """Sixty days of the demo book violate none of the invariants that apply so far."""
    done = live_through(tmp_path / "demo", days=60, seed=1)
    assert _told(check(done.database, done.handed, done.workspace)) == [], "replay: make sim"
    assert against_the_log(done) == []


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_other_histories_without_a_violation(seed: int, tmp_path: Path) -> None:
    """Other borrowers' moods, other outcomes: the same invariants."""
    done = live_through(tmp_path / "demo", days=20, seed=seed)
    assert _told(check(done.database, done.handed, done.workspace)) == [], f"replay: duecourse demo --seed {seed}"


def test_a_provider_on_a_bad_day(tmp_path: Path) -> None:
    """What is in doubt stays in doubt: nothing reaches anybody twice however the provider fails."""
    done = live_through(tmp_path / "demo", days=10, seed=5, faults=_ROUGH)
    assert _told(check(done.database, done.handed, done.workspace)) == []
    assert against_the_log(done) == []


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    """Decisions, contacts, stages and promises of two runs with one seed are the same, to the last byte."""
    first = live_through(tmp_path / "first", days=5, seed=6)
    second = live_through(tmp_path / "second", days=5, seed=6)
    assert fingerprint(first.database) == fingerprint(second.database)


def test_the_order_of_the_book_does_not_matter(tmp_path: Path) -> None:
    """A book whose rows come in another order is placed and decided alike, loan by loan."""
    book = Path(run.__file__).with_name("book")
    straight = first_sweep(tmp_path / "straight", book)
    shuffled = first_sweep(tmp_path / "shuffled", _shuffled(book, tmp_path / "book"))
    assert fingerprint(straight) == fingerprint(shuffled)


def _shuffled(book: Path, folder: Path) -> Path:
    """A copy of the shipped book with every file's rows in another order."""
    folder.mkdir()
    for path in sorted(book.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        Random(path.name).shuffle(rows)
        with (folder / path.name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return folder


def _told(found: Iterable[Violation]) -> list[str]:
    return [str(one) for one in found]
