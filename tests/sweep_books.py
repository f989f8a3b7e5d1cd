"""A small catalogue, two strategies, a gate and books of loans, for the tests that sweep and decide real databases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, select

from engine.errors import Place, RuleError
from engine.facts import Catalogue, Counter, Fact, FactType
from engine.gate import Ask, Reason, Source, Verdict
from engine.rulebook import Rulebook
from engine.strategy_file import read_strategy
from store.columns import from_us
from store.db import Database
from store.ledger import set_schedule
from store.tables import (
    Contact,
    ContactLoan,
    ContactStatus,
    DecisionRow,
    Endpoint,
    Feed,
    Loan,
    Person,
    Position,
    StageChange,
)

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
"""Noon in Shanghai, eight in the evening of the day before in Honolulu's neighbourhood."""

CNY = """
strategy: test-cny
applies_to: currency = 'CNY'
currency: CNY
arms: {control: 30, champion: 70}
entry:
  - {id: book-legal, stage: legal, when: dpd >= 90}
  - {id: book-phone, stage: phone, when: dpd >= 8}
  - {id: book-reminded, stage: reminded, when: dpd >= 1}
moves:
  - {id: cured, from: [reminded, phone], to: current, when: dpd = 0}
  - {id: straight-to-phone, from: [current, reminded], to: phone, when: dpd >= 8}
  - {id: to-reminded, from: current, to: reminded, when: dpd >= 1}
  - {id: to-legal, from: phone, to: legal, when: dpd >= 90}
stages:
  current:
    - id: courtesy
      purpose: service
      when: [days_to_due between 0 and 2, has_mobile]
      act: {sms: courtesy}
      repeat: {max: 1, per: due_date}
      because: A test.
    - id: thanks
      purpose: service
      on: [payment]
      when: [dpd = 0, has_mobile]
      act: {sms: thanks}
      repeat: {max: 1, per: episode}
      because: A test.
  reminded:
    - id: text
      when: [dpd between 1 and 20, has_mobile]
      act: {sms: friendly}
      repeat: {max: 1, per: episode}
      because: A test.
    - id: mail
      when: [dpd >= 1, arm = 'champion']
      act: {email: friendly}
      repeat: {max: 2, in: 7 days}
      because: A test.
  phone:
    - id: call-senior
      when: [days_in_stage <= 3, dpd >= 10]
      act: {call: {queue: senior, script: first}}
      repeat: {max: 2, in: 7 days}
      because: A test.
    - id: call
      when: dpd >= 1
      act: {call: {queue: junior, script: first}}
      repeat: {max: 3, in: 7 days}
      because: A test.
    - id: text-again
      when: has_mobile
      act: {sms: urgent}
      repeat: {max: 1, per: stage}
      because: A test.
"""

USD = """
strategy: test-usd
applies_to: currency = 'USD' and product = 'card'
currency: USD
feed: {max_age: 36 hours}
moves:
  - {id: cured, from: reminded, to: current, when: dpd = 0}
  - {id: to-reminded, from: current, to: reminded, when: dpd >= 1}
stages:
  reminded:
    - id: mail
      when: [dpd >= 1, has_email]
      act: {email: friendly}
      repeat: {max: 1, in: 3 days}
      because: A test.
    - id: call
      when: dpd >= 3
      act: {call: {queue: junior, script: first}}
      send: {between: "18:00-20:00"}
      repeat: {max: 1, in: 2 days}
      because: A test.
"""


def _fact(name: str, kind: FactType, supplier: str, *, values: tuple[str, ...] = (), never: int | None = None) -> Fact:
    numeric = kind in {"int", "money"}
    low, high = (-9999 if name == "days_to_due" else 0, 99_999_999) if numeric else (None, None)
    return Fact(name, kind, "", low, high, values, never, "", supplier, "", "", Place("catalogue"))


STAGE_NAMES = ("current", "reminded", "phone", "field_visit", "legal", "closed")
CATALOGUE = Catalogue(
    {
        fact.name: fact
        for fact in (
            _fact("dpd", "int", "ledger"),
            _fact("days_to_due", "int", "ledger"),
            _fact("overdue_amount", "money", "ledger"),
            _fact("stage", "text", "stage", values=STAGE_NAMES),
            _fact("days_in_stage", "int", "stage"),
            _fact("product", "text", "loan"),
            _fact("currency", "text", "loan"),
            _fact("has_mobile", "bool", "person"),
            _fact("has_email", "bool", "person"),
            _fact("promise_open", "bool", "promises"),
            _fact("feed_age", "int", "feeds"),
            _fact("arm", "text", "arms"),
            _fact("days_since_message", "int", "contacts", never=99_999),
        )
    },
    dict[str, Counter](),
)


def rulebook(*texts: str) -> Rulebook:
    """The strategies of these files, or both of those above."""
    problems: list[Any] = []
    read = [
        read_strategy(text, f"strategy-{n}.yaml", CATALOGUE, problems) for n, text in enumerate(texts or (CNY, USD))
    ]
    if problems:
        raise RuleError(problems)
    strategies = {strategy.id: strategy for strategy in read if strategy is not None}
    return Rulebook(strategies, CATALOGUE, "digest")


@dataclass
class DayGate:
    """A gate with the shape of a real one: hours in every zone, two contacts a person and local day, unknown is denied."""

    digest: str = "day-gate"
    sources: tuple[Source, ...] = ()
    contacts_max: int = 2
    asked: int = field(default=0, compare=False)

    def check(self, ask: Ask, now: datetime) -> Verdict:
        """Allow, put off to the next morning, or deny."""
        self.asked += 1
        if not ask.zones:
            return Verdict("deny", (Reason("test.unknown_zone", "deny", "", "no zone"),))
        if ask.act == "stage_move":
            served = ask.move is not None and (
                ask.move.target not in ("field_visit", "legal") or bool(ask.move.notices)
            )
            return Verdict("allow") if served else Verdict("deny", (Reason("test.duty", "deny", "", "no notice"),))
        opens = [_opening(ZoneInfo(zone), now) for zone in ask.zones]
        if max(opens) > now:
            until = max(opens)
            return Verdict("defer", (Reason("test.hours", "defer", "", "too early or late", until),), until)
        today = {now.astimezone(ZoneInfo(zone)).date() for zone in ask.zones}
        near = [
            past
            for past in ask.history
            if any(from_us(past.at_us).astimezone(ZoneInfo(z)).date() in today for z in ask.zones)
        ]
        if len(near) >= self.contacts_max:
            return Verdict("deny", (Reason("test.per_day", "deny", "", "enough for today"),))
        return Verdict("allow")


def _opening(zone: ZoneInfo, now: datetime) -> datetime:
    local = now.astimezone(zone)
    if 8 <= local.hour < 20:
        return now
    day = local.date() + timedelta(days=local.hour >= 20)
    return datetime(day.year, day.month, day.day, 8, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True)
class LoanSpec:
    """A loan of a test book; `dpd` below 1: due in so many days."""

    dpd: int = 5
    currency: str = "CNY"
    product: str = "personal"
    stage: str = "current"
    amount: int = 100_00


@dataclass(frozen=True)
class PersonSpec:
    """A borrower of a test book."""

    loans: Sequence[LoanSpec] = (LoanSpec(),)
    zones: str = "Asia/Shanghai"
    mobile: bool = True
    email: bool = True
    bucket: int = 5000


def fill(database: Database, people: Sequence[PersonSpec], *, now: datetime = NOW, feed_age_h: int | None = 2) -> None:
    """Write a book in one transaction; loans are due on days of the UTC calendar."""
    early = now - timedelta(days=400)
    with database.write() as session:
        if feed_age_h is not None:
            session.add(
                Feed(
                    kind="movements", file="f", digest="d", as_of_at=now - timedelta(hours=feed_age_h),
                    imported_at=now, status="done",
                )
            )  # fmt: skip
        for n, spec in enumerate(people, 1):
            person = Person(
                ref=f"P{n}", name="Test Person", language="en", country="CN", zones=spec.zones, bucket=spec.bucket,
                created_at=early,
            )  # fmt: skip
            session.add(person)
            session.flush()
            assert person.id is not None
            _reach(session, person.id, spec, early)
            for i, loan in enumerate(spec.loans):
                _loan(session, f"L{n}.{i}", person.id, loan, now.date())


def _reach(session: Session, person: int, spec: PersonSpec, at: datetime) -> None:
    kinds = {"mobile": spec.mobile, "landline": True, "email": spec.email}
    for kind, has in kinds.items():
        if has:
            session.add(Endpoint(person_id=person, kind=kind, value=f"{kind}-{person}", recorded_at=at))


def _loan(session: Session, ref: str, person: int, spec: LoanSpec, today: date) -> None:
    due = today - timedelta(days=spec.dpd)
    treated = spec.stage not in {"current", "closed"}
    loan = Loan(
        ref=ref, borrower_id=person, product=spec.product, currency=spec.currency, principal_minor=spec.amount,
        opened_on=due - timedelta(days=60), stage=spec.stage, stage_on=today - timedelta(days=2),
        stage_entry=1 if spec.stage != "current" else 0, episode=int(treated), episode_on=due if treated else None,
    )  # fmt: skip
    session.add(loan)
    session.flush()
    assert loan.id is not None
    if spec.stage == "closed":
        session.add(Position(loan_id=loan.id))
    else:
        set_schedule(session, loan.id, [(due, spec.amount), (due + timedelta(days=30), spec.amount)])


def everything(database: Database) -> Mapping[str, list[tuple[Any, ...]]]:
    """Everything a sweep writes, without run ids, so that two runs can be compared."""
    with database.session() as session:
        decisions = session.exec(select(DecisionRow)).all()
        contacts = session.exec(select(Contact)).all()
        return {
            "decision": sorted(
                (d.loan_id, d.on_on, d.strategy or "", d.arm or "", d.stage_before, d.stage_after, d.outcome, d.rule or "",
                 d.covered_by or 0, str(d.next_look_at), d.reasons, d.facts_json, d.trace_json)
                for d in decisions
            ),
            "contact": sorted(
                (c.loan_id, c.person_id, c.channel, c.rule or "", c.queue or "", c.slot, c.period_json, c.status,
                 str(c.not_before_at), str(c.expires_at), c.endpoint_id or 0)
                for c in contacts
            ),
            "contact_loan": sorted((a.contact_id.split("-", 1)[1], a.loan_id) for a in session.exec(select(ContactLoan))),
            "contact_status": sorted((s.contact_id.split("-", 1)[1], s.status) for s in session.exec(select(ContactStatus))),
            "stage_change": sorted((s.loan_id, s.entry, s.source, s.target, s.cause) for s in session.exec(select(StageChange))),
            "loan": sorted(
                (x.id or 0, x.stage, str(x.stage_on), x.stage_entry, x.episode, str(x.episode_on))
                for x in session.exec(select(Loan))
            ),
        }  # fmt: skip
