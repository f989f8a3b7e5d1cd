"""The sweep's benchmark measures what it says: the floor reads and writes the very rows of the sweep."""

import json
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from benchmarks.phases import Phases
from benchmarks.sweep import Databases, Files, Place, main, step, table
from benchmarks.sweep_steps import AGAIN
from store.bulk import reading
from store.bulk_arrow import table_of
from tests.opening import open_database

LOANS = 600
APPENDED = ("snapshot", "decision", "contact", "contact_loan", "contact_status", "stage_change")
WRITTEN = (*APPENDED, "loan")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the books are kept."""
    if request.param == "sqlite":
        return Files(tmp_path)
    return Databases(request.getfixturevalue("postgres_server"))


def rows(url: str, name: str) -> Counter[str]:
    """What stands in a table, without what tells what the floor wrote from what the sweep wrote."""
    database = open_database(url)
    columns = [column for column in table_of(name).columns if column.name not in ("id", "run_id", "entry")]
    with reading(database) as source:
        found = source.read(select(*columns)).to_pydict()
    database.close()
    return Counter(repr(row).replace(AGAIN, "") for row in zip(*found.values(), strict=True))


def test_the_floor_reads_and_writes_what_the_sweep_did(place: Place, tmp_path: Path) -> None:
    """The floor reads every row that a sweep reads and adds every row of it once more; the time of the sweep is all accounted for."""
    kept = tmp_path / "rows"
    kept.mkdir()
    place.make("book")
    url = place.url("book")
    step("build", url, str(LOANS))
    read = step("reads", url, str(kept))
    floor_read = step("floor_read", url, str(kept))
    place.lighten("book", read["tables"])
    before = {name: rows(url, name) for name in WRITTEN}
    swept = step("sweep", url)
    after = {name: rows(url, name) for name in WRITTEN}
    written = step("writes", url, str(kept))
    floor_write = step("floor_write", url, str(kept))
    for name in APPENDED:
        assert rows(url, name) - after[name] == after[name] - before[name], name
        assert after[name] > before[name], name
    assert rows(url, "loan") == after["loan"] != before["loan"]
    assert swept["counts"]["decisions"] > LOANS // 20
    assert written["written"] > swept["counts"]["decisions"] + swept["counts"]["contacts"]
    assert floor_read["read"] == read["read"] > LOANS * 4
    assert sum(swept["phases"].values()) == pytest.approx(swept["seconds"], abs=0.1)
    assert min(floor_read["seconds"], floor_write["seconds"]) > 0
    place.drop("book")


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
