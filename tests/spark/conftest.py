"""One Spark for the whole run: a cluster on this machine, of two executors that are processes of their own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MASTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """Skips where pyspark is not installed."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: `make test-spark` does it")
    from workflows.offline.on_spark import session

    with session(MASTER, {"spark.sql.shuffle.partitions": "4"}) as running:
        yield running
