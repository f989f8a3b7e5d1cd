"""
The world outside: banks, borrowers and agents, simulated day by day.

It touches the product only where the real world would: payment and account files through `import`, and
outcomes of tasks through the work queues. Everybody in it is made up.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from sqlmodel import col, select

from duecourse.demo.behaviour import BOUNCES, CALLS, FILINGS, LETTERS, REVIEWED, TASKS_WORKED, VISITS, pick, temper_of
from duecourse.money import digits
from duecourse.wiring import Works
from engine.strategy import PromisePolicy
from store.arrears import arrears_from_position
from store.duties import list_duties, state_of
from store.tables import AccountSnapshot, Contact, Instalment, Loan, Person, Position, Promise
from workflows.desk.outcomes import Promised
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.tasks import waiting
from workflows.duties_by_hand import close_duty
from workflows.importing import KINDS, import_file
from workflows.sending.looking import look_again

_REACHED: Final = ("conversation", "met", "promise")


@dataclass
class Account:
    """A card account as the simulated core system keeps it; amounts in minor units."""

    balance: int
    minimum: int
    overdue: int
    oldest_on: date | None
    due_on: date


@dataclass
class World:
    """One simulated run: same seed, same book, same history."""

    works: Works
    seed: int
    folder: Path
    accounts: dict[int, Account] = field(default_factory=dict)
    schedules: dict[int, list[Instalment]] = field(default_factory=dict)
    loans: dict[int, Loan] = field(default_factory=dict)
    bouncing: dict[date, list[dict[str, object]]] = field(default_factory=dict)
    zones: dict[int, ZoneInfo] = field(default_factory=dict)
    owed: dict[int, int] = field(default_factory=dict)
    policies: dict[str, PromisePolicy] = field(default_factory=dict)
    payments: int = 0
    left: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Learn what the book holds."""
        # The two shipped strategies are told apart by their currency.
        self.policies = {s.currency: s.promise for s in self.works.workspace.rulebook.strategies.values()}
        with self.works.database.session() as session:
            for loan in session.exec(select(Loan)):
                if loan.id is not None:
                    self.loans[loan.id] = loan
            for person in session.exec(select(Person)):
                if person.id is not None:
                    self.zones[person.id] = ZoneInfo(person.zones)
            for snapshot in session.exec(select(AccountSnapshot)):
                oldest = snapshot.as_of_on - timedelta(days=snapshot.dpd) if snapshot.dpd else None
                due_on = snapshot.next_due_on or snapshot.as_of_on
                self.accounts[snapshot.loan_id] = Account(
                    snapshot.balance_minor, snapshot.min_payment_minor, snapshot.overdue_minor, oldest, due_on
                )
            for instalment in session.exec(select(Instalment)):
                self.schedules.setdefault(instalment.loan_id, []).append(instalment)
            session.expunge_all()

    def night(self, day: date, now: datetime) -> None:
        """Everybody pays, or does not; then the core system's files of the day arrive."""
        for kind, path in self.files(day, now):
            self.take_in(kind, path, now)

    def files(self, day: date, now: datetime) -> list[tuple[str, Path]]:
        """Let everybody pay, or not; what the core system says of it: kinds and files, in the order of their import."""
        claims = self._claims(day)
        self.owed = {loan_id: overdue for loan_id, (overdue, _) in claims.items()}
        heard = self._heard(now)
        promised = self._promised(day)
        rows = self.bouncing.pop(day, [])
        for loan_id, (overdue, due) in sorted(claims.items()):
            paid = self._pays(loan_id, overdue, due, day, heard.get(loan_id, ""), loan_id in promised)
            if paid > 0:
                rows.append(self._payment(loan_id, paid, day, now))
        self._book(rows, day)
        return [
            ("movements", self._write("movements", rows, now)),
            ("accounts", self._write("accounts", self._snapshots(day), now)),
        ]

    def take_in(self, kind: str, path: Path, now: datetime) -> None:
        """Import a file; once more, where that was broken off."""
        import_file(
            self.works.database, KINDS[kind], path, as_of=now, now=now, catalogue=self.works.workspace.catalogue
        )

    def work(self, now: datetime) -> None:
        """Agents take what waits in the queues, as far as they get, right after it was handed over."""
        with self.works.database.session() as session:
            tasks = waiting(session, queue=None, now=now)
            session.expunge_all()
        # What an earlier round left is looked at again, as `tasks next` does: it may be night there by now.
        late = sorted(self.left & {task.id for task in tasks})
        looked = look_again(self.works.door, late, now) if late else []
        going = {one.contact.person_id: one.contact.id for one in looked if one.look.answer == "go"}
        self.left = {*late} - {*going.values()}
        for task in tasks:
            if task.id in self.left:
                continue
            # By its slot: what the same contact is called depends on how many runs there were before.
            chance = Random(f"{self.seed}:{task.slot}:{now.isoformat()}")
            if chance.random() > TASKS_WORKED:
                self.left.add(task.id)
                continue
            loan = self.loans[task.loan_id]
            today = now.astimezone(self.zones[task.person_id]).date()
            policy = self.policies.get(loan.currency, PromisePolicy())
            outcome = self._outcome(task, loan, chance)
            promised = None
            if outcome == "promise":
                promised = _promise(self.owed.get(task.loan_id, 0), today, policy.max_days, chance)
                if promised is None:
                    outcome = "conversation" if task.channel == "call" else "met"
            report = Report(
                outcome, f"agent-{chance.randint(1, 9)}", now, today, policy, self.works.workspace.pack_dates, promised,
                notice=self.works.notice_of(task),
            )  # fmt: skip
            record_outcome(self.works.database, task.id, report)

    def review(self, day: date, now: datetime) -> None:
        """Whoever owns a hold whose day of review presses looks at it, sooner or later, and lets it stand for a month."""
        with self.works.database.session() as session:
            pressing = [duty for duty in list_duties(session, today=day) if state_of(duty, day) != "open"]
            session.expunge_all()
        for duty in pressing:
            chance = Random(f"{self.seed}:{duty.subject}:{day}")
            if duty.id is not None and duty.subject.startswith("hold:") and chance.random() < REVIEWED:
                close_duty(
                    self.works.database,
                    duty.id,
                    by=duty.owner,
                    evidence="looked at it once more; it stands",
                    today=day,
                    now=now,
                    next_on=day + timedelta(days=30),
                )

    # -- what people do -----------------------------------------------------------------------------------

    def _pays(self, loan_id: int, overdue: int, due: int, day: date, heard: str, promised: bool) -> int:
        loan = self.loans[loan_id]
        chance = Random(f"{self.seed}:{loan.ref}:{day}")
        temper = temper_of(self.seed, str(loan.borrower_id))
        if overdue <= 0:
            return due if due > 0 and chance.random() < temper.on_time else 0
        if promised:
            return overdue if chance.random() < temper.keeps else 0
        likely = temper.daily + {"message": temper.after_message, "talk": temper.after_talk}.get(heard, 0)
        if chance.random() >= likely:
            return 0
        return overdue if chance.random() < temper.whole else max(1, overdue * chance.randint(30, 80) // 100)

    def _outcome(self, task: Contact, loan: Loan, chance: Random) -> str:
        if task.channel == "call":
            return pick(chance, CALLS[temper_of(self.seed, str(loan.borrower_id)).name])
        return pick(chance, {"visit": VISITS, "letter": LETTERS, "legal": FILINGS}[task.channel])

    # -- what the core system knows ----------------------------------------------------------------------

    def _claims(self, day: date) -> dict[int, tuple[int, int]]:
        """Loan id -> what is overdue and what falls due on the day, in minor units."""
        claims: dict[int, tuple[int, int]] = {}
        with self.works.database.session() as session:
            for position in session.exec(select(Position)):
                if schedule := self.schedules.get(position.loan_id):
                    stand = arrears_from_position(position, schedule, on=day)
                    due = stand.due_next_minor if stand.due_next_on == day else 0
                    claims[position.loan_id] = (stand.overdue_minor, due)
        for loan_id, account in self.accounts.items():
            claims[loan_id] = (account.overdue, account.minimum if account.due_on == day else 0)
        return claims

    def _heard(self, now: datetime) -> dict[int, str]:
        since = now - timedelta(days=1)
        heard: dict[int, str] = {}
        with self.works.database.session() as session:
            query = select(Contact).where(
                col(Contact.at) > since, col(Contact.at) <= now, col(Contact.status).in_(("sent", "delivered"))
            )
            for contact in session.exec(query):
                if contact.outcome in _REACHED:
                    heard[contact.loan_id] = "talk"
                elif contact.channel in ("sms", "email", "letter"):
                    heard.setdefault(contact.loan_id, "message")
        return heard

    def _promised(self, day: date) -> set[int]:
        with self.works.database.session() as session:
            query = select(Promise.loan_id).where(col(Promise.status) == "open", col(Promise.due_on) == day)
            return set(session.exec(query))

    def _payment(self, loan_id: int, minor: int, day: date, now: datetime) -> dict[str, object]:
        self.payments += 1
        loan = self.loans[loan_id]
        ref = f"SIM-{self.payments}"
        row: dict[str, object] = {
            "ref": ref,
            "loan": loan.ref,
            "kind": "payment",
            "amount": _major(minor, loan.currency),
            "effective_on": day.isoformat(),
            "recorded_at": now.isoformat(),
            "ends": "",
        }
        if Random(f"{self.seed}:bounce:{ref}").random() < BOUNCES:
            back = day + timedelta(days=2)
            returned = {**row, "ref": f"{ref}-R", "kind": "reversal", "effective_on": back.isoformat(), "ends": ref}
            returned["recorded_at"] = (now + timedelta(days=2)).isoformat()
            self.bouncing.setdefault(back, []).append(returned)
        return row

    def _book(self, rows: Iterable[Mapping[str, object]], day: date) -> None:
        by_ref = {loan.ref: loan_id for loan_id, loan in self.loans.items()}
        for account in self.accounts.values():
            if account.due_on <= day:
                # A minimum payment that is not made by its day becomes overdue the day after.
                account.overdue += min(account.minimum, max(0, account.balance - account.overdue))
                account.oldest_on = account.oldest_on or account.due_on
                account.due_on = _next_month(account.due_on)
        for row in rows:
            loan_id = by_ref[str(row["loan"])]
            if loan_id not in self.accounts:
                continue
            account = self.accounts[loan_id]
            minor = int(Decimal(str(row["amount"])) * 100) * (-1 if row["kind"] == "reversal" else 1)
            account.balance = max(0, account.balance - minor)
            account.overdue = max(0, account.overdue - minor)
            if account.overdue == 0:
                account.oldest_on = None
            elif account.oldest_on is None:
                account.oldest_on = day

    def _snapshots(self, day: date) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for loan_id, account in sorted(self.accounts.items()):
            loan = self.loans[loan_id]
            rows.append(
                {
                    "loan": loan.ref,
                    "as_of_on": day.isoformat(),
                    "dpd": (day - account.oldest_on).days if account.oldest_on else 0,
                    "overdue": _major(account.overdue, loan.currency),
                    "balance": _major(account.balance, loan.currency),
                    "min_payment": _major(min(account.minimum, account.balance), loan.currency),
                    "next_due_on": account.due_on.isoformat(),
                }
            )
        return rows

    def _write(self, kind: str, rows: list[dict[str, object]], now: datetime) -> Path:
        # A day without payments still has a file: an empty day is news, a missing file makes arrears stale.
        columns = [column.name for column in KINDS[kind].columns]
        path = self.folder / f"{kind}-{now:%Y%m%d%H%M}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path


def _promise(overdue: int, today: date, days: int, chance: Random) -> Promised | None:
    if overdue <= 0:
        return None
    share = overdue if chance.random() < 0.7 else max(1, overdue // 2)
    return Promised(share, today + timedelta(days=chance.randint(1, max(1, min(days, 7)))))


def _major(minor: int, currency: str) -> str:
    places = digits(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f}"


def _next_month(on: date) -> date:
    year, month = (on.year + 1, 1) if on.month == 12 else (on.year, on.month + 1)
    return date(year, month, on.day)
