"""A book in Parquet files: what is decided there is what is decided from the database, and what is no such book is refused."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from duecourse.offline import decide_files
from duecourse.workspace import open_workspace, shipped_folder
from engine.errors import SettingsError
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from tests.e2e.command import Said, duecourse
from tests.offline_book import AT, export_demo
from workflows.deciding.sweep import sweep
from workflows.offline import on_spark
from workflows.offline.deciding import COLUMNS
from workflows.offline.export import export_book
from workflows.offline.layout import PEOPLE_TABLES

Rows = dict[int, Mapping[str, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the demo's book, where two queues cannot take everybody, and the same book in files."""
    home = tmp_path_factory.mktemp("offline")
    exported = export_demo(home)
    assert exported.failure == (0, f"{_loans(home)} loans as of 2026-03-02 00:30Z in book\n", "")
    return home


def _loans(home: Path) -> int:
    return len(pq.read_table(home / "book" / "facts"))


def test_files_are_decided_as_the_database_is(home: Path) -> None:
    """Every column of every decision is the same as in the log of a sweep at that instant, and so are the counts."""
    told = duecourse("-w", "ws", "--json", "sweep", "--facts", "book", "--decisions", "decided", cwd=home)
    swept = duecourse("-w", "ws", "--json", "sweep", "--at", AT, cwd=home)
    assert (told.code, swept.code) == (0, 0), (told.err, swept.err)
    in_files = _in_files(home / "decided")
    assert in_files == _in_database(home)
    counts = {name: count for name, count in told.answer["counts"].items() if not name.startswith("gate.")}
    assert counts == swept.answer["counts"]
    # The comparison means something: several kinds of answers, moves, seats refused, more than one product.
    assert counts["turned_away"] > 0
    assert len({row["outcome"] for row in in_files.values()}) >= 3
    assert len({row["strategy"] for row in in_files.values()}) == 2


def test_on_both_databases_and_for_any_number_of_files(database: Database, tmp_path: Path) -> None:
    """A synthetic book of many files, decided like the database it came from."""
    workspace = open_workspace(shipped_folder(), {})
    write_book(database, 1_000, on=ON)
    options = {"now": NOW, "queues": workspace.queues, "actor": "first_party", "zone": "UTC"}
    export_book(
        database, workspace.rulebook, tmp_path / "book", **options, progress=lambda *_: None, loans_per_file=100
    )
    assert len(list((tmp_path / "book" / "people").glob("*.parquet"))) == 10
    decide_files(
        workspace, tmp_path / "book", tmp_path / "decided", engine="duckdb", master="", progress=lambda *_: None
    )
    sweep(database, workspace.rulebook, workspace.gate, **options)
    decided = _in_files(tmp_path / "decided")
    assert decided == _last_run(database)
    assert len(decided) > 150


def test_a_signature_is_judged_once(home: Path) -> None:
    """The gate is asked through its memory in files too: it takes its rules for fewer than it is asked about."""
    told = duecourse("-w", "ws", "--json", "sweep", "--facts", "book", "--decisions", "again", cwd=home)
    counts = told.answer["counts"]
    assert 0 < counts["gate.signatures"] < counts["gate.asked"]


def test_the_files_say_nothing_that_identifies(home: Path) -> None:
    """No name, number or address of anybody is exported; the facts are those of the catalogue, and the keys."""
    people = {
        name: field.type for name in PEOPLE_TABLES for field in [pq.read_schema(_first(home, "people")).field(name)]
    }
    columns = {f"{table}.{column.name}" for table, rows in people.items() for column in rows.value_type}
    assert columns.isdisjoint({"person.name", "person.ref", "endpoint.value", "endpoint.address"})
    facts = open_workspace(home / "ws", {}).catalogue.facts
    assert set(pq.read_schema(_first(home, "facts")).names) == {"loan_id", "borrower_id", "on_on", *facts}


def test_what_is_no_book_is_refused(home: Path, tmp_path: Path) -> None:
    """An export that was broken off, another format, a fact that the rules want and the files have not, a used folder."""

    def refusal(book: Path | str, decisions: str = "new") -> str:
        said = duecourse("-w", "ws", "sweep", "--facts", book, "--decisions", tmp_path / decisions, cwd=home)
        assert (said.code, said.out) == (1, "")
        return said.err.replace(str(tmp_path), "TMP")

    export = "  mend: write one with `duecourse sweep --export PATH`\n"
    assert refusal("nowhere") == f"there is no whole book in `nowhere`: `about.json` is missing\n{export}"
    about = json.loads((home / "book" / "about.json").read_text())
    other = tmp_path / "other"
    (other / "facts").mkdir(parents=True)
    (other / "about.json").write_text(json.dumps({**about, "format": 2}))
    assert refusal(other) == f"`TMP/other` is of format 2, and this version reads 1\n{export}"
    (other / "about.json").write_text(json.dumps(about))
    assert refusal(other) == "`TMP/other/facts` holds no Parquet file\n  mend: export the book again\n"
    facts = pq.read_table(_first(home, "facts"))
    kept = facts.drop_columns(["dpd", "balance"])
    pq.write_table(kept.append_column("balance", pa.array(["1"] * len(facts))), other / "facts" / "a.parquet")
    assert (
        "fact `dpd` is missing in `TMP/other`\n  mend: export the book again: the rules want it as int64\n"
        in refusal(other)
    )
    assert "fact `balance` is of type string in `TMP/other`" in refusal(other)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    assert refusal("book", "used") == "`TMP/used` is not an empty folder\n  mend: name a new one\n"


def test_without_pyspark_the_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark is an extra: who asks for it without having it is told what to install."""
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(SettingsError) as refused, on_spark.session("local[1]"):
        pass
    assert str(refused.value.problems[0]) == (
        "pyspark is not installed\n  mend: install requirements-spark.txt, and a Java of version 17"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--facts", "book"),
        ("--decisions", "d"),
        ("--engine", "duckdb"),
        ("--facts", "book", "--decisions", "d", "--at", AT),
        ("--facts", "book", "--decisions", "d", "--plan"),
        ("--export", "new", "--plan"),
        ("--facts", "book", "--decisions", "d", "--engine", "sparks"),
    ],
)
def test_options_that_contradict_each_other_are_used_wrongly(home: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and nothing is written."""
    said: Said = duecourse("-w", "ws", "sweep", *arguments, cwd=home)
    assert said.code == 2
    assert not (home / "d").exists()
    assert not (home / "new").exists()


def _first(home: Path, part: str) -> Path:
    return min((home / "book" / part).glob("*.parquet"))


def _in_files(folder: Path) -> Rows:
    rows = duckdb.sql(f"from read_parquet('{folder}/*.parquet')").to_arrow_table().to_pylist()
    return {row["loan_id"]: row for row in rows}


def _in_database(home: Path) -> Rows:
    database = open_workspace(home / "ws", {}).open_database()
    rows = _last_run(database)
    database.close()
    return rows


def _last_run(database: Database) -> Rows:
    decision = table_of("decision")
    last = select(func.max(decision.c.run_id)).scalar_subquery()
    with reading(database) as source:
        rows = source.read(select(*(decision.c[name] for name in COLUMNS)).where(decision.c.run_id == last)).to_pylist()
    return {row["loan_id"]: row for row in rows}
