"""Of whom which kinds of record need not be kept any more, while the person stays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlmodel import Session

from compliance import PackDates
from compliance.dated import Records
from engine.errors import DataError
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.ids import pages
from store.tables import Person
from workflows.privacy.due import BY, Progress, Stop
from workflows.privacy.erase import erase_records
from workflows.privacy.obstacles import open_matters
from workflows.privacy.records import KINDS, Aged, aged, candidates
from workflows.privacy.subject import subject_of

_IDS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class OverRecords:
    """
    Somebody some of whose records are over, or late.

    Attributes:
        kinds: those of which something is over or late. against: why what is over cannot go now; empty: it can.
    """

    ref: str
    kinds: Mapping[Records, Aged]
    against: tuple[str, ...]

    @property
    def going(self) -> tuple[Records, ...]:
        """The kinds of which something can be erased now."""
        return () if self.against else tuple(kind for kind, found in self.kinds.items() if found.records)


def over_records(
    database: Database,
    dates: PackDates,
    *,
    now: datetime,
    today: date,
    progress: Progress = lambda _done, _total: None,
    stop: Stop = lambda: False,
) -> Iterator[OverRecords]:
    """Everybody of whose records something is over or late, in the order of their ids."""
    with reading(database) as reader:
        ranges = [*pages(reader, table_of("person").c.id, _IDS_AT_ONCE)]
    for number, (first, last) in enumerate(ranges, start=1):
        if stop():
            return
        with database.session() as session:
            people = candidates(session, first, last, dates, now=now)
        for person in people:
            # A session a person: nothing that was read is held on to.
            with database.session() as session:
                one = _one(session, person, dates, now, today)
            if one is not None:
                yield one
        progress(number, len(ranges))


def erase_over_records(
    database: Database, dates: PackDates, *, now: datetime, today: date, stop: Stop = lambda: False
) -> dict[str, int]:
    """
    Erase the words of records that are over, of everybody against whom nothing stands, a person a transaction; `leave_nothing` follows.

    What is broken off goes on the next time.

    Returns:
        `records_of`: how many people's.
    """
    done = 0
    for one in over_records(database, dates, now=now, today=today, stop=stop):
        if stop():
            break
        if not one.going:
            continue
        because = "kept long enough: " + ", ".join(sorted({rule for kind in one.going for rule in one.kinds[kind].by}))
        try:
            erase_records(database, one.ref, one.going, dates, because=because, by=BY, now=now, today=today)
        except DataError:
            # Something came in between: the next run looks again.
            continue
        done += 1
    return {"records_of": done}


def _one(session: Session, person: int, dates: PackDates, now: datetime, today: date) -> OverRecords | None:
    row = session.get(Person, person)
    if row is None or row.erased_at is not None:
        return None
    subject = subject_of(session, row)
    found = aged(session, subject, dates, now=now, today=today)
    kinds = {kind: found[kind] for kind in KINDS if kind in found and (found[kind].records or found[kind].late_since)}
    if not kinds:
        return None
    return OverRecords(row.ref, kinds, tuple(problem.what for problem in open_matters(session, subject, now=now)))
