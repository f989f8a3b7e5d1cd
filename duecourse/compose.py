"""What a contact says: the one place where a name, a number and an amount are put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal, cast

from sqlmodel import Session, col, select

from channels.message import Message
from channels.paper import Letter
from channels.render import Rendered, Values, render
from channels.template_file import Templates
from channels.wording import address_lines, address_text, day, plain
from config.settings import Lender
from engine.content import Language
from engine.errors import DataError, Problem
from engine.facts import Facts
from engine.gate import Ask, Channel, Gate
from store.outbox import RECORDED_CALL, lane_of
from store.tables import Contact, Endpoint, Loan, MessageText, Person, Promise
from workflows.inbox.unsubscribe import Unsubscribing, link_key, make_token
from workflows.sending.holding import LEAVES_WITHIN, held_until
from workflows.sending.second_look import Look

UNSUBSCRIBE_PATH: Final = "/unsubscribe"
_MESSAGES: Final[Mapping[str, Literal["sms", "email", "call"]]] = {
    "sms": "sms",
    "email": "email",
    RECORDED_CALL: "call",
}
"""Lane -> the channel of what is sent."""
_HELD_MAX: Final = timedelta(hours=4)
"""A reminder that could not be delivered for so long is better planned anew; providers can be told up to ten hours."""
_PARTIES: Final[frozenset[str]] = frozenset({"borrower", "co_borrower", "guarantor", "executor", "attorney"})
"""Roles that know of the contract, and so whose it is."""


@dataclass(frozen=True, slots=True)
class Composer:
    """
    Fills templates in for one lender.

    Attributes:
        gate: says until when a text may arrive that a provider holds back.
        public_url: where unsubscribe links lead; empty: mails are ended by mail only.
    """

    templates: Templates
    lender: Lender
    language: str
    gate: Gate
    public_url: str = ""

    def message(self, session: Session, contact: Contact, look: Look, now: datetime) -> Message:
        """
        The text message, mail or recorded call of a contact, on the facts of its second look.

        Raises:
            DataError: its template would say what is not known, or what is not true yet.
        """
        channel = _MESSAGES.get(lane_of(contact))
        if channel is None or look.loan is None or look.on is None or look.asked is None:
            raise DataError(Problem(f"contact `{contact.id}` has nothing to send", "it is a task for people"))
        endpoint = session.get_one(Endpoint, contact.endpoint_id)
        person = session.get_one(Person, contact.person_id)
        values = self._values(session, contact, person, look.loan.facts, look.on)
        said = self._said(session, contact, channel, person, values)
        return Message(
            contact_id=contact.id,
            channel=channel,
            to=endpoint.value,
            subject=said.subject,
            text=said.text,
            html=said.html,
            language=said.language,
            unsubscribe_url=values.unsubscribe_url,
            unsubscribe_mailto=self._mailto(contact) if self.public_url else "",
            valid_seconds=self._valid_seconds(look.asked, contact.expires_at, now) if channel == "sms" else None,
            template=contact.name,
            values=said.values,
        )

    def _valid_seconds(self, ask: Ask, expires_at: datetime, now: datetime) -> int:
        """How long a provider may hold a text back, counted from when it gets it."""
        until = held_until(self.gate, ask, now, min(expires_at, now + _HELD_MAX))
        return max(1, int((until - now - LEAVES_WITHIN).total_seconds()))

    def _said(self, session: Session, contact: Contact, channel: Channel, person: Person, values: Values) -> Rendered:
        if not contact.name:
            own = session.get(MessageText, contact.id)
            if own is None:
                raise DataError(
                    Problem(f"what contact `{contact.id}` was to say is not there any more", "write it anew")
                )
            return Rendered(own.text, cast("Language", own.language), own.subject)
        template = self.templates.get(contact.name, channel)
        return render(template, channel, person.language, values, fallback=self.language)

    def brief(self, session: Session, contact: Contact, facts: Facts, on: date) -> str:
        """The script, visit brief or letter of a task, filled in; who and how to reach them first."""
        person = session.get_one(Person, contact.person_id)
        endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
        where = f", {address_text(endpoint.value)}" if endpoint else ""
        whom = f"{person.name} ({contact.role}){where}"
        if not contact.name:
            return whom  # whoever started it themselves needs no script
        values = self._values(session, contact, person, facts, on)
        channel: Channel = contact.channel  # type: ignore[assignment] # the outbox holds channels only
        return f"{whom}\n\n{self._said(session, contact, channel, person, values).text}"

    def letter(self, session: Session, contact: Contact, look: Look) -> Letter:
        """
        A letter as it is printed, on the facts of its second look.

        Raises:
            DataError: its template would say what is not known, nobody has written it, or there is no address.
        """
        if look.loan is None or look.on is None:
            raise AssertionError("a look that lets a letter through knows its loan and its day")
        person = session.get_one(Person, contact.person_id)
        endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
        if endpoint is None or not contact.name:
            missing = "address" if endpoint is None else "template"
            raise DataError(Problem(f"letter `{contact.id}` has no {missing}", "somebody has to write it by hand"))
        said = self._said(
            session, contact, "letter", person, self._values(session, contact, person, look.loan.facts, look.on)
        )
        return Letter(
            contact_id=contact.id,
            to=(plain(person.name), *address_lines(endpoint.value)),
            sender=(self.lender.name, self.lender.phone, self.lender.url),
            dated=day(look.on, said.language),
            subject=said.subject,
            text=said.text,
            language=said.language,
        )

    def _values(self, session: Session, contact: Contact, person: Person, facts: Facts, on: date) -> Values:
        loan = session.get_one(Loan, contact.loan_id)
        promise = session.exec(
            select(Promise)
            .where(col(Promise.loan_id) == contact.loan_id)
            .order_by(col(Promise.status) != "open", col(Promise.made_at).desc())
        ).first()
        dpd, to_due = _int(facts, "dpd"), _int(facts, "days_to_due")
        # Whoever is no party to the contract is told nobody's name: at most to call back.
        borrower = session.get_one(Person, loan.borrower_id) if contact.role in _PARTIES else None
        return Values(
            borrower_name=borrower.name if borrower is not None else "",
            addressee_name=person.name,
            lender_name=self.lender.name,
            lender_phone=self.lender.phone,
            lender_url=self.lender.url,
            loan_ref=loan.ref,
            product=loan.product,
            currency=loan.currency,
            overdue_minor=_int(facts, "overdue_amount"),
            balance_minor=_int(facts, "balance"),
            min_payment_minor=_int(facts, "min_payment_due"),
            due_on=on + timedelta(days=to_due) if to_due is not None and to_due < 366 else None,
            first_unpaid_on=on - timedelta(days=dpd) if dpd else None,
            dpd=dpd,
            promise_minor=promise.amount_minor if promise else None,
            promise_due_on=promise.due_on if promise else None,
            unsubscribe_url=self._unsubscribe_url(session, contact),
        )

    def _unsubscribe_url(self, session: Session, contact: Contact) -> str:
        if contact.channel != "email":
            return ""
        if not self.public_url or contact.endpoint_id is None:
            return self._mailto(contact)
        whom = Unsubscribing(contact.person_id, contact.endpoint_id, "email")
        return f"{self.public_url}{UNSUBSCRIBE_PATH}/{make_token(link_key(session), whom)}"

    def _mailto(self, contact: Contact) -> str:
        return f"mailto:{self.lender.email}?subject=stop-{contact.id}" if contact.channel == "email" else ""


def _int(facts: Facts, name: str) -> int | None:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
