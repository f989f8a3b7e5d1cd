"""Evidence in which people can be recognised: never handed out without its deeds in the log, and by whom and what for beside them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select
from sqlmodel import col, select

from engine.errors import DataError, Problem
from store.db import Database
from store.deeds import record_about
from store.tables import Consent, Contact, ContactStatus, Loan, StageChange

_KEYS_AT_ONCE: Final = 500
_WHOSE: Final[Mapping[str, tuple[Select[Any], Any]]] = {
    "contact_status": (
        select(Contact.person_id).join(ContactStatus, col(ContactStatus.contact_id) == col(Contact.id)),
        col(ContactStatus.id),
    ),
    "override": (select(Contact.person_id), col(Contact.id)),
    "consent": (select(Consent.person_id), col(Consent.id)),
    "stage_change": (
        select(Loan.borrower_id).join(StageChange, col(StageChange.loan_id) == col(Loan.id)),
        col(StageChange.id),
    ),
}
"""Kind of entry -> whose withheld words it holds, and by which column its key is found. The other kinds hold nobody's."""


def say_whose_reasons(by: str, because: str) -> None:
    """
    Refuse evidence that nobody answers for; to be asked before it is put together.

    Raises:
        DataError: it is not said who hands it out, or what for.
    """
    if not because.strip() or not by.strip():
        what = "it is not said who hands it out, or what for"
        raise DataError(Problem(what, "write `--by NAME --because TEXT`"))


def handed_out(
    database: Database,
    people: Iterable[int],
    subject: str,
    detail: Mapping[str, object],
    *,
    by: str,
    because: str,
    now: datetime,
) -> None:
    """
    A deed for each of the people in it. Said before it is done: whatever leaves is in the log.

    Args:
        subject: a row, such as `loan:7`, or `log`. detail: counts and hashes.
    Raises:
        DataError: it is not said who hands it out, or what for.
    """
    say_whose_reasons(by, because)
    with database.write() as session:
        for person in sorted(set(people)):
            record_about(session, "evidence", subject, detail, person=person, by=by, because=because, now=now)


def people_of(database: Database, entries: Collection[tuple[str, str]]) -> set[int]:
    """Those whose withheld words these entries of the log hold."""
    found: set[int] = set()
    with database.session() as session:
        for kind, (whose, key) in _WHOSE.items():
            keys = [each for of, each in entries if of == kind]
            typed = keys if kind == "override" else [int(each) for each in keys]
            for start in range(0, len(typed), _KEYS_AT_ONCE):
                found.update(session.exec(whose.where(key.in_(typed[start : start + _KEYS_AT_ONCE]))))  # type: ignore[call-overload]
    return found
