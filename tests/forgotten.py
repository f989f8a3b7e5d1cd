"""A person whose every trace can be told: a loan that is over, everything that can be on file about it, and a signed log."""

from datetime import UTC, date, datetime, timedelta

from sqlmodel import SQLModel, select

from compliance import PackDates, shipped_packs
from store.consents import NewStatement, add_statement
from store.db import Database
from store.outbox import note
from store.tables import (
    Arrival,
    Contact,
    ContactLoan,
    Endpoint,
    Event,
    FactValue,
    Hold,
    MessageText,
    Notice,
    OverrideRow,
    Party,
    Person,
    Promise,
    Run,
    StageChange,
)
from tests.factories import add_payment, make_loan, make_person
from tests.outgoing import add

REF = "C-Quillfeather"
MARKS = ("Zebedee", "Quillfeather", "2125550177", "zebedee.quill", "Marigold", "Hortensia")
"""Parts of their name, reference, numbers and addresses, and of what was written about them; nowhere else in the book."""
NAME, MOBILE, EMAIL, STREET = "Zebedee Quillfeather", "+12125550177", "zebedee.quill@example.com", "77 Marigold Lane"
OTHER_NAME, OTHER_MOBILE = "Gwendolen Ashgrove", "+12125550188"
OPENED, CLOSED = date(2020, 1, 2), date(2020, 3, 2)
LONG_AFTER = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When every clock of the shipped packs is over."""
LENDER = PackDates(shipped_packs(), actor="first_party")
AGENCY = PackDates(shipped_packs(), actor="agency")


def remembered(database: Database) -> tuple[int, int]:
    """Write them down, with a guarantor who stays; both ids."""
    person = make_person(database, ref=REF, name=NAME, mobile=MOBILE, email=EMAIL, country="US", region="US-CA",
                         zones="America/Los_Angeles")  # fmt: skip
    other = make_person(
        database, ref="G-1", name=OTHER_NAME, mobile=OTHER_MOBILE, country="US", zones="America/New_York"
    )
    loan = make_loan(database, ref="L-1", borrower_id=person, instalments=[(OPENED, 100_00)], opened_on=OPENED,
                     stage="closed", stage_on=CLOSED, currency="USD")  # fmt: skip
    add_payment(database, loan, 100_00, CLOSED, ref="M-1")
    at = datetime(2020, 2, 3, 17, tzinfo=UTC)
    run = Run(kind="events", now_at=at, known_at=at, started_at=at, status="done")
    add(database, run)
    add(
        database,
        Endpoint(person_id=person, kind="postal", value=f'{{"text": "{STREET}"}}', area="Marigold Quarter", recorded_at=at),
        Party(loan_id=loan, person_id=other, role="guarantor"),
        StageChange(loan_id=loan, entry=1, source="phone", target="closed", on_on=CLOSED, at=at, cause="cured",
                    reason="Zebedee paid at the counter"),
        Hold(person_id=person, kind="dispute", owner="care", review_on=CLOSED, starts_at=at, ends_at=at, recorded_at=at,
             reason="Quillfeather says it was his neighbour", ref=f"{REF}-dispute"),
        Notice(loan_id=loan, person_id=person, kind="prelegal_notice", sent_on=CLOSED, effective_on=CLOSED,
               how=f"letter to {STREET}", recorded_at=at, ref=f"{REF}-notice"),
        Promise(loan_id=loan, amount_minor=100_00, made_at=at, due_on=CLOSED, status="kept", settled_on=CLOSED, ref="pr-1"),
        FactValue(loan_id=loan, name="employer", text="Marigold Ltd", as_of_at=at, recorded_at=at),
        Event(source="core", key=f"{EMAIL}-1", kind="payment", person_id=person, loan_id=loan, happened_at=at,
              recorded_at=at, run_id=run.id),
        Arrival(source="twilio", key="SM1", kind="text", state="done", recorded_at=at, due_at=at, ended_at=at),
    )  # fmt: skip
    with database.write() as session:
        said = NewStatement(
            person, "opt_out", at, source="agent:Hortensia", ref=f"{REF}-stop", channels=("sms",), how="Zebedee rang",
            evidence=f"mail from {EMAIL}",
        )  # fmt: skip
        add_statement(session, said, now=at)
        for number, (who, why) in enumerate(((person, f"asked {MOBILE} to call back"), (other, "about Zebedee"))):
            contact = f"c-{number}"
            made = Contact(
                id=contact, loan_id=loan, person_id=who, role="guarantor" if number else "borrower", channel="sms",
                slot=f"s-{number}", status="delivered", outcome="delivered", planned_at=at, not_before_at=at,
                expires_at=at, at=at + timedelta(hours=number), why=why, provider="twilio", provider_ref=f"SM{number}",
            )  # fmt: skip
            session.add(made)
            session.flush()
            session.add(ContactLoan(contact_id=contact, loan_id=loan))
            note(session, made, at=at, why=why, made=True)
        session.add(MessageText(contact_id="c-0", text=f"I am {NAME}, ask Hortensia", read_by="mei", read_at=at))
        session.add(
            OverrideRow(contact_id="c-0", rule="us.regf.calls", ground="asked", evidence=f"note on {NAME}", agent="mei",
                        approved_by="li", at=at)
        )  # fmt: skip
    return person, other


def told(database: Database) -> dict[str, list[str]]:
    """Every mark that stands anywhere in the tables, by table and column."""
    found: dict[str, list[str]] = {}
    with database.session() as session:
        for table in SQLModel.metadata.sorted_tables:
            for row in session.connection().execute(select(table)).mappings():
                for column, value in row.items():
                    if any(mark.lower() in str(value).lower() for mark in MARKS):
                        found.setdefault(f"{table.name}.{column}", []).append(str(value))
    return found


def name_of(database: Database, person: int) -> str:
    """Whom an id means."""
    with database.session() as session:
        return session.get_one(Person, person).name
