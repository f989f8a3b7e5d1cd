"""
Everything the book holds about a person, section by section, as it is handed to them.

What is another person's is not in it: their numbers, names and words, and the loan of somebody whose contact person this
is. Whoever works for the lender is a role. Amounts are in the loan's currency, instants in UTC.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlmodel import Session, col, or_, select

from channels.wording import address_text, amount
from compliance import PackDates
from engine.decision import ActJudged, LoanDecision
from engine.explain import explain_loan, from_json
from engine.explain_tree import ExplainNode
from engine.rulebook import Rulebook
from store.log_kinds import told_text
from store.tables import (
    AccountSnapshot,
    Batch,
    BatchItem,
    Consent,
    Contact,
    ContactStatus,
    DecisionRow,
    Deed,
    DeedNote,
    Duty,
    Endpoint,
    FactValue,
    Hold,
    Instalment,
    Loan,
    MessageText,
    Movement,
    Notice,
    Promise,
    StageChange,
)
from workflows.privacy.clocks import clocks
from workflows.privacy.strangers import strangers
from workflows.privacy.subject import Subject

OF_THE_CONTRACT: Final = frozenset({"borrower", "co_borrower", "guarantor", "executor", "attorney"})
"""Whoever stands in one of these roles is told of the loan; anybody else only that they are on file for one."""

Row = dict[str, Any]
Data = Mapping[str, Sequence[Row]]
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Telling:
    """What a section is made from. `loans`: those that the person is told of; `without_others`: takes what is not theirs out of a text."""

    session: Session
    subject: Subject
    loans: tuple[Loan, ...]
    rulebook: Rulebook
    without_others: Callable[[str], str]

    @property
    def ids(self) -> list[int]:
        """The ids of these loans."""
        return [loan.id or 0 for loan in self.loans]

    def ref(self, loan: int | None) -> str | None:
        """What the lender calls a loan; nothing of one that is not theirs to know."""
        return next((one.ref for one in self.loans if one.id == loan), None)

    def money(self, loan: int, minor: int) -> str:
        """An amount of a loan."""
        return amount(minor, next(one.currency for one in self.loans if one.id == loan), "en")

    def of_contacts(self, table: Any, column: Any) -> Iterator[Any]:
        """Rows about the contacts with this person."""
        theirs = self.subject.theirs
        for start in range(0, len(theirs), _AT_ONCE):
            yield from self.session.exec(select(table).where(column.in_(theirs[start : start + _AT_ONCE])))


def person_data(
    session: Session, subject: Subject, rulebook: Rulebook, dates: PackDates, *, now: datetime, today: date
) -> Data:
    """Every section by name; one with nothing in it is an empty list."""
    loans = tuple(loan for loan, roles in subject.loans if OF_THE_CONTRACT.intersection(roles))
    telling = Telling(session, subject, loans, rulebook, strangers(session, subject))
    found: dict[str, Sequence[Row]] = {name: list(section(telling)) for name, section in _SECTIONS.items()}
    mine = {loan.ref for loan in loans}
    found["kept_until"] = [
        {"loan": one.loan if one.loan in mine else None, "records": one.records, "until": one.to, "law": one.citation,
         "says": one.says}
        for one in clocks(session, subject, dates, now=now, today=today)
    ]  # fmt: skip
    return found


def _you(telling: Telling) -> Iterator[Row]:
    person = telling.subject.person
    yield {
        "reference": person.ref, "name": person.name, "language": person.language, "country": person.country,
        "region": person.region, "time_zones": person.zones, "preferred_channel": person.preferred_channel,
        "on_file_since": person.created_at,
    }  # fmt: skip


def _endpoints(telling: Telling) -> Iterator[Row]:
    wanted = select(Endpoint).where(col(Endpoint.person_id) == telling.subject.id).order_by(col(Endpoint.id))
    for one in telling.session.exec(wanted):
        yield {
            "kind": one.kind, "value": address_text(one.value), "place": one.place, "area": one.area, "in_use": one.valid, "basis": one.basis,
            "basis_since": one.basis_at, "source": one.source, "marks": f"{one.marks} {one.learnt_marks}".strip(),
            "on_file_since": one.recorded_at,
        }  # fmt: skip


def _loans(telling: Telling) -> Iterator[Row]:
    for loan, roles in telling.subject.loans:
        if loan not in telling.loans:
            yield {"loan": None, "your_part": ", ".join(roles)}
            continue
        yield {
            "loan": loan.ref, "your_part": ", ".join(roles), "product": loan.product,
            "paid_out": telling.money(loan.id or 0, loan.principal_minor), "opened_on": loan.opened_on, "stage": loan.stage,
            "in_this_stage_since": loan.stage_on, "handled_by": loan.custody, "last_day_to_sue": loan.limitation_on,
        }  # fmt: skip


def _ledger(telling: Telling) -> Iterator[Row]:
    ids = telling.ids
    for due in telling.session.exec(
        select(Instalment)
        .where(col(Instalment.loan_id).in_(ids))
        .order_by(col(Instalment.loan_id), col(Instalment.number))
    ):
        yield {"loan": telling.ref(due.loan_id), "what": f"instalment {due.number}, due", "on": due.due_on,
               "amount": telling.money(due.loan_id, due.amount_minor)}  # fmt: skip
    wanted = select(Movement).where(col(Movement.loan_id).in_(ids))
    for one in telling.session.exec(
        wanted.order_by(col(Movement.loan_id), col(Movement.effective_on), col(Movement.id))
    ):
        yield {"loan": telling.ref(one.loan_id), "what": one.kind.replace("_", " "), "on": one.effective_on,
               "amount": telling.money(one.loan_id, one.amount_minor), "reference": one.ref}  # fmt: skip
    said = select(AccountSnapshot).where(col(AccountSnapshot.loan_id).in_(ids))
    for snapshot in telling.session.exec(said.order_by(col(AccountSnapshot.as_of_on), col(AccountSnapshot.id))):
        yield {"loan": telling.ref(snapshot.loan_id), "what": f"overdue for {snapshot.dpd} days", "on": snapshot.as_of_on,
               "amount": telling.money(snapshot.loan_id, snapshot.overdue_minor)}  # fmt: skip


def _facts(telling: Telling) -> Iterator[Row]:
    wanted = select(FactValue).where(col(FactValue.loan_id).in_(telling.subject.own_loans))
    for one in telling.session.exec(wanted.order_by(col(FactValue.as_of_at), col(FactValue.id))):
        value = one.text if one.number is None else one.number
        yield {"loan": telling.ref(one.loan_id), "fact": one.name, "value": value, "as_of": one.as_of_at}


def _contacts(telling: Telling) -> Iterator[Row]:
    values = _values(telling)
    for one in sorted(telling.of_contacts(Contact, col(Contact.id)), key=lambda one: (one.at, one.id)):
        yield {
            "contact": one.id, "at": one.at, "from": "you" if one.direction == "in" else _maker(one), "channel": one.channel,
            "number_or_address": values.get(one.endpoint_id), "loan": telling.ref(one.loan_id), "purpose": one.purpose,
            "why": _because(telling, one), "status": one.status, "result": one.outcome, "sent_through": one.provider,
        }  # fmt: skip


def _because(telling: Telling, contact: Contact) -> str:
    """The reason that the strategy gives for the rule that asked for it."""
    for strategy in telling.rulebook.strategies.values():
        for rules in strategy.rules.values():
            for rule in rules:
                if contact.rule in (rule.id, *rule.was):
                    return rule.because
    return "" if contact.rule else "a person decided so"


def _maker(contact: Contact) -> str:
    return "the lender" if contact.by == "lender" else f"{contact.by}, for the lender"


def _values(telling: Telling) -> dict[int | None, str]:
    wanted = select(Endpoint).where(col(Endpoint.person_id) == telling.subject.id)
    return {one.id: address_text(one.value) for one in telling.session.exec(wanted)}


def _became(telling: Telling) -> Iterator[Row]:
    lines = telling.of_contacts(ContactStatus, col(ContactStatus.contact_id))
    for one in sorted(lines, key=lambda one: (one.at, one.id)):
        yield {
            "contact": one.contact_id,
            "at": one.at,
            "status": one.status,
            "why": telling.without_others(told_text("contact_status", one.id, one.why)),
        }


def _messages(telling: Telling) -> Iterator[Row]:
    for one in telling.of_contacts(MessageText, col(MessageText.contact_id)):
        yield {"contact": one.contact_id, "subject": one.subject, "text": one.text}


def _consents(telling: Telling) -> Iterator[Row]:
    values = _values(telling)
    wanted = select(Consent).where(col(Consent.person_id) == telling.subject.id)
    for one in telling.session.exec(wanted.order_by(col(Consent.received_at), col(Consent.id))):
        yield {
            "at": one.received_at, "what": f"{one.kind} {one.scope}".strip(), "channels": one.channels, "purposes": one.purposes,
            "number_or_address": values.get(one.endpoint_id), "said_to": one.given_to, "how": telling.without_others(told_text("consent", one.id, one.how)),
            "evidence": telling.without_others(told_text("consent", one.id, one.evidence)), "until": one.until_at, "on_file_since": one.recorded_at,
        }  # fmt: skip


def _holds(telling: Telling) -> Iterator[Row]:
    wanted = select(Hold).where(col(Hold.person_id) == telling.subject.id).order_by(col(Hold.starts_at), col(Hold.id))
    for one in telling.session.exec(wanted):
        yield {"loan": telling.ref(one.loan_id), "what": one.kind, "form": one.form, "from": one.starts_at, "to": one.ends_at,
               "looked_at_again_on": one.review_on, "reason": telling.without_others(one.reason)}  # fmt: skip


def _promises(telling: Telling) -> Iterator[Row]:
    wanted = select(Promise).where(col(Promise.loan_id).in_(telling.subject.own_loans))
    for one in telling.session.exec(wanted.order_by(col(Promise.made_at), col(Promise.id))):
        yield {"loan": telling.ref(one.loan_id), "made_at": one.made_at, "for": one.due_on,
               "amount": telling.money(one.loan_id, one.amount_minor), "result": one.status}  # fmt: skip


def _notices(telling: Telling) -> Iterator[Row]:
    wanted = (
        select(Notice).where(col(Notice.person_id) == telling.subject.id).order_by(col(Notice.sent_on), col(Notice.id))
    )
    for one in telling.session.exec(wanted):
        yield {"loan": telling.ref(one.loan_id), "what": one.kind, "how": one.how, "sent_on": one.sent_on,
               "in_force_on": one.effective_on, "void_since": one.voided_at}  # fmt: skip


def _duties(telling: Telling) -> Iterator[Row]:
    about = or_(col(Duty.person_id) == telling.subject.id, col(Duty.loan_id).in_(telling.subject.own_loans))
    for one in telling.session.exec(select(Duty).where(about).order_by(col(Duty.due_on), col(Duty.id))):
        yield {"loan": telling.ref(one.loan_id), "what": one.what, "due_on": one.due_on, "state": one.status,
               "done_at": one.closed_at}  # fmt: skip


def _stages(telling: Telling) -> Iterator[Row]:
    wanted = select(StageChange).where(col(StageChange.loan_id).in_(telling.ids))
    for one in telling.session.exec(wanted.order_by(col(StageChange.at), col(StageChange.id))):
        yield {"loan": telling.ref(one.loan_id), "at": one.at, "from": one.source, "to": one.target,
               "reason": telling.without_others(told_text("stage_change", one.id, one.reason) or one.cause)}  # fmt: skip


def _decisions(telling: Telling) -> Iterator[Row]:
    wanted = select(DecisionRow).where(col(DecisionRow.loan_id).in_(telling.subject.own_loans))
    for one in telling.session.exec(wanted.order_by(col(DecisionRow.now_at), col(DecisionRow.run_id))):
        strategy = telling.rulebook.strategies.get(one.strategy or "")
        if strategy is not None and strategy.digest != one.strategy_digest:
            strategy = None  # it says something else by now
        facts = json.loads(one.facts_json)
        answer = _about(from_json(one.trace_json), telling.subject.id)
        tree = explain_loan(
            answer, on=one.on_on, facts=facts, strategy=strategy, catalogue=telling.rulebook.catalogue,
            names={loan.id or 0: loan.ref for loan in telling.loans},
        )  # fmt: skip
        yield {"loan": telling.ref(one.loan_id), "at": one.now_at, "outcome": one.outcome, "rule": one.rule,
               "known_then": facts, "explanation": [telling.without_others(line) for line in _lines(tree)]}  # fmt: skip


def _about(answer: LoanDecision, person: int) -> LoanDecision:
    """A decision without what it says of anybody else."""

    def theirs(acts: Iterable[ActJudged]) -> tuple[ActJudged, ...]:
        return tuple(act for act in acts if act.person == person)

    by_hand = answer.by_hand and replace(
        answer.by_hand, by="an agent", acts=theirs(answer.by_hand.acts), approved_by="an agent"
    )
    return replace(
        answer,
        candidates=tuple(replace(one, acts=theirs(one.acts)) for one in answer.candidates),
        contacts=tuple(one for one in answer.contacts if one.person == person),
        by_hand=by_hand,
    )


def _lines(node: ExplainNode, depth: int = 0) -> Iterator[str]:
    yield "  " * depth + node.label
    for child in node.children:
        yield from _lines(child, depth + 1)


def _recipients(telling: Telling) -> Iterator[Row]:
    """Who was given any of it: providers, print shops and diallers, agencies, and this person."""
    through: dict[str, list[datetime]] = {}
    for one in telling.of_contacts(Contact, col(Contact.id)):
        if one.provider:
            through.setdefault(one.provider, []).append(one.at)
        if one.by != "lender":
            through.setdefault(one.by, []).append(one.at)
    items = {item.batch_id for item in telling.of_contacts(BatchItem, col(BatchItem.contact_id))}
    for batch in telling.session.exec(select(Batch).where(col(Batch.id).in_(sorted(items)))):
        through.setdefault("print shop" if batch.kind == "print" else batch.kind, []).append(batch.made_at)
    for who, times in sorted(through.items()):
        yield {"who": who, "times": len(times), "first": min(times), "last": max(times)}
    wanted = select(Deed).join(DeedNote, col(DeedNote.deed_id) == col(Deed.id))
    for deed in telling.session.exec(
        wanted.where(col(DeedNote.person_id) == telling.subject.id, col(Deed.kind).in_(tuple(_HANDED_TO))).order_by(
            col(Deed.id)
        )
    ):
        yield {"who": _HANDED_TO[deed.kind], "times": 1, "first": deed.at, "last": deed.at}


_HANDED_TO: Final = {
    "export": "you",
    "reveal": "somebody who works for the lender",
    "evidence": "a court, counsel or whoever else was given evidence",
}
"""Kind of a deed about a person -> who got to see something by it."""

_SECTIONS: Final[Mapping[str, Callable[[Telling], Iterator[Row]]]] = {
    "you": _you, "numbers_and_addresses": _endpoints, "loans": _loans, "ledger": _ledger, "facts": _facts,
    "contacts": _contacts, "what_became_of_contacts": _became, "messages": _messages, "consents": _consents, "holds": _holds,
    "promises": _promises, "notices": _notices, "duties": _duties, "stages": _stages, "decisions": _decisions,
    "who_received_data": _recipients,
}  # fmt: skip
