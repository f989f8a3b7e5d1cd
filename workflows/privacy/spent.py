"""Where words stand that nothing needs any more but a law's clock: kind of record by kind of record, as queries."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, String, and_, cast, exists, func, literal, or_, type_coerce
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col, select

from compliance.dated import Records
from engine.gate import CHANNELS
from store.log_kinds import erased_text
from store.outbox import tasks
from store.tables import (
    BatchItem,
    Consent,
    Contact,
    ContactStatus,
    Duty,
    Hold,
    Loan,
    MessageText,
    Notice,
    OverrideRow,
    Party,
    Promise,
    Proof,
    StageChange,
    Visit,
)
from store.tables.people import ORAL

UNFINISHED: Final = ("planned", "claimed", "sending", "unknown")
"""Of a contact: something may still become of it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Rows of one table that hold words of a kind of record.

    Attributes:
        person: whose. at: the day or instant that the record is of. loan: which loan it is about; None there: every one of theirs.
        where: it holds words, and nothing but a clock needs them, as of an instant.
        join: the tables by which it is found, with how. of_contact: it is about the loans of its contact too.
    """

    records: Records
    table: type[SQLModel]
    person: Any
    at: Any
    loan: Any
    where: Callable[[datetime], ColumnElement[bool]]
    join: tuple[Any, ColumnElement[bool]] | None = None
    of_contact: bool = False

    def rows(self, now: datetime) -> Any:
        """The rows, with their instants and loans."""
        return self._from(select(self.table, self.at, self.loan)).where(self.where(now))

    def people(self, now: datetime) -> Any:
        """Whose they are."""
        return self._from(select(self.person).distinct()).where(self.where(now))

    def before(self, instant: datetime) -> ColumnElement[bool]:
        """Those from before an instant."""
        is_day = isinstance(self.at.type, Date)
        found: ColumnElement[bool] = self.at < (instant.date() if is_day else instant)
        return found

    def _from(self, query: Any) -> Any:
        query = query.select_from(self.table)
        return query if self.join is None else query.join(*self.join, isouter=self.table is Duty)


def _filled(kind: str, column: Any, key: Any) -> ColumnElement[bool]:
    """A text of the log that was not erased."""
    return and_(_kept(column) != "", _kept(column) != literal(erased_text(kind, "")) + cast(key, String))


def _kept(column: Any) -> Any:
    """A sealed column as it stands: whether it is empty, or one of the words that stay as they are, shows in the clear."""
    return type_coerce(column, String)


_UNSETTLED: Final = exists().where(col(Promise.contact_id) == col(Contact.id), col(Promise.status) == "open")
_WAITS: Final = and_(col(Contact.status) == "sent", tasks(), col(Contact.outcome) == "")
_OVER: Final = and_(col(Contact.status).not_in(UNFINISHED), ~_WAITS, ~_UNSETTLED)


def _of_contact(
    table: type[SQLModel],
    filled: ColumnElement[bool] | None = None,
    *,
    records: Records = "contacts",
    at: Any = None,
) -> Spent:
    """Rows about a contact that is over."""
    where = _OVER if filled is None else and_(_OVER, filled)
    join = None if table is Contact else (Contact, col(Contact.id) == table.contact_id)  # type: ignore[attr-defined]
    at = col(Contact.at) if at is None else at
    return Spent(
        records, table, col(Contact.person_id), at, col(Contact.loan_id), lambda _: where, join, of_contact=True
    )


def _without_effect(now: datetime) -> ColumnElement[bool]:
    """Statements that lapsed, that the same person made anew, or of people about whom nothing is decided any more."""
    later = aliased(Consent)
    same = (
        getattr(later, name) == getattr(Consent, name)
        for name in ("person_id", "kind", "scope", "channels", "purposes", "detail_json")
    )
    after = or_(
        col(later.received_at) > col(Consent.received_at),
        and_(col(later.received_at) == col(Consent.received_at), col(later.id) > col(Consent.id)),
    )
    there = func.coalesce(later.endpoint_id, 0) == func.coalesce(Consent.endpoint_id, 0)
    is_open = col(Loan.stage) != "closed"
    person = col(Consent.person_id)
    part = and_(col(Party.person_id) == person, col(Loan.id) == col(Party.loan_id), is_open)
    return or_(
        col(Consent.until_at) <= now,
        exists().where(*same, there, after),
        ~exists().where(col(Loan.borrower_id) == person, is_open) & ~exists().where(part),
    )


def _statements(now: datetime) -> ColumnElement[bool]:
    said = and_(_filled("consent", col(Consent.how), col(Consent.id)), _kept(col(Consent.how)).not_in(ORAL))
    others = (_filled("consent", column, col(Consent.id)) for column in (col(Consent.evidence), col(Consent.source)))
    return and_(or_(said, *others), _without_effect(now))


_CALL: Final = col(Contact.channel) == "call"

SPENT: Final = (
    _of_contact(Contact, or_(_kept(col(Contact.why)) != "", col(Contact.error).is_not(None))),
    _of_contact(
        ContactStatus, _filled("contact_status", col(ContactStatus.why), col(ContactStatus.id)), at=col(ContactStatus.at)
    ),
    _of_contact(MessageText),
    _of_contact(Visit, col(Visit.area) != ""),
    _of_contact(BatchItem, or_(col(BatchItem.file) != "", col(BatchItem.result_json) != "{}")),
    _of_contact(Proof, ~_CALL, at=col(Proof.at)),
    Spent(
        "contacts", Notice, col(Notice.person_id), col(Notice.sent_on), col(Notice.loan_id),
        lambda _: and_(col(Notice.how) != "", col(Notice.how).not_in(CHANNELS)),
    ),
    _of_contact(Proof, _CALL, records="recordings", at=col(Proof.at)),
    Spent(
        "decisions", StageChange, col(Loan.borrower_id), col(StageChange.at), col(StageChange.loan_id),
        lambda _: _filled("stage_change", col(StageChange.reason), col(StageChange.id)),
        (Loan, col(Loan.id) == col(StageChange.loan_id)),
    ),
    _of_contact(
        OverrideRow, _filled("override", col(OverrideRow.evidence), col(OverrideRow.contact_id)),
        records="decisions", at=col(OverrideRow.at),
    ),
    Spent(
        "complaints", Hold, col(Hold.person_id), col(Hold.ends_at), col(Hold.loan_id),
        lambda now: and_(col(Hold.ends_at) <= now, _kept(col(Hold.reason)) != ""),
    ),
    Spent(
        "complaints", Duty, func.coalesce(Duty.person_id, Loan.borrower_id), col(Duty.closed_at), col(Duty.loan_id),
        lambda _: and_(col(Duty.status).in_(("done", "void")), col(Duty.closed_at).is_not(None), _kept(col(Duty.evidence)) != ""),
        (Loan, col(Loan.id) == col(Duty.loan_id)),
    ),
    Spent("consents", Consent, col(Consent.person_id), col(Consent.recorded_at), literal(None), _statements),
)  # fmt: skip
"""Every place, kind by kind; `recordings` are files kept elsewhere, of which the hash goes here."""
