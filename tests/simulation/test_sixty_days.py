"""Sixty simulated days from one seed, and shorter runs from others: `make sim`."""

import csv
from pathlib import Path
from random import Random

import pytest

from duecourse.demo import run
from tests.simulation.checker import check, fingerprint
from tests.simulation.witness import Faults, live_through

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


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_other_histories_without_a_violation(seed: int, tmp_path: Path) -> None:
    """Other borrowers' moods, other outcomes: the same invariants."""
    done = live_through(tmp_path / "demo", days=20, seed=seed)
    assert _told(check(done.database, done.handed, done.workspace)) == [], f"replay: duecourse demo --seed {seed}"


def test_a_provider_on_a_bad_day(tmp_path: Path) -> None:
    """What is in doubt stays in doubt: nothing reaches anybody twice however the provider fails."""
    done = live_through(tmp_path / "demo", days=10, seed=5, faults=_ROUGH)
    assert _told(check(done.database, done.handed, done.workspace)) == []


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    """Decisions, contacts, stages and promises of two runs with one seed are the same, to the last byte."""
    first = live_through(tmp_path / "first", days=5, seed=6)
    second = live_through(tmp_path / "second", days=5, seed=6)
    assert fingerprint(first.database) == fingerprint(second.database)


def test_the_order_of_the_book_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book whose rows come in another order leads to the same first day."""
    straight = live_through(tmp_path / "straight", days=1, seed=7)
    monkeypatch.setattr(run, "__file__", str(_shuffled(Path(run.__file__).parent, tmp_path)))
    shuffled = live_through(tmp_path / "shuffled", days=1, seed=7)
    assert fingerprint(straight.database)["decisions"] == fingerprint(shuffled.database)["decisions"]


def _shuffled(demo: Path, folder: Path) -> Path:
    """A copy of the shipped book with every file's rows in another order; returns a file that stands beside it."""
    book = folder / "package" / "book"
    book.mkdir(parents=True)
    for path in sorted((demo / "book").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        Random(path.name).shuffle(rows)
        with (book / path.name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return book.parent / "run.py"


def _told(found: object) -> list[str]:
    return [str(one) for one in found]  # type: ignore[attr-defined]
