"""How old what is known is, and files that are refused whole."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from engine.errors import DataError
from store.db import Database
from store.tables import Feed
from tests.imports import AS_OF, LATER, LOANS, MOVEMENTS, NOW, PEOPLE, Importer, counts, dump
from workflows.importing import import_folder


def ages(database: Database, kind: str) -> list[tuple[datetime, str, int]]:
    """as_of, status, rejected of a kind's feeds."""
    with database.session() as session:
        feeds = session.exec(select(Feed).where(Feed.kind == kind).order_by(col(Feed.id))).all()
    return [(feed.as_of_at, feed.status, feed.rejected) for feed in feeds]


def test_every_feed_records_its_age(book: Importer) -> None:
    """A file without news, or the same bytes again, is as fresh as it says; one of which nothing was taken is not."""
    assert ages(book.database, "movements") == [(AS_OF, "done", 0)]
    nothing = MOVEMENTS.splitlines()[0]
    assert counts(book.take("movements", nothing, as_of=AS_OF + timedelta(hours=1))) == (0, 0, 0, 0, 0)
    assert ages(book.database, "movements")[-1] == (AS_OF + timedelta(hours=1), "done", 0)
    book.take("movements", nothing, **LATER)
    book.take("movements", nothing, as_of=AS_OF, now=LATER["now"])
    assert ages(book.database, "movements") == [(AS_OF, "done", 0), (LATER["as_of"], "done", 0)]
    book.take("movements", MOVEMENTS.replace("L1", "L7"), **LATER)
    assert ages(book.database, "movements")[-1] == (LATER["as_of"], "rejected", 3)


def test_a_file_from_the_future_or_of_no_time(book: Importer) -> None:
    """Is refused whole: its age is what dunning depends on."""
    mend = "\n  mend: say when it was made, e.g. `--as-of 2026-03-02T06:00+08:00`"
    with pytest.raises(DataError) as error:
        book.take("movements", MOVEMENTS, as_of=NOW + timedelta(minutes=1))
    said = str(error.value).replace(f"{book.folder}/", "")
    assert said == f"movements.csv: it is as of 2026-03-02 08:01Z, which is still to come{mend}"
    with pytest.raises(DataError) as error:
        book.take("movements", MOVEMENTS, as_of=None)
    said = str(error.value).replace(f"{book.folder}/", "")
    assert said == f"movements.csv: a file of movements has an age, and it is not told{mend}"
    assert counts(book.take("people", PEOPLE, as_of=None)) == (0, 0, 0, 3, 0)


def test_one_refused_file_stops_the_others(importer: Importer) -> None:
    """All are read before the first is written, and every problem of all of them is told."""
    for name, text in (("people", PEOPLE), ("loans", LOANS.replace("product", "products")), ("movements", "ref\n")):
        (importer.folder / f"{name}.csv").write_text(text)
    before = dump(importer.database, leave_out=())
    with pytest.raises(DataError) as error:
        import_folder(importer.database, importer.folder, as_of=AS_OF, now=NOW, catalogue=importer.catalogue)
    files = [problem.at.file.rpartition("/")[2] for problem in error.value.problems if problem.at]
    assert files == ["loans.csv"] * 2 + ["movements.csv"] * 4
    assert dump(importer.database, leave_out=()) == before
