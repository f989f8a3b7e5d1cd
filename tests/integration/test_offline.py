"""A book in Parquet files: what is decided there is what is decided from the database, and what is no such book is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from duecourse.workspace import open_workspace
from store.bulk import reading
from store.bulk_arrow import table_of
from tests.e2e.command import Said, duecourse
from tests.offline_book import AT, export_demo
from workflows.offline.deciding import COLUMNS
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
    decision = table_of("decision")
    last = select(func.max(decision.c.run_id)).scalar_subquery()
    with reading(database) as source:
        rows = source.read(select(*(decision.c[name] for name in COLUMNS)).where(decision.c.run_id == last)).to_pylist()
    database.close()
    return {row["loan_id"]: row for row in rows}
