"""Somebody who still owes: an old past, a recent one, and words in every kind of record of both."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from compliance import Pack, PackDates, read_pack
from store.db import Database
from store.tables import (
    Batch,
    BatchItem,
    Consent,
    Contact,
    ContactLoan,
    ContactStatus,
    Duty,
    Hold,
    MessageText,
    Notice,
    OverrideRow,
    Proof,
    StageChange,
    Visit,
)
from tests.factories import make_loan, make_person
from tests.logs import entry_of
from tests.outgoing import add

NOW: Final = datetime(2026, 3, 2, 4, tzinfo=UTC)
TODAY: Final = NOW.date()
OLD: Final = datetime(2022, 2, 1, 4, tzinfo=UTC)
NEW: Final = datetime(2026, 2, 1, 4, tzinfo=UTC)
WORDS: Final = {
    "contacts": "Quagmire", "recordings": "ab" * 32, "decisions": "Ravelin", "complaints": "Sassafras", "consents": "Tamarack",
}  # fmt: skip
"""A word of each kind of record; in the recent past it stands in capitals."""

HEAD: Final = """\
pack: house.{name}
title: {{en: Mine, zh: 我的}}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2020-01-01
review_on: 2027-01-01
rules:
"""


def keeping(*rules: str, name: str = "mine") -> Pack:
    """A pack of rules such as `contacts: 3 years since record, at most 4 years`."""
    return read_pack(text_of(*rules, name=name), f"{name}.yaml")


def text_of(*rules: str, name: str = "mine") -> str:
    """The same as a file."""
    lines = []
    for number, rule in enumerate(rules):
        records, rest = rule.split(": ")
        kept, _, at_most = rest.partition(", at most ")
        at_least, since = kept.split(" since ")
        lines += [
            f"  - id: house.{name}.r{number}", "    says: {en: It., zh: 它。}", "    citation: House policy", "    kind: retention",
            f"    records: [{records}]", f"    at_least: {at_least}", f"    since: {since}",
            *([f"    at_most: {at_most}"] if at_most else []),
        ]  # fmt: skip
    return HEAD.format(name=name) + "\n".join(lines) + "\n"


def dates_of(*rules: str) -> PackDates:
    """What one pack with these rules says."""
    return PackDates([keeping(*rules)], actor="first_party")


EACH: Final = dates_of(*(f"{kind}: 3 years since record, at most 4 years" for kind in WORDS))
"""Three years for everything, counted from each record."""


def lived(database: Database, name: str = "1") -> int:
    """Somebody with a loan that is open, four years of it; their id."""
    person = make_person(database, ref=f"C-{name}", name=f"Somebody {name}", mobile=f"+8613800{int(name):06}")
    loan = make_loan(
        database, ref=f"L-{name}", borrower_id=person, instalments=[(date(2022, 1, 2), 100_00), (date(2026, 1, 2), 100_00)],
        opened_on=date(2021, 12, 1), stage="phone", stage_on=OLD.date(),
    )  # fmt: skip
    for age, at in (("old", OLD), ("new", NEW)):
        _past(database, f"{name}-{age}", person, loan, at, str.upper if age == "new" else str)
    return person


def _past(database: Database, name: str, person: int, loan: int, at: datetime, spelt: Any) -> None:
    words = {kind: spelt(word) for kind, word in WORDS.items()}
    told = words["contacts"]
    contacts = [
        Contact(
            id=f"{name}-{channel}-{direction}", loan_id=loan, person_id=person, channel=channel, direction=direction, slot=f"{name}-{channel}-{direction}",
            status="delivered", outcome=outcome, planned_at=at, not_before_at=at, expires_at=at, at=at, why=f"{told} said so",
            error=told, provider="twilio", provider_ref=f"SM-{name}",
        )
        for channel, direction, outcome in (
            ("call", "out", "conversation"), ("visit", "out", "met"), ("sms", "in", "received"),
        )
    ]  # fmt: skip
    call, visit, reply = (contact.id for contact in contacts)
    add(database, *contacts)
    batch = Batch(kind="dialler", queue="early", status="out", made_at=at, made_by="li", until_at=at)
    add(database, batch)
    add(
        database,
        *(ContactLoan(contact_id=contact, loan_id=loan) for contact in (call, visit, reply)),
        *(ContactStatus(at=at, why="" if contact.id == visit else f"mei: {told}", **entry_of(contact)) for contact in contacts),
        MessageText(contact_id=reply, subject=told, text=f"I am {told}", read_by="mei", read_at=at),
        BatchItem(batch_id=batch.id, contact_id=call, file=f"{told}.csv", result_json=f'{{"note": "{told}"}}'),
        Visit(contact_id=visit, on_on=at.date(), team="mei", area=told, stop=1, from_at=at, until_at=at, planned_by="li", planned_at=at),
        Proof(contact_id=visit, digest="cd" * 32, size_bytes=9, people="mei", at=at, recorded_at=at),
        Proof(contact_id=call, digest=words["recordings"], size_bytes=9, people="mei", at=at, recorded_at=at),
        Notice(loan_id=loan, person_id=person, kind="prelegal_notice", sent_on=at.date(), effective_on=at.date(),
               how=f"by {told}", recorded_at=at, ref=f"n-{name}"),
        OverrideRow(contact_id=call, rule="us.regf.calls", ground="asked", evidence=words["decisions"], agent="mei",
                    approved_by="li", at=at),
        StageChange(loan_id=loan, entry=at.year, source="reminded", target="phone", on_on=at.date(), at=at, cause="hand",
                    reason=words["decisions"]),
        Hold(person_id=person, kind="dispute", owner="care", review_on=at.date(), starts_at=at - timedelta(days=9), ends_at=at,
             recorded_at=at, reason=words["complaints"], ref=f"h-{name}"),
        Duty(rule="house.answer", subject=f"hold:{name}", start_on=at.date(), what="answer", person_id=person, loan_id=loan,
             due_on=at.date(), escalate_on=at.date(), owner="care", status="done", closed_at=at, closed_by="li",
             evidence=words["complaints"], recorded_at=at),
        Consent(person_id=person, kind="opt_out", channels="email", how=words["consents"], evidence=words["consents"],
                source=words["consents"], received_at=at, recorded_at=at, ref=f"k-{name}"),
    )  # fmt: skip
