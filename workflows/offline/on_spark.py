"""
Decide a book that lies in Parquet files on Spark: the statement in its executors, everything else in their Python workers.

What differs from DuckDB is who runs the statement, and how the rows are dealt out; a borrower is always whole in one row.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import DataError, Problem, SettingsError
from workflows.deciding.allotment import Closed, allot
from workflows.offline.deciding import Plan, Told, decider, heard, passed
from workflows.offline.portable import to_spark
from workflows.offline.statement import INPUTS, STEPS, steps

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_TASKS_PER_CORE: Final = 4
"""More tasks than cores, so that nobody waits long for the last one."""

_SETTINGS: Final[Mapping[str, str]] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Rows with lists in them are small where they lie and large where they are read: a driver that gathers a side of a join
    # because it looked small runs out of memory. What really is small is said below.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "-1",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}

_SCHEMA: Final = (
    "loan_id bigint, borrower_id bigint, now_at bigint, on_on date, strategy string, strategy_digest string, arm string,"
    " stage_before string, stage_after string, outcome string, rule string, covered_by bigint, next_look_at bigint,"
    " reasons string, facts_json string, trace_json string, told binary"
)


@contextmanager
def session(master: str, settings: Mapping[str, str] | None = None) -> "Iterator[SparkSession]":
    """
    A session with what we rely on set, stopped at the end: executors outlive a program that just goes away.

    Args:
        master: `local[4]`, `local-cluster[2,1,1024]`, `spark://host:7077`, `yarn`, ...
        settings: more of Spark's own.
    Raises:
        SettingsError: pyspark or a Java is missing, or the master is not one.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        mend = "install requirements-spark.txt, and a Java of version 17"
        raise SettingsError(Problem("pyspark is not installed", mend)) from None
    # The workers run what we run.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", **(settings or {})}
    builder: Any = SparkSession.builder
    builder = builder.master(master).appName("duecourse")
    for name, value in {**_SETTINGS, **(settings or {})}.items():
        builder = builder.config(name, value)
    try:
        made: SparkSession = builder.getOrCreate()
    except PySparkException as error:
        what = f"Spark does not start: {str(error).splitlines()[0]}"
        raise SettingsError(Problem(what, "is there a Java of version 17, and is JAVA_HOME right?")) from None
    made.sparkContext.setLogLevel("ERROR")
    try:
        yield made
    finally:
        made.stop()


def decide_files(plan: Plan, folder: Path, decisions: Path, spark: "SparkSession") -> Told:
    """
    Decide every borrower and write the decisions; returns what a sweep counts.

    Args:
        folder: the book (`workflows.offline.layout`), where every executor can read it.
        decisions: an empty folder, where every executor can write.
    Raises:
        RuleError: the statement holds something that Spark means differently.
        DataError: Spark gave up; it has said more on the standard error.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        return _decide_files(plan, folder, decisions, spark)
    except (Py4JError, PySparkException) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if "Exception" in line), lines[0] if lines else type(error).__name__)
        mend = "read what Spark says of it; memory is set in spark-defaults.conf. Name a new folder for the decisions"
        raise DataError(Problem(f"Spark gave up: {said[:300]}", mend)) from None


def _decide_files(plan: Plan, folder: Path, decisions: Path, spark: "SparkSession") -> Told:
    from pyspark.sql.functions import broadcast

    texts = [(name, to_spark(text)) for name, text in steps(plan.matching, plan.rulebook.catalogue)]
    for name in INPUTS:
        spark.read.parquet(str(folder / name)).createOrReplaceTempView(name)
    for name, text in texts:
        frame = spark.sql(text)
        if name == "matched":
            frame = frame.persist()
        if name == "retrying":
            frame = broadcast(frame)
        frame.createOrReplaceTempView(name)
    wanted = spark.table(STEPS[-1])
    told = _run(spark, wanted, _Pass(plan, None), decisions)
    if told.waiting:
        closed = allot(told.waiting, plan.queues, plan.about.seats)
        waiting = spark.createDataFrame([(borrower,) for borrower in sorted(closed)], "borrower_id bigint")
        mine = wanted.join(waiting, "borrower_id", "left_semi")
        told.counts.update(_run(spark, mine, _Pass(plan, closed), decisions).counts)
        told.counts["turned_away"] = sum(bool(queues) for queues in closed.values())
    spark.catalog.clearCache()
    return told


@dataclass(frozen=True)
class _Pass:
    """What a worker does with the rows of its task."""

    plan: Plan
    closed: Mapping[int, Closed] | None

    def __call__(self, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        mine = decider(self.plan)
        for batch in batches:
            rows, told = mine.first(batch) if self.closed is None else mine.second(batch, self.closed)
            yield from passed(rows, told)


def _run(spark: "SparkSession", wanted: "DataFrame", work: _Pass, decisions: Path) -> Told:
    tasks = spark.sparkContext.defaultParallelism * _TASKS_PER_CORE
    answers = wanted.repartition(tasks, "borrower_id").mapInArrow(work, _SCHEMA).persist()
    answers.where("told is null").drop("told").write.mode("append").parquet(str(decisions))
    told = heard(bytes(row.told) for row in answers.where("told is not null").select("told").collect())
    answers.unpersist()
    return told
