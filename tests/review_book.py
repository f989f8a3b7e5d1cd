"""A random book of contacts, statements and decisions of one month, for the review: some of it breaks rules, nobody asked a gate."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlmodel import SQLModel

from channels.paper import Press
from compliance import shipped_packs
from compliance.checkpoint import PublicKey, Signer, new_key
from store.db import Database
from store.tables import (
    Consent,
    Contact,
    ContactLoan,
    ContactStatus,
    DecisionRow,
    Duty,
    Hold,
    Loan,
    OverrideRow,
    Run,
)
from tests.factories import make_loan, make_person
from tests.outgoing import add
from workflows.log.checkpoint import sign
from workflows.log.sequence import sequence
from workflows.review.period import Month
from workflows.review.review import About, Reviewed, review

MONTH = Month("2026-03", "Asia/Shanghai")
MADE = datetime(2026, 4, 3, 8, tzinfo=UTC)
PACKS = shipped_packs()
ABOUT = About("Example Lender", "first_party", PACKS, Press())
PLACES = (
    {"country": "CN", "zones": "Asia/Shanghai"},
    {"country": "US", "region": "US-MA", "zones": "America/New_York"},
    {"country": "US", "region": "US-FL", "zones": "America/New_York America/Chicago"},
)
OUTCOMES = {
    "sms": ("sent", "delivered", "failed"),
    "email": ("sent", "bounced"),
    "call": ("no_answer", "conversation", "busy", "voicemail"),
    "visit": ("met", "nobody_met"),
}


def fill(database: Database, seed: int, people: int = 4) -> None:
    """People in three places, each with a loan; some forty contacts each in February and March, at any hour."""
    chance = Random(seed)
    rows: list[SQLModel] = []
    for number in range(people):
        place = PLACES[number % len(PLACES)]
        person = make_person(
            database, mobile=f"+861380000{seed:03}{number:03}", email=f"p{seed}-{number}@example.org", **place
        )
        loan = make_loan(database, borrower_id=person, ref=f"=L<{seed}>-{number}")
        said_at = datetime(2026, 3, chance.randint(1, 28), chance.randint(0, 23), tzinfo=UTC)
        if number % 2:
            rows.append(
                Consent(
                    person_id=person, kind="opt_out", channels=chance.choice(["sms", "call sms", ""]), received_at=said_at,
                    recorded_at=said_at + timedelta(hours=chance.randint(0, 40)), ref=f"said-{seed}-{number}",
                )
            )  # fmt: skip
        if number % 3 == 0:
            rows.append(
                Hold(
                    person_id=person, kind="dispute", owner="mei", review_on=said_at.date(), starts_at=said_at,
                    ends_at=said_at + timedelta(days=3), recorded_at=said_at + timedelta(hours=chance.choice([0, 30])), ref=f"held-{seed}-{number}",
                )
            )  # fmt: skip
        for one in range(chance.randint(10, 40)):
            rows += contact(chance, f"m{number + 1}{seed}-{loan}-{one}", person, loan)
    runs = [
        Run(id=900 + n, kind="sweep", now_at=at, known_at=at, gate_digest="0" * 64, started_at=at)
        for n, at in enumerate(instants())
    ]
    add(database, *runs)
    for run in runs:
        for loan in range(1, people + 1):
            rows.append(decision(chance, run, loan))
    at = datetime(2026, 3, 9, tzinfo=UTC)
    rows.append(Duty(rule="house.default.review", subject="hold:1", start_on=at.date(), what="look", due_on=at.date(), escalate_on=at.date(), owner="mei", status="lapsed", escalated_at=at, lapsed_at=at, recorded_at=at))  # fmt: skip
    tables = (Contact, ContactLoan, ContactStatus, Consent, Hold, DecisionRow, Duty, OverrideRow)
    for table in tables:
        add(database, *(row for row in rows if isinstance(row, table)))


def instants() -> list[datetime]:
    """When sweeps ran: before the month, in it, and after it."""
    return [
        datetime(2026, 2, 27, tzinfo=UTC),
        datetime(2026, 3, 2, tzinfo=UTC),
        datetime(2026, 3, 20, tzinfo=UTC),
        datetime(2026, 4, 2, tzinfo=UTC),
    ]


def contact(chance: Random, name: str, person: int, loan: int) -> list[SQLModel]:
    """One contact with its history, of any sort and at any hour."""
    at = datetime(2026, 2, 18, tzinfo=UTC) + timedelta(minutes=10 * chance.randint(0, 42 * 24 * 6))
    channel = chance.choice(sorted(OUTCOMES))
    status = chance.choice(["delivered"] * 8 + ["planned", "cancelled", "unknown"])
    outcome = chance.choice(OUTCOMES[channel]) if status == "delivered" else ""
    purpose = chance.choice(["collect", "collect", "collect", "required_notice"])
    by_hand = channel in ("call", "visit")
    row = Contact(
        id=name, loan_id=loan, person_id=person, channel=channel, purpose=purpose, rule=None if by_hand else "r", slot=name, status=status,
        outcome=outcome, planned_at=at, not_before_at=at, expires_at=at, at=at, endpoint_id=None,
    )  # fmt: skip
    first = "cancelled" if status == "cancelled" else "planned"
    history = [ContactStatus(contact_id=name, status=first, at=at - timedelta(hours=1), why="secret words")]
    if status not in ("planned", "cancelled"):
        history += [
            ContactStatus(contact_id=name, status=word, at=at, why="secret words") for word in ("sending", status)
        ]
    return [row, ContactLoan(contact_id=name, loan_id=loan), *history]


def decision(chance: Random, run: Run, loan: int) -> DecisionRow:
    """A decision in which some rules had something against something."""
    rules = chance.sample(["house.default.holds", "house.default.quiet", "us.ma.freq_home"], chance.randint(0, 3))
    reasons = [
        {"rule": rule, "outcome": chance.choice(["deny", "defer"]), "citation": "c", "says": "s"} for rule in rules
    ]
    act = {
        "person": 1,
        "role": "borrower",
        "channel": "sms",
        "endpoint": 1,
        "verdict": {"outcome": "deny", "reasons": reasons},
        "at": None,
    }
    trace = {"moves": [], "candidates": [{"rule": "r", "state": "refused", "acts": [act, act]}], "contacts": []}
    return DecisionRow(
        run_id=run.id, loan_id=loan, borrower_id=loan, now_at=run.now_at, on_on=run.now_at.date(), stage_before="phone", stage_after="phone",
        outcome="withheld" if rules else "nothing", reasons=" ".join(sorted(rules)), facts_json="{}", trace_json=json.dumps(trace),
    )  # fmt: skip


def signed(database: Database, at: datetime = MADE) -> tuple[PublicKey, ...]:
    """Sequence and sign the log; by which key."""
    signer = Signer(new_key("lender.example/log"))
    sequence(database)
    sign(database, signer, now=at)
    return (PublicKey(signer.name, signer.public, datetime(2026, 1, 1, tzinfo=UTC)),)


def reviewed(database: Database, folder: Path, keys: tuple[PublicKey, ...] = (), **changes: Any) -> Reviewed:
    """Its review."""
    return review(database, MONTH, folder, ABOUT, keys, now=changes.pop("now", MADE))


def loans(database: Database) -> dict[int, str]:
    """Loan id -> reference."""
    from sqlmodel import select

    with database.session() as session:
        return {loan.id or 0: loan.ref for loan in session.exec(select(Loan))}
