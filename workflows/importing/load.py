"""
Import files: each is checked, compared with the book, and written in one transaction, or refused whole.

The same file twice changes nothing. A killed import leaves nothing behind, because everything a file brings is one
transaction. Imports run one at a time; everybody else goes on working meanwhile.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from engine.errors import DataError, Place, Problem
from engine.facts import Catalogue
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction
from store.db import Database
from store.duck import Effort
from store.lock import sole
from store.settings import read_setting
from workflows.importing import rejects
from workflows.importing.check import check
from workflows.importing.compare import compare
from workflows.importing.contract import Kind
from workflows.importing.delivery import CHECKED, Delivery, Imported
from workflows.importing.files import find_files
from workflows.importing.read import Source, read_source
from workflows.importing.write import find_concerned, lock_concerned, write

Progress = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


def import_folder(
    database: Database,
    folder: Path,
    *,
    as_of: datetime | None,
    now: datetime,
    catalogue: Catalogue,
    source: str = "core",
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> list[Imported]:
    """Import every file of a folder that is named after its kind; see `import_files`."""
    files = find_files(folder)
    return import_files(
        database, files, as_of=as_of, now=now, catalogue=catalogue, source=source, dry_run=dry_run, progress=progress
    )


def import_file(
    database: Database,
    kind: Kind,
    path: Path,
    *,
    as_of: datetime | None,
    now: datetime,
    catalogue: Catalogue,
    source: str = "core",
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Imported:
    """Import one file; see `import_files`."""
    files = [(kind, path)]
    return import_files(
        database, files, as_of=as_of, now=now, catalogue=catalogue, source=source, dry_run=dry_run, progress=progress
    )[0]


def import_files(
    database: Database,
    files: Sequence[tuple[Kind, Path]],
    *,
    as_of: datetime | None,
    now: datetime,
    catalogue: Catalogue,
    source: str = "core",
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> list[Imported]:
    """
    Import files in this order, each in a transaction of its own.

    All of them are read before the first is written, so that one that is refused stops the others too. A dry run does
    everything and then undoes it, in one transaction: later files may refer to what earlier ones would bring.

    Args:
        as_of: the instant whose state the files describe; None is now, and is refused where a file's age matters.
        source: who says so: part of the natural key of movements.
    Raises:
        DataError: a file as a whole is not what it says it is, or is from the future.
        StoreError: another import is running, or the database cannot be written; the files before stay imported.
    """
    rows = _inspect_all(files, as_of, now)
    with database.session() as session:
        bucket_key = read_setting(session, "bucket_key") or ""
    results: list[Imported] = []

    def take(transaction: BulkTransaction | None) -> None:
        import duckdb

        for number, (kind, path) in enumerate(files):
            file = _read(kind, path, as_of, now)
            told = partial(_tell, progress, sum(rows[:number]), file.count, sum(rows) or file.count)
            with duckdb.connect() as con:
                Effort(con).suit(file.count)
                delivery = Delivery(
                    con, kind, file, source, as_of or now, now, catalogue, bucket_key, database.dialect, told
                )  # fmt: skip
                results.append(_take(database, delivery, transaction))
            told(1.0)

    with sole(database, "import", what="an import"):
        if not dry_run:
            take(None)
            return results
        with writing(database) as transaction:
            take(transaction)
            transaction.rollback()
    return results


def _tell(progress: Progress, before: int, rows: int, total: int, share: float) -> None:
    progress(before + int(share * rows), total)


def _inspect_all(files: Sequence[tuple[Kind, Path]], as_of: datetime | None, now: datetime) -> list[int]:
    """How many rows each of several files has; every file that is to be refused is listed before the first is written."""
    rows: list[int] = []
    problems: list[Problem] = []
    for kind, path in files if len(files) > 1 else ():
        try:
            rows.append(_read(kind, path, as_of, now).count)
        except DataError as e:
            problems += e.problems
    if problems:
        raise DataError(problems)
    return rows


def _read(kind: Kind, path: Path, as_of: datetime | None, now: datetime) -> Source:
    """Read a file, and refuse it whole if it is not what it says or of no time that can be."""
    file, at = read_source(path, kind), Place(str(path))
    if as_of is None and kind.dated:
        raise DataError(Problem(f"a file of {kind.name} has an age, and it is not told", _AS_OF_MEND, at))
    if as_of is not None and as_of > now:
        raise DataError(Problem(f"it is as of {as_of:%Y-%m-%d %H:%M}Z, which is still to come", _AS_OF_MEND, at))
    return file


_AS_OF_MEND = "say when it was made, e.g. `--as-of 2026-03-02T06:00+08:00`"


def _take(database: Database, delivery: Delivery, dry_run: BulkTransaction | None) -> Imported:
    """One file; on a dry run in a transaction that its caller undoes."""
    if dry_run is not None:
        check(delivery, dry_run)
        return _write(delivery, dry_run, dry_run=True)
    with reading(database) as reader:
        check(delivery, reader)
    delivery.progress(CHECKED)
    with writing(database) as transaction:
        return _write(delivery, transaction, dry_run=False)


def _write(delivery: Delivery, transaction: BulkTransaction, *, dry_run: bool) -> Imported:
    find_concerned(delivery)
    lock_concerned(delivery, transaction)
    compare(delivery, transaction)
    rejects.reject_copies(delivery.con)
    write(delivery, transaction)
    # Before the commit: rows that were not taken and of which nobody hears would be lost.
    rejects_file = rejects.write(delivery.con, delivery.file.path)
    added, altered, rejected = delivery.count("fresh"), delivery.count("altered"), rejects.count(delivery.con)
    return Imported(
        kind=delivery.kind.name,
        file=str(delivery.file.path),
        rows=delivery.file.count,
        added=added,
        changed=altered,
        same=delivery.file.count - added - altered - rejected,
        rejected=rejected,
        removed=delivery.count("gone"),
        reasons=rejects.reasons(delivery.con),
        rejects_file=str(rejects_file) if rejects_file else None,
        dry_run=dry_run,
    )
