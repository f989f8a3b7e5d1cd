"""What in our own words is about others: the people around the loans, and whoever works for the lender."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from sqlmodel import Session, col, select

from channels.wording import address_text
from store.tables import Contact, ContactStatus, Endpoint, MessageText, OverrideRow, Party, Person, Visit
from workflows.privacy.subject import Subject

_AT_ONCE: Final = 500
_BY: Final = re.compile(r"\bby ([^\s,;:]+)")
_SAID: Final = re.compile(r"([^:]{1,80}): [a-z_]+")
"""How our own lines name an agent: `taken by mei`, `mei: no_answer`."""
_NOBODY: Final = frozenset({"mail", "letter", "phone", "hand", "the", "a", "an"})


def strangers(session: Session, subject: Subject) -> Callable[[str], str]:
    """
    What takes out of a text the names, numbers and addresses of others around the loans, and the names of whoever works
    here. Others whom the book does not know cannot be found in what people wrote freely.
    """
    stands_for = dict.fromkeys(_staff(session, subject), "an agent")
    stands_for |= dict.fromkeys(_others(session, subject), "another person")
    stands_for.pop("", None)
    if not stands_for:
        return lambda text: text
    longest = sorted(stands_for, key=lambda name: (-len(name), name))
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest))
    return lambda text: pattern.sub(lambda found: stands_for[found[0]], text)


def _others(session: Session, subject: Subject) -> set[str]:
    people = {loan.borrower_id for loan, _ in subject.loans}
    people.update(session.exec(select(Party.person_id).where(col(Party.loan_id).in_(subject.loan_ids))))
    others = people - {subject.id}
    names = set(session.exec(select(Person.name).where(col(Person.id).in_(others))))
    values = session.exec(select(Endpoint.value).where(col(Endpoint.person_id).in_(others)))
    return names | {address_text(value) for value in values}


def _staff(session: Session, subject: Subject) -> Iterator[str]:
    for start in range(0, len(subject.about), _AT_ONCE):
        some = subject.about[start : start + _AT_ONCE]
        for contact in session.exec(select(Contact).where(col(Contact.id).in_(some))):
            if (contact.claimed_by or "").startswith("agent:"):
                yield (contact.claimed_by or "").removeprefix("agent:")
            yield contact.kept_for or ""
        for override in session.exec(select(OverrideRow).where(col(OverrideRow.contact_id).in_(some))):
            yield from (override.agent, override.approved_by)
        for team in session.exec(select(Visit.team).where(col(Visit.contact_id).in_(some))):
            yield from (name.strip() for name in team.split(","))
        for reader in session.exec(select(MessageText.read_by).where(col(MessageText.contact_id).in_(some))):
            yield reader or ""
        for why in session.exec(select(ContactStatus.why).where(col(ContactStatus.contact_id).in_(some))):
            if (said := _SAID.fullmatch(why)) is not None:
                yield said[1]
            yield from (name for name in _BY.findall(why) if name not in _NOBODY)
