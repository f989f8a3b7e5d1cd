"""Books that were decided about in every way, and what somebody who may do anything does to their logs; for tests of replay."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import delete, text, update
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate, Gate, PackDates
from duecourse.people import move_loan, record_outcome
from duecourse.wiring import Works
from duecourse.workspace import Workspace, open_workspace, shipped_folder
from engine.explain_tree import ExplainNode
from engine.matching import LiveMatcherSet
from store.bulk_arrow import table_of
from store.columns import Sealed
from store.consents import NewStatement, add_statement
from store.db import Database
from store.ledger import NewMovement
from store.ledger import record as record_movements
from store.outbox import bump_versions
from store.situations import Happened
from store.tables import Contact, ContactStatus, DecisionRow, Endpoint, Event, Hold, Loan, Person, Promise
from tests.logs import without_triggers
from tests.outgoing import Silent
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.machine import change_stage
from workflows.deciding.sweep import sweep
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import Text, record, send, start
from workflows.desk.sayings import NOTHING_LEARNT
from workflows.desk.tasks import take_next
from workflows.privacy.erase import erase
from workflows.replay.findings import Replayed, Told
from workflows.replay.stages import NO_RUN
from workflows.sending.door import Outward

LOANS = 200
FEW_LOANS = 80
LATER = NOW + timedelta(hours=3)
NIGHT = NOW + timedelta(hours=15)


def decide_all(database: Database) -> None:
    """A book that was swept, with queues too small for it, heard of events, and had people at work by hand."""
    write_book(database, LOANS, on=ON)
    workspace = few_packs()
    rulebook = workspace.rulebook
    queues = {name: replace(queue, capacity_per_day=2) for name, queue in workspace.queues.items()}
    sweep(
        database, rulebook, BulkGate(workspace.gate), now=NOW, queues=queues, loans_per_chunk=200, zone="Asia/Shanghai"
    )
    with database.session() as session:
        some = session.exec(select(Loan).order_by(col(Loan.id)).limit(40)).all()
        owners = sorted({loan.borrower_id for loan in some})
        paid = {loan.id or 0: frozenset({"payment"}) for loan in some[:20]}
        broken = dict.fromkeys(owners[20:], frozenset({"promise_broken"}))
        overdue = session.exec(select(DecisionRow.loan_id).order_by(col(DecisionRow.loan_id)).limit(4)).all()
        refs = [session.get_one(Loan, loan).ref for loan in overdue]
    decide_borrowers(
        database, rulebook, workspace.gate, borrower_ids=owners, now=LATER, matcher=LiveMatcherSet(rulebook.strategies),
        happened=Happened(by_person=broken, by_loan=paid), queues=queues,
    )  # fmt: skip
    with works_of(workspace, database) as works:
        for ref in refs:
            start(works.door, Wanted(ref, "call"), agent="mei", now=NIGHT)
            record(
                works.door, Wanted(ref, "call"), "no_answer", direction="out", agent="mei", at=LATER, now=NIGHT,
                learnt=NOTHING_LEARNT,
            )  # fmt: skip


def few_packs() -> Workspace:
    """The shipped workspace with few of its packs, which are read anew faster."""
    workspace = open_workspace(shipped_folder(), {"backlog_share_max": 1.0, "spread_minutes": 90})
    packs = [pack for pack in workspace.packs if pack.id.startswith(("cn.cba", "house.", "us.regf"))]
    workspace.gate = Gate(packs, ["CN", "US"])
    return workspace


def unplaced(database: Database) -> None:
    """Half of the loans were never placed in a stage, as an import leaves them."""
    tampered(database, "delete from stage_change where loan_id % 2 = 0")
    tampered(
        database, "update loan set stage = 'current', stage_entry = 0, episode = 0, episode_on = null where id % 2 = 0"
    )


@contextmanager
def works_of(workspace: Workspace, database: Database) -> Iterator[Works]:
    """Works whose messages reach nobody, on a database that outlives them."""
    with closing(Works(workspace, database, Outward({"sms": Silent(), "email": Silent()}, stand_in=True))) as works:
        works.database = _Shared(database)  # type: ignore[assignment]
        yield works


class _Shared:
    """A database that somebody else closes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def close(self) -> None:
        """Left open."""


HOURS = (2, 6, 14, 18, 26)


def flawless(found: Replayed) -> Replayed:
    """Nothing differs; of what the book's maker placed, and no run, nothing can be derived."""
    assert found.total.different == 0, found.told
    assert set(found.total.not_derivable) <= {NO_RUN}
    assert set(found.of["stage change"].not_derivable) == set(found.total.not_derivable)
    return found


def lived(database: Database, seed: int) -> None:
    """A swept book through some hours in which people pay, stop us, share a number and are called, and messages leave."""
    chance = Random(seed)
    write_book(database, FEW_LOANS, on=ON)
    unplaced(database)
    workspace = few_packs()
    with works_of(workspace, database) as works:
        works.sweep(NOW, lambda _done, _total: None)
        share_a_number(database)
        for hour in HOURS:
            now = NOW + timedelta(hours=hour)
            for loan in chance.sample(range(1, FEW_LOANS + 1), 12):
                happens(works, chance, loan, now)
            works.dispatch_all(now)
            for queue in ("early-junior", "early-senior", "field", *workspace.queues):
                handed = take_next(works.door, queue=queue, agent=f"agent-{chance.randrange(3)}", now=now)
                if handed is not None and chance.random() < 0.7:
                    record_outcome(works, handed.contact.id, "no_answer" if handed.contact.channel == "call" else "nobody_met",
                                         agent=(handed.contact.claimed_by or "").removeprefix("agent:"), now=now)  # fmt: skip
            works.handle_events(now)
        moved_by_hand(works, NOW + timedelta(days=1))
        works.sweep(NOW + timedelta(days=1, hours=8), lambda _done, _total: None)
        # At night in Shanghai, and in the morning.
        works.dispatch_all(NOW + timedelta(days=1, hours=14))
        works.dispatch_all(NOW + timedelta(days=2, hours=1))


def share_a_number(database: Database) -> None:
    """Two people whom a text is planned for are reached at one number."""
    with database.write() as session:
        due = select(Contact.endpoint_id).where(Contact.status == "planned", Contact.channel == "sms").limit(2)
        one, other = (session.get_one(Endpoint, endpoint) for endpoint in session.exec(due))
        other.value = one.value


def happens(works: Works, chance: Random, loan: int, now: datetime) -> None:
    """One of the things that a second look is there for."""
    database = works.database
    with database.write() as session:
        row = session.get(Loan, loan)
        if row is None:
            return
        borrower, ref = row.borrower_id, row.ref
        what = chance.choice(("pays", "stops", "dies", "nothing", "by hand"))
        if what == "pays":
            amount = chance.choice((1_00, 5_000_00))
            record_movements(session, [NewMovement(loan, "payment", amount, now.date(), now, "t", f"{loan}-{now}")])
        elif what == "stops":
            key = f"{borrower}-{now}"
            add_statement(session, NewStatement(borrower, "opt_out", now, source="test", ref=key), now=now)
        elif what == "dies":
            for endpoint in session.exec(select(Endpoint).where(Endpoint.person_id == borrower)):
                endpoint.valid = False
        bump_versions(session, [borrower])
    if what == "by hand":
        send(works.door, Wanted(ref, "sms", purpose="service"), Text("您好", "zh"), agent="mei", now=now)


def moved_by_hand(works: Works, now: datetime) -> None:
    """A person takes a loan back a stage."""
    with works.database.session() as session:
        loan = session.exec(select(Loan).where(Loan.stage == "phone").order_by(col(Loan.id)).limit(1)).one()
    move_loan(works, loan.borrower_id, loan.id or 0, "reminded", by="mei", reason="mediation", now=now)


def without_somebody(database: Database) -> None:
    """Whoever is erased leaves their decisions and looks: they are derived from what the log holds, which never named them."""
    loan = scalars(
        database, select(ContactStatus.contact_id, Contact.loan_id).join(Contact).order_by(col(ContactStatus.id))
    )[0][1]
    (borrower,) = scalars(database, select(Loan.borrower_id).where(Loan.id == loan))
    with database.write() as session:
        for own in session.exec(select(Loan).where(Loan.borrower_id == borrower, Loan.stage != "closed")).all():
            change_stage(session, own.id or 0, "closed", cause="event:paid", reason="", now=NIGHT, on=ON, notices={})
        session.connection().execute(update(Promise).values(status="kept"))
        session.connection().execute(update(Contact).values(status="expired"))
        session.connection().execute(update(Hold).values(ends_at=NOW))
        session.connection().execute(delete(Event).where(col(Event.run_id).is_(None)))
    (ref,) = scalars(database, select(Person.ref).where(Person.id == borrower))
    erase(database, ref, PackDates([], actor="first_party"), because="", by="li", now=NIGHT, today=ON)
    assert scalars(database, select(Person.name).where(Person.id == borrower)) == [""]


def scalars(database: Database, query: Any) -> list[Any]:
    with database.session() as session:
        return list(session.exec(query).all())


def tampered(database: Database, sql: str, **params: Any) -> None:
    """Done by somebody who may do anything."""
    with without_triggers(database) as connection:
        assert connection.execute(text(sql), params).rowcount > 0


def as_kept(database: Database, table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they stand in that table's columns, sealed where these are."""
    columns = table_of(table).columns
    return {
        name: columns[name].type.seal_all(database.sealing, (value,))[0]
        if isinstance(columns[name].type, Sealed)
        else value
        for name, value in values.items()
    }


def drawn(told: Told) -> list[str]:
    """The labels on the way to the first difference."""
    labels: list[str] = []

    def walk(node: ExplainNode) -> None:
        labels.append(node.label)
        for child in node.children:
            walk(child)

    assert told.tree is not None
    walk(told.tree)
    return labels
