"""A door with real adapters and small everything else, for the tests of what leaves: dispatch, tasks, events, promises."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr
from sqlmodel import Session, col, select

from channels.mail import MailAdapter, MailSettings
from channels.message import Adapter, Message, Receipt
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from compliance import PackDates, shipped_packs
from engine.catalogue import load_catalogue
from engine.errors import DataError, Problem
from engine.facts import Catalogue
from engine.gate import UNREADABLE, Ask, Reason, Source, Verdict
from engine.matching import InterpreterMatcher
from engine.rulebook import Rulebook
from engine.strategy_file import read_strategy
from store.columns import from_us
from store.db import Database
from store.tables import Contact, ContactLoan, ContactStatus, Endpoint, Feed, Loan, Person, Setting
from tests.factories import make_loan, make_person
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.decide import fresh_situations
from workflows.sending.dispatch import dispatch
from workflows.sending.door import Dispatched, Door, Outward
from workflows.sending.second_look import Look

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
"""Noon in Shanghai."""
TODAY = date(2026, 11, 24)
DUE = date(2026, 11, 19)
AMOUNT = 100_00

STRATEGY = """
strategy: test-cny
applies_to: currency = 'CNY'
currency: CNY
feed: {max_age: 36 hours}
promise: {max_days: 7, grace_days: 1, kept_at: 90%, blocks: [call]}
stages:
  reminded:
    - id: text
      when: [dpd >= 1, has_mobile]
      act: {sms: friendly}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: mail
      when: dpd >= 1
      act: {email: friendly}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: call
      when: [dpd >= 1, days_since_call >= 1]
      act: {call: {queue: junior, script: first}}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: recorded
      when: dpd >= 1
      act: {call: {recorded: please-call-back}}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: odd
      when: dpd >= 1
      act: {sms: unsayable}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: odder
      when: dpd >= 1
      act: {sms: broken}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: odd-call
      when: dpd >= 1
      act: {call: {queue: junior, script: unsayable}}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: visit
      when: dpd >= 1
      act: {visit: {queue: field, script: brief, collectors: 2}}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: after-failure
      on: [delivery_failed]
      when: dpd >= 1
      act: {call: {queue: junior, script: failed}}
      repeat: {max: 9, in: 7 days}
      because: A test.
    - id: notice
      purpose: required_notice
      notice: prelegal_notice
      to: [borrower, guarantor]
      when: dpd >= 1
      act: [{letter: pre-legal}, {email: pre-legal}]
      repeat: {max: 9, in: 7 days}
      because: A test.
"""


@cache
def small_catalogue() -> Catalogue:
    """Those of the built-in facts that the strategy asks about: fewer are computed faster."""
    whole = load_catalogue()
    wanted = ("dpd", "currency", "stage", "has_mobile", "days_since_call", "promise_open", "feed_age", "product", "arm")
    return Catalogue({name: whole.facts[name] for name in wanted}, {})


def small_rulebook(text: str = STRATEGY) -> Rulebook:
    """The strategy above; it is no whole ladder, so it is not checked as one."""
    catalogue, problems = small_catalogue(), list[Problem]()
    strategy = read_strategy(text, "strategy.yaml", catalogue, problems)
    assert strategy is not None, problems
    return Rulebook({strategy.id: strategy}, catalogue, "digest")


@dataclass
class SmallGate:
    """
    Shanghai's day from eight to twenty, no more than `per_day` contacts a person and `per_number` a number.

    Holds and refusals close everything. Counts like the real one: what is planned for other days does not count.
    """

    per_day: int = 9
    per_number: int = 9
    digest: str = "small"
    sources: tuple[Source, ...] = ()
    asked: list[Ask] = field(default_factory=list)

    def check(self, ask: Ask, now: datetime) -> Verdict:
        self.asked.append(ask)
        local = now.astimezone(ZoneInfo("Asia/Shanghai"))
        if not 8 <= local.hour < 20:
            day = local.date() + timedelta(days=local.hour >= 20)
            opens = datetime(day.year, day.month, day.day, 8, tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)
            return Verdict("defer", (Reason("test.hours", "defer", "", "", opens),), opens)
        if any(hold.ends_us is None for hold in ask.holds):
            return _no("test.hold")
        if any(s.kind == UNREADABLE for s in ask.statements):
            return _no("gate.unknown.statement")
        refused = (s for s in ask.statements if s.kind == "opt_out")
        if any(not s.channels or ask.channel in s.channels for s in refused):
            return _no("test.opted_out")
        today = [past for past in ask.history if past.id != ask.own_id and _day(past.at_us) == local.date()]
        if len(today) >= self.per_day:
            return _no("test.per_day")
        there = [past for past in (*today, *ask.shared) if past.endpoint == (ask.endpoint and ask.endpoint.id)]
        return _no("test.per_number") if len(there) >= self.per_number else Verdict("allow")


def _no(rule: str) -> Verdict:
    return Verdict("deny", (Reason(rule, "deny", "", ""),))


def _day(us: int) -> date:
    return from_us(us).astimezone(ZoneInfo("Asia/Shanghai")).date()


def compose(session: Session, contact: Contact, look: Look, now: datetime) -> Message:
    """Says the person's name, so that tests see where it goes; the template `unsayable` cannot be said."""
    if contact.name == "unsayable":
        raise DataError(Problem("template `unsayable` says `promise.amount`, which is not known", "leave it out"))
    if contact.name == "broken":
        raise KeyError("13800000001")
    person = session.get_one(Person, contact.person_id)
    to = session.get_one(Endpoint, contact.endpoint_id).value
    channel = contact.channel
    subject = "Reminder" if channel == "email" else ""
    return Message(contact.id, channel, to, subject, f"Dear {person.name}, please pay.")  # type: ignore[arg-type]


def brief(session: Session, contact: Contact, look: Look) -> str:
    """What an agent would see."""
    if contact.name == "unsayable":
        raise DataError(Problem("template `unsayable` says `promise.amount`, which is not known", "leave it out"))
    return f"call {session.get_one(Person, contact.person_id).name}"


@dataclass
class Silent:
    """An adapter that remembers what it was given and answers as told."""

    answer: Callable[[Message], Receipt] = lambda _: Receipt("sent", "silent")
    name: str = "silent"
    seen: list[str] = field(default_factory=list)
    before: Callable[[Message], None] = lambda _: None
    seconds: float = 0

    async def send(self, message: Message) -> Receipt:
        self.seen.append(message.contact_id)
        self.before(message)
        await asyncio.sleep(self.seconds)
        return self.answer(message)

    async def close(self) -> None:
        """Nothing is open."""


_workers = count(1)
DATES = PackDates([pack for pack in shipped_packs() if pack.is_house], actor="first_party")
"""The house's days alone: when notices are in force."""


def door_of(database: Database, adapters: Mapping[str, Adapter], **changes: Any) -> Door:
    """A door to these adapters; `changes` are fields of the door or of its way out."""
    rules = changes.pop("rulebook", None) or small_rulebook()
    outward = {
        name: changes.pop(name) for name in ("allow_list", "lanes", "send_seconds_max", "zone") if name in changes
    }
    stand_in = changes.pop("stand_in", True)
    reader = ChunkReader(rules, actor="first_party")
    given: dict[str, Any] = {
        "database": database,
        "rulebook": rules,
        "gate": SmallGate(),
        "matcher": InterpreterMatcher(rules.strategies),
        "situations": lambda borrowers, now: fresh_situations(database, reader, borrowers, now),
        "compose": compose,
        "brief": brief,
        "dates": DATES,
        "outward": Outward(adapters, stand_in=stand_in, **outward),
        "worker": f"worker-{next(_workers)}",
    }
    return Door(**(given | changes))


def real_adapters(provider: FakeProvider, mails: FakeMailServer, **sms: Any) -> dict[str, Adapter]:
    """The adapters of production, to stand-ins."""
    return adapters_to(provider.base_url, mails.port, **sms)


def adapters_to(base_url: str, mail_port: int, **sms: Any) -> dict[str, Adapter]:
    """The adapters of production, to stand-ins of another process."""
    sms_settings = SmsSettings(
        ACCOUNT_SID, SecretStr(AUTH_TOKEN), from_number=FROM_NUMBER, base_url=base_url,
        callback_url="http://127.0.0.1:9/report", **sms,
    )  # fmt: skip
    mail_settings = MailSettings("127.0.0.1", mail_port, "care@lender.example", security="plain")
    return {"sms": SmsAdapter(sms_settings), "email": MailAdapter(mail_settings, lambda: NOW)}


def go(door: Door, now: datetime = NOW, **options: Any) -> Dispatched:
    """One dispatch at a standing clock."""
    return asyncio.run(dispatch(door, lambda: now, **({"paced": False} | options)))


def counts(done: Dispatched) -> dict[str, int]:
    """What became of contacts, without the empty words and the steps in between."""
    return {word: n for word, n in done.counts.items() if n and word not in ("claimed", "offered")}


_numbers = count(1)


def book(database: Database, people: int = 1, *, feed_age: timedelta | None = timedelta(hours=1)) -> list[int]:
    """Borrowers in Shanghai, five days late with one loan each; their loans' ids."""
    loans = []
    for _ in range(people):
        n = next(_numbers)
        person = make_person(
            database, mobile=f"+8613{n:09}", email=f"person-{n}@example.com", name=f"Somebody Number{n}"
        )
        loans.append(
            make_loan(
                database, borrower_id=person, instalments=[(DUE, AMOUNT), (DUE + timedelta(days=31), AMOUNT)],
                opened_on=date(2026, 9, 1), stage="reminded", stage_entry=1, episode=1, episode_on=DUE,
            )
        )  # fmt: skip
    if feed_age is not None:
        fed(database, NOW - feed_age)
    return loans


def fed(database: Database, as_of: datetime) -> None:
    """A payment feed of that age."""
    with database.write() as session:
        session.add(
            Feed(
                kind="movements", file="f", digest=f"d{next(_numbers)}", as_of_at=as_of, imported_at=as_of, status="done"
            )
        )  # fmt: skip


def plan(database: Database, loan: int, like: str = "text", *, person: int | None = None, **values: Any) -> str:
    """A planned contact of a rule above, to the borrower unless said otherwise, due now; its id."""
    usual = {
        "text": ("sms", "friendly", None), "mail": ("email", "friendly", None), "call": ("call", "first", "junior"),
        "recorded": ("call", "please-call-back", None), "visit": ("visit", "brief", "field"), "after-failure": ("call", "failed", "junior"), "notice": ("letter", "pre-legal", None),
        "odd": ("sms", "unsayable", None), "odder": ("sms", "broken", None), "odd-call": ("call", "unsayable", "junior"),
    }  # fmt: skip
    channel, name, queue = usual[like]
    channel = values.pop("channel", channel)
    kind = {"sms": "mobile", "call": "mobile", "email": "email"}.get(channel, "postal")
    # Padded, so that ids sort as they were made, however many came before.
    contact_id = f"c-{next(_numbers):06}"
    with database.write() as session:
        person = person or session.get_one(Loan, loan).borrower_id
        endpoint = session.exec(
            select(Endpoint.id).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == kind)
        ).first()
        given = {
            "id": contact_id, "loan_id": loan, "person_id": person, "endpoint_id": endpoint, "channel": channel,
            "rule": like, "name": name, "queue": queue, "stage_entry": 1, "slot": f"slot-{contact_id}",
            "status": "planned", "planned_at": NOW - timedelta(hours=2), "not_before_at": NOW - timedelta(hours=1),
            "expires_at": NOW + timedelta(hours=22), "at": NOW - timedelta(hours=1),
            "purpose": "required_notice" if like == "notice" else "collect",
        }  # fmt: skip
        session.add(Contact(**(given | values)))
        session.flush()
        session.add(ContactLoan(contact_id=contact_id, loan_id=loan))
        session.add(
            ContactStatus(contact_id=contact_id, status="planned", at=NOW - timedelta(hours=2), why=f"rule {like}")
        )
    return contact_id


def contact_of(database: Database, contact_id: str) -> Contact:
    """The contact as it stands."""
    with database.session() as session:
        found = session.get_one(Contact, contact_id)
        session.expunge(found)
        return found


def statuses(database: Database, contact_id: str) -> list[str]:
    """Every status a contact had, in order."""
    with database.session() as session:
        wanted = select(ContactStatus.status).where(col(ContactStatus.contact_id) == contact_id)
        return list(session.exec(wanted.order_by(col(ContactStatus.id))))


def rows(database: Database, table: Any, *where: Any) -> list[Any]:
    """The rows of a table."""
    with database.session() as session:
        found = list(session.exec(select(table).where(*where)))
        session.expunge_all()
        return found


def add(database: Database, *made: Any, bump: int | None = None) -> None:
    """Commit rows the way every writer has to: with the version of whom they are about."""
    with database.write() as session:
        session.add_all(made)
        if bump is not None:
            session.get_one(Person, bump).version += 1


def set_setting(database: Database, name: str, value: str) -> None:
    """What the database says of itself."""
    with database.write() as session:
        session.merge(Setting(name=name, value=value))


def borrower_of(database: Database, loan: int) -> int:
    """Whose loan it is."""
    with database.session() as session:
        return session.get_one(Loan, loan).borrower_id


def to(
    database: Database, answer: Callable[[Message], Receipt] | None = None, **changes: object
) -> tuple[Silent, dict]:
    """One silent adapter for both channels, and the door's arguments."""
    adapter = Silent(answer or (lambda _: Receipt("sent", "silent", "ref")))
    return adapter, {"adapters": {"sms": adapter, "email": adapter}, "database": database, **changes}
