"""
The evidence for a legal referral: everything on file about a loan as it was known at an instant, in one document.

The same book and instant give the same document, byte for byte. Those who stand in the contract are named once, on the first
part; everybody else, and everybody elsewhere, by reference. Numbers, addresses and texts of messages are not in it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from sqlmodel import Session, col, select

from channels.paper import Document, Part
from channels.wording import amount
from store.arrears import read_arrears
from store.decisions import canonical_json
from store.log_kinds import told_text
from store.tables import (
    AccountSnapshot,
    Batch,
    BatchItem,
    Consent,
    Contact,
    ContactLoan,
    ContactStatus,
    DecisionRow,
    Hold,
    Instalment,
    Loan,
    Movement,
    Notice,
    Party,
    Person,
    Promise,
    Proof,
    Run,
    StageChange,
)

_OF_THE_CONTRACT: Final = ("borrower", "co_borrower", "guarantor", "executor", "attorney")


@dataclass(frozen=True, slots=True)
class _Case:
    session: Session
    loan: Loan
    as_of: datetime
    on: date
    people: dict[int, str]
    """Person id -> reference, of everybody around the loan."""

    def money(self, minor: int | None) -> str:
        return "" if minor is None else amount(minor, self.loan.currency, "en")


def evidence(session: Session, loan: Loan, *, lender: str, as_of: datetime, on: date) -> Document:
    """
    The bundle of a loan.

    Args:
        as_of: what was known then; nothing later is in it. on: that day where the lender works, for the arrears.
    """
    parties = session.exec(
        select(Party).where(col(Party.loan_id) == loan.id).order_by(col(Party.role), col(Party.person_id))
    ).all()
    roles = [(loan.borrower_id, "borrower"), *((party.person_id, party.role) for party in parties)]
    rows = {who: session.get_one(Person, who) for who, _ in roles}
    case = _Case(session, loan, as_of, on, {who: row.ref for who, row in rows.items()})
    contacts = _contacts(case)
    parts = [
        _claim(case), _parties(roles, rows), _schedule(case), _ledger(case), _accounts(case), *_log(case, contacts), _notices(case),
        _statements(case), _holds(case), _promises(case), _stages(case), _decisions(case), _papers(case, contacts),
    ]  # fmt: skip
    said = f"Loan {loan.ref}, as known at {_at(as_of)}"
    head = (
        said,
        f"Put together for {lender} from its collections book. Each part stands below with the SHA-256 of its content.",
    )
    return Document("Evidence", head, tuple(replace(part, note=_digest(part)) for part in parts), said, index=True)


def named(session: Session, loan: Loan) -> set[int]:
    """The people whom the bundle of a loan names."""
    parties = session.exec(select(Party).where(col(Party.loan_id) == loan.id)).all()
    return {loan.borrower_id, *(party.person_id for party in parties if party.role in _OF_THE_CONTRACT)}


def _digest(part: Part) -> str:
    """Of what a part says: its title, lines, columns and rows as JSON with sorted keys and no spaces, in UTF-8."""
    said = {"title": part.title, "text": part.text, "columns": part.columns, "rows": list(part.rows)}
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def _claim(case: _Case) -> Part:
    loan = case.loan
    arrears = read_arrears(case.session, loan, on=case.on, known_at=case.as_of)
    return Part(
        "The claim",
        (
            f"Loan {loan.ref}: {loan.product}, {case.money(loan.principal_minor)} paid out on {loan.opened_on}.",
            f"On {case.on} {arrears.dpd} days past due, overdue {case.money(arrears.overdue_minor)}.",
            f"Last day to sue: {loan.limitation_on or 'not on file'}.",
        ),
    )


def _parties(roles: Sequence[tuple[int, str]], rows: dict[int, Person]) -> Part:
    told = [
        (role, rows[who].ref, rows[who].name if role in _OF_THE_CONTRACT else "by reference only")
        for who, role in roles
    ]
    return Part("People", columns=("part", "reference", "name"), rows=told)


def _schedule(case: _Case) -> Part:
    wanted = select(Instalment).where(col(Instalment.loan_id) == case.loan.id).order_by(col(Instalment.number))
    rows = [
        (f"{i.number}", f"{i.due_on}", case.money(i.amount_minor), case.money(i.due_total_minor))
        for i in case.session.exec(wanted)
    ]
    return _part("Schedule", ("number", "due on", "amount", "running total"), rows, (1, 2, 2, 2))


def _ledger(case: _Case) -> Part:
    wanted = select(Movement).where(col(Movement.loan_id) == case.loan.id, col(Movement.recorded_at) <= case.as_of)
    movements = case.session.exec(
        wanted.order_by(col(Movement.effective_on), col(Movement.recorded_at), col(Movement.id))
    ).all()
    refs = {m.id: m.ref for m in movements}
    rows = [
        (f"{m.effective_on}", m.kind.replace("_", " "), case.money(m.amount_minor), m.source, m.ref,
         refs.get(m.reverses_id, ""), _at(m.recorded_at))
        for m in movements
    ]  # fmt: skip
    return _part("Ledger", ("effective", "what", "amount", "source", "reference", "ends", "known since"), rows)


def _accounts(case: _Case) -> Part:
    wanted = select(AccountSnapshot).where(
        col(AccountSnapshot.loan_id) == case.loan.id, col(AccountSnapshot.recorded_at) <= case.as_of
    )
    rows = [
        (f"{s.as_of_on}", f"{s.dpd}", case.money(s.overdue_minor), case.money(s.balance_minor), _at(s.recorded_at))
        for s in case.session.exec(wanted.order_by(col(AccountSnapshot.as_of_on), col(AccountSnapshot.id)))
    ]
    return _part("Account statements", ("as of", "days past due", "overdue", "balance", "known since"), rows)


def _contacts(case: _Case) -> list[Contact]:
    about = select(ContactLoan.contact_id).where(col(ContactLoan.loan_id) == case.loan.id)
    wanted = select(Contact).where(col(Contact.id).in_(about), col(Contact.planned_at) <= case.as_of)
    return list(case.session.exec(wanted.order_by(col(Contact.planned_at), col(Contact.id))))


def _log(case: _Case, contacts: Sequence[Contact]) -> list[Part]:
    """The contacts, and everything that became of each; both only as far as it was known."""
    history: defaultdict[str, list[ContactStatus]] = defaultdict(list)
    wanted = select(ContactStatus).where(
        col(ContactStatus.contact_id).in_([c.id for c in contacts]), col(ContactStatus.at) <= case.as_of
    )
    for line in case.session.exec(wanted.order_by(col(ContactStatus.at), col(ContactStatus.id))):
        history[line.contact_id].append(line)
    made = [
        (c.id, "to" if c.direction == "out" else "from", c.role, case.people.get(c.person_id, "another person"), c.channel,
         c.name or c.purpose, c.rule or "by hand", history[c.id][-1].status if history[c.id] else "")
        for c in contacts
    ]  # fmt: skip
    became = [
        (c.id, _at(line.at), line.status, told_text("contact_status", line.id, line.why))
        for c in contacts
        for line in history[c.id]
    ]
    columns = ("contact", "", "part", "person", "how", "what", "rule", "status")
    return [
        _part("Contacts", columns, made, (2, 0.7, 1.5, 1.5, 1, 2.5, 2.5, 1.3)),
        _part("What became of each contact", ("contact", "when", "status", "why"), became, (2, 2, 1.3, 7)),
    ]


def _notices(case: _Case) -> Part:
    wanted = select(Notice).where(col(Notice.loan_id) == case.loan.id, col(Notice.recorded_at) <= case.as_of)
    rows = [
        (n.kind, case.people.get(n.person_id, "another person"), n.how, f"{n.sent_on}", f"{n.effective_on}", n.contact_id or n.ref,
         _at(n.voided_at) if n.voided_at is not None and n.voided_at <= case.as_of else "")
        for n in case.session.exec(wanted.order_by(col(Notice.sent_on), col(Notice.id)))
    ]  # fmt: skip
    return _part("Notices", ("notice", "to", "how", "sent", "in force", "contact", "void since"), rows)


def _statements(case: _Case) -> Part:
    wanted = select(Consent).where(col(Consent.person_id).in_(case.people), col(Consent.recorded_at) <= case.as_of)
    rows = [
        (_at(c.received_at), case.people[c.person_id], f"{c.kind} {c.scope}".strip(), c.channels, told_text("consent", c.id, c.how),
         told_text("consent", c.id, c.evidence),
         _at(c.until_at) if c.until_at is not None else "", _at(c.recorded_at))
        for c in case.session.exec(wanted.order_by(col(Consent.received_at), col(Consent.id)))
    ]  # fmt: skip
    return _part(
        "Consents and refusals",
        ("received", "person", "what", "channels", "how", "evidence", "until", "known since"),
        rows,
    )


def _holds(case: _Case) -> Part:
    wanted = select(Hold).where(
        col(Hold.person_id).in_(case.people), col(Hold.recorded_at) <= case.as_of,
        col(Hold.loan_id).is_(None) | (col(Hold.loan_id) == case.loan.id),
    )  # fmt: skip
    rows = [
        (h.kind, case.people[h.person_id], h.form, _at(h.starts_at), _at(h.ends_at) if h.ends_at is not None else "", h.owner,
         h.reason)
        for h in case.session.exec(wanted.order_by(col(Hold.starts_at), col(Hold.id)))
    ]  # fmt: skip
    return _part("Disputes and other holds", ("hold", "person", "form", "from", "to", "owner", "reason"), rows)


def _promises(case: _Case) -> Part:
    wanted = select(Promise).where(col(Promise.loan_id) == case.loan.id, col(Promise.made_at) <= case.as_of)
    rows = [
        (_at(p.made_at), f"{p.due_on}", case.money(p.amount_minor), _settled(p, case.on), p.contact_id or p.ref)
        for p in case.session.exec(wanted.order_by(col(Promise.made_at), col(Promise.id)))
    ]
    return _part("Promises", ("made", "for", "amount", "result", "contact"), rows)


def _settled(promise: Promise, on: date) -> str:
    if promise.settled_on is None or promise.settled_on > on:
        return "open"
    return f"{promise.status} on {promise.settled_on}"


def _stages(case: _Case) -> Part:
    wanted = select(StageChange).where(col(StageChange.loan_id) == case.loan.id, col(StageChange.at) <= case.as_of)
    rows = [
        (_at(s.at), s.source, s.target, s.cause, told_text("stage_change", s.id, s.reason))
        for s in case.session.exec(wanted.order_by(col(StageChange.at), col(StageChange.id)))
    ]
    return _part("Stages", ("when", "from", "to", "by", "reason"), rows)


def _decisions(case: _Case) -> Part:
    wanted = (
        select(DecisionRow, Run.gate_digest)
        .join(Run, col(Run.id) == col(DecisionRow.run_id))
        .where(col(DecisionRow.loan_id) == case.loan.id, col(DecisionRow.now_at) <= case.as_of)
        .order_by(col(DecisionRow.now_at), col(DecisionRow.run_id))
    )
    rows = [
        (f"{d.run_id}", _at(d.now_at), f"{d.stage_before} -> {d.stage_after}", d.outcome, d.rule or "", d.reasons,
         (d.strategy_digest or "")[:16], gate[:16], _hash(d.facts_json), _hash(d.trace_json))
        for d, gate in case.session.exec(wanted)
    ]  # fmt: skip
    columns = ("run", "when", "stage", "outcome", "rule", "limits", "strategy", "packs", "facts", "reasons")
    return _part("Decisions", columns, rows, (0.6, 1.5, 1.6, 1.2, 1.6, 2, 1.7, 1.7, 1.7, 1.7))


def _papers(case: _Case, contacts: Sequence[Contact]) -> Part:
    """Letters as they were printed, and what shows that visits were made, by their hashes."""
    ids = [contact.id for contact in contacts]
    wanted = (
        select(BatchItem)
        .join(Batch, col(Batch.id) == col(BatchItem.batch_id))
        .where(col(BatchItem.contact_id).in_(ids), col(BatchItem.digest) != "", col(Batch.made_at) <= case.as_of)
    )
    printed = case.session.exec(wanted.order_by(col(BatchItem.contact_id), col(BatchItem.batch_id)))
    proofs = case.session.exec(
        select(Proof)
        .where(col(Proof.contact_id).in_(ids), col(Proof.recorded_at) <= case.as_of)
        .order_by(col(Proof.contact_id), col(Proof.digest))
    )
    rows = [(item.contact_id, f"letter, batch {item.batch_id}, {item.post}", item.digest) for item in printed]
    rows += [(proof.contact_id, f"proof, {proof.size_bytes} bytes, {proof.people}", proof.digest) for proof in proofs]
    return _part("Letters and proofs", ("contact", "what", "SHA-256"), rows, (2, 3, 5))


def _part(
    title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], widths: tuple[float, ...] = ()
) -> Part:
    known = list(rows)
    return Part(title, (), columns, known, widths) if known else Part(title, ("Nothing on file.",))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
