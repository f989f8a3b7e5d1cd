"""Going over all the ids that there are, however far apart they stand."""

import pyarrow as pa
import pytest
from sqlalchemy import text

from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.db import Database
from store.ids import FIRST, LAST, pages

NUMBER = table_of("log_node").c.number


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((), []),
        ((0,), [(0, 9)]),
        ((1, 9, 10, 11, 30), [(1, 10), (11, 20), (30, 39)]),
        ((-5, 2**38, 2**62), [(-5, 4), (2**38, 2**38 + 9), (2**62, 2**62 + 9)]),
        ((FIRST, LAST - 20, LAST - 3, LAST), [(FIRST, FIRST + 9), (LAST - 20, LAST - 11), (LAST - 3, LAST)]),
    ],
)
def test_pages_go_over_what_is_there(
    database: Database, numbers: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    """Each begins with a number that is there, and the last number of all ends them."""
    hashes = pa.array([b"x" * 32] * len(numbers), pa.binary())
    with writing(database) as transaction:
        transaction.append("log_node", pa.table({"level": [1] * len(numbers), "number": numbers, "hash": hashes}))
    with reading(database) as reader:
        assert [*pages(reader, NUMBER, 10)] == expected


def test_what_is_no_whole_number_ends_nothing(sqlite_database: Database) -> None:
    """SQLite keeps texts, halves and the infinite where somebody writes them."""
    with sqlite_database.write() as session:
        for number in ("3", "7.5", "'12'", "'x'", "9e999", "-9e999", "x'00'"):
            session.connection().execute(text(f"insert into log_node values (1, {number}, x'00')"))
    with reading(sqlite_database) as reader:
        assert [*pages(reader, NUMBER, 3)] == [(3, 5), (7, 9), (12, 14)]
