"""Spark decides like DuckDB: conditions, statements, whole books; on executors that are processes of their own."""

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.differential import Facts, Writer, Written, parse
from duecourse.workspace import Workspace, open_workspace
from engine.catalogue import load_catalogue
from engine.errors import DataError
from engine.interpreter import evaluate
from engine.sql import BITS_MAX, bits, column
from engine.tree import Condition
from tests.offline_book import export_demo
from workflows.offline import on_duckdb
from workflows.offline.deciding import Plan, Told, read_retry
from workflows.offline.layout import read_about
from workflows.offline.portable import to_spark
from workflows.private_file import new_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1200), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_ARROW = {"int": pa.int64(), "money": pa.int64(), "bool": pa.bool_(), "text": pa.string()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's book in files; two queues cannot take everybody."""
    home = tmp_path_factory.mktemp("spark")
    assert export_demo(home).code == 0
    return home


def test_a_book_is_decided_alike_row_for_row(spark: "SparkSession", home: Path) -> None:
    """Every column of every decision, and every count: moves, contacts, seats refused, both strategies."""
    from workflows.offline import on_spark

    plan = _plan(open_workspace(home / "ws", {}), home / "book")
    new_folder(home / "duckdb")
    new_folder(home / "spark")
    here = on_duckdb.decide_files(plan, home / "book", home / "duckdb", lambda _done, _total: None)
    there = on_spark.decide_files(plan, home / "book", home / "spark", spark)
    rows = _rows(home / "duckdb")
    assert rows == _rows(home / "spark")
    assert _without_gate(here) == _without_gate(there)
    assert here.counts["turned_away"] > 0
    assert len({row["strategy"] for row in rows.values()}) == 2
    # Each process asks about a signature once, however many tasks it is given.
    assert here.counts["gate.signatures"] <= there.counts["gate.signatures"] <= 2 * here.counts["gate.signatures"]
    assert there.counts["gate.asked"] == here.counts["gate.asked"]


def test_what_spark_cannot_read_is_said_in_words(spark: "SparkSession", home: Path, tmp_path: Path) -> None:
    """A file that is no Parquet ends in a message with a mend, not in a traceback of two languages."""
    from workflows.offline import on_spark

    plan = _plan(open_workspace(home / "ws", {}), home / "book")
    for part in ("facts", "people", "retry"):
        (tmp_path / "book" / part).mkdir(parents=True)
        (tmp_path / "book" / part / "part-00001.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError) as refused:
        on_spark.decide_files(plan, tmp_path / "book", tmp_path / "decided", spark)
    (problem,) = refused.value.problems
    assert problem.what.startswith("Spark gave up: ")
    assert "Exception" in problem.what


def test_conditions_mean_the_same(spark: "SparkSession", tmp_path: Path) -> None:
    """Random conditions over random facts, missing ones and odd texts among them, as the statement has them: a bit for each."""
    chance, catalogue = Random(7), load_catalogue()
    true = 0
    for _ in range(4):
        writer = Writer(catalogue, chance)
        conditions: dict[Written, Condition] = {}
        while len(conditions) < BITS_MAX:
            written = writer.written()
            if (condition := parse(written, catalogue)) is not None:
                conditions[written] = condition
        loans: list[Facts] = [writer.loan() for _ in range(500)]
        asked = list(conditions.values())
        file = tmp_path / f"{uuid4().hex}.parquet"
        named = {
            name: pa.array([loan[name] for loan in loans], _ARROW[fact.type]) for name, fact in writer.facts.items()
        }
        pq.write_table(pa.table({"number": pa.array(range(len(loans))), **named}), file)
        spark.read.parquet(str(file)).createOrReplaceTempView("some")
        rows = spark.sql(to_spark(f"select {column('number')}, {bits(asked)} as found from some")).collect()
        for row in rows:
            wanted = [evaluate(condition, loans[row.number]) is True for condition in asked]
            true += sum(wanted)
            assert [bool(row.found >> n & 1) for n in range(BITS_MAX)] == wanted
    assert true > 1000


def test_the_executors_are_processes_of_their_own(spark: "SparkSession") -> None:
    """Two of them, and their Python workers are not this process: what is tested here goes over the wire."""

    def who(_: int) -> str:
        return f"{os.getpid()} {os.getppid()}"

    workers = set(spark.sparkContext.parallelize(range(40), 8).map(who).collect())
    assert str(os.getpid()) not in {worker.split()[0] for worker in workers}
    assert len({worker.split()[1] for worker in workers}) >= 2


def _plan(workspace: Workspace, book: Path) -> Plan:
    return Plan(uuid4().hex, workspace.rulebook, workspace.gate, workspace.queues, read_about(book), read_retry(book))


def _rows(folder: Path) -> dict[int, Mapping[str, Any]]:
    rows: list[dict[str, Any]] = pa.concat_tables(pq.read_table(file) for file in folder.glob("*.parquet")).to_pylist()
    assert len({row["loan_id"] for row in rows}) == len(rows)
    return {row["loan_id"]: row for row in rows}


def _without_gate(told: Told) -> Mapping[str, int]:
    return {name: count for name, count in told.counts.items() if count and not name.startswith("gate.")}
