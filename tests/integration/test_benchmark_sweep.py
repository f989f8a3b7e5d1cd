"""The sweep's benchmark measures what it says: the floor reads and writes the very rows of the sweep."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from benchmarks.phases import Phases
from benchmarks.sweep import Databases, Files, Place, main, step, table
from store.bulk import reading
from store.bulk_arrow import table_of
from tests.opening import open_database

LOANS = 600
WRITTEN = ("decision", "contact", "contact_loan", "contact_status", "stage_change", "loan")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the books are kept."""
    if request.param == "sqlite":
        return Files(tmp_path)
    databases = Databases(request.getfixturevalue("postgres_server"))
    databases.make("before")
    return databases


def rows(url: str, name: str) -> list[tuple[Any, ...]]:
    database = open_database(url)
    columns = [column for column in table_of(name).columns if (name, column.name) != ("contact_status", "id")]
    with reading(database) as source:
        found = source.read(select(*columns)).to_pydict()
    database.close()
    return sorted(zip(*found.values(), strict=True), key=repr)


def test_the_floor_writes_what_the_sweep_wrote(place: Place, tmp_path: Path) -> None:
    """After both, every table that a sweep writes is the same, and the time of the sweep is all accounted for."""
    kept = tmp_path / "rows"
    kept.mkdir()
    step("build", place.url("before"), str(LOANS))
    place.copy("before", "swept")
    swept = step("sweep", place.url("swept"))
    counts = step("keep", place.url("before"), place.url("swept"), str(kept))
    floor = step("floor", place.url("before"), str(kept))
    for name in WRITTEN:
        assert rows(place.url("before"), name) == rows(place.url("swept"), name), name
    assert swept["counts"]["decisions"] > LOANS // 20
    assert counts["written"] > swept["counts"]["decisions"] + swept["counts"]["contacts"]
    assert counts["read"] > LOANS * 4
    assert sum(swept["phases"].values()) == pytest.approx(swept["seconds"], abs=0.1)
    assert floor["seconds"] > 0
    place.drop("swept")
    place.drop("before")


def test_the_answer_is_a_table_and_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command prints the table for the README and writes the same figures as JSON."""
    out = tmp_path / "out" / "latest.json"
    assert main(["--sizes", "200", "--databases", "sqlite", "--out", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    (one,) = document["sweep"]
    assert {"database", "loans", "seconds", "floor_seconds", "ratio", "peak_mib", "phases"} <= one.keys()
    assert (one["database"], one["loans"]) == ("sqlite", 200)
    assert capsys.readouterr().out == table([one]) + "\n"


def test_phases_count_every_second_once() -> None:
    """Time within an inner phase is the inner one's alone."""
    phases = Phases()
    clock = iter([0.0, 1.0, 4.0, 9.0])

    class Work:
        def inner(self) -> str:
            return "done"

    phases.time(Work, "inner", "inner")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.phases.time.perf_counter", lambda: next(clock))
        with phases.phase("outer"):
            assert Work().inner() == "done"
    assert dict(phases.seconds) == {"outer": 6.0, "inner": 3.0}
