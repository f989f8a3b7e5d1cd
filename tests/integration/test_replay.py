"""Logged decisions derived again on real databases: alike where nobody touched them, and found where somebody did."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from sqlmodel import col, func, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate, Gate, PackDates
from duecourse.wiring import Works
from duecourse.workspace import open_workspace, shipped_folder
from engine.explain_tree import ExplainNode
from engine.judging import QUEUE_FULL
from engine.matching import LiveMatcherSet
from store.db import Database
from store.situations import Happened
from store.tables import Contact, DecisionRow, Event, Hold, Loan, Person, Promise, Published, Run, Snapshot
from tests.logs import without_triggers
from workflows import publications
from workflows.asking import Wanted
from workflows.by_hand import record, start
from workflows.decide import decide_borrowers
from workflows.privacy.erase import erase
from workflows.replay import NO_SNAPSHOT, NOT_LOGGED, Chosen, replay
from workflows.replay_findings import Told
from workflows.sayings import NOTHING_LEARNT
from workflows.sweep import sweep

LOANS = 300
LATER = NOW + timedelta(hours=3)
NIGHT = NOW + timedelta(hours=15)


def decide_all(database: Database) -> None:
    """A book that was swept, with queues too small for it, heard of events, and had people at work by hand."""
    write_book(database, LOANS, on=ON)
    workspace = open_workspace(shipped_folder(), {})
    rulebook = workspace.rulebook
    # Fewer packs are read anew faster.
    packs = [pack for pack in workspace.packs if pack.id.startswith(("cn.cba", "house.", "us.regf"))]
    workspace.gate = Gate(packs, ["CN", "US"])
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
    with closing(Works(workspace, database)) as works:
        # The fixture's own database outlives the works.
        works.database = _Shared(database)  # type: ignore[assignment]
        for ref in refs:
            start(works.door, Wanted(ref, "call"), agent="mei", now=NIGHT)
            record(
                works.door, Wanted(ref, "call"), "no_answer", direction="out", agent="mei", at=LATER, now=NIGHT,
                learnt=NOTHING_LEARNT,
            )  # fmt: skip


class _Shared:
    """A database that somebody else closes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def close(self) -> None:
        """Left open."""


def scalars(database: Database, query: Any) -> list[Any]:
    with database.session() as session:
        return list(session.exec(query).all())


def tampered(database: Database, sql: str, **params: Any) -> None:
    """Done by somebody who may do anything."""
    with without_triggers(database) as connection:
        assert connection.execute(text(sql), params).rowcount > 0


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


def only_what_is_asked_for(decided: Database) -> None:
    """A run, a loan, a span of time: each alone, and together."""
    sweep_run, events_run = scalars(decided, select(Run.id).where(col(Run.kind) != "by_hand").order_by(col(Run.id)))
    loan = scalars(decided, select(DecisionRow.loan_id).where(DecisionRow.run_id == events_run))[0]
    of_run = len(scalars(decided, select(DecisionRow.loan_id).where(DecisionRow.run_id == sweep_run)))
    of_loan = len(scalars(decided, select(DecisionRow.run_id).where(DecisionRow.loan_id == loan)))
    by_hand = len(scalars(decided, select(Run.id).where(Run.kind == "by_hand")))
    for chosen, equal in (
        (Chosen(loan=loan), of_loan),
        (Chosen(since=NIGHT), by_hand),
        (Chosen(until=NOW), of_run),
        (Chosen(since=NIGHT + timedelta(days=1)), 0),
    ):
        found = replay(decided, chosen)
        assert (found.equal, found.decisions) == (equal, equal), chosen


def nobody_is_named(decided: Database) -> None:
    """No name, number or address of anybody in the book is in what is kept for ever."""
    from store.snapshots import unpack
    from store.tables import Endpoint, Person

    private = {*scalars(decided, select(Person.name)), *scalars(decided, select(Endpoint.value))}
    for content, digest in scalars(decided, select(Snapshot.content, Snapshot.digest)):
        seen = unpack(content, digest)
        tables = (
            [getattr(seen.book, name) for name in seen.book.__slots__ if name != "contact_days"] if seen.book else []
        )
        told = {value for table in tables for column in table.columns for value in column.to_pylist()}
        assert private.isdisjoint(str(value) for value in told)
        assert not any(value in str(seen.asks) for value in private)


def without_somebody(decided: Database) -> None:
    """Whoever is erased leaves their decisions: they are derived from what the log holds, which never named them."""
    loan = scalars(decided, select(DecisionRow.loan_id).order_by(col(DecisionRow.loan_id)))[0]
    (borrower,) = scalars(decided, select(Loan.borrower_id).where(Loan.id == loan))
    with decided.write() as session:
        for table, change in (
            (Loan, {"stage": "closed"}),
            (Promise, {"status": "kept"}),
            (Contact, {"status": "expired"}),
        ):
            session.connection().execute(update(table).values(**change))
        session.connection().execute(update(Hold).values(ends_at=NOW))
        session.connection().execute(delete(Event).where(col(Event.run_id).is_(None)))
    (ref,) = scalars(decided, select(Person.ref).where(Person.id == borrower))
    erase(decided, ref, PackDates([], actor="first_party"), because="", by="li", now=NIGHT, today=ON)
    assert scalars(decided, select(Person.name).where(Person.id == borrower)) == [""]


def test_what_was_decided_in_every_way_comes_out_the_same(database: Database) -> None:
    """Sweep, events and contacts by hand, turned-away and quiet loans among them: every decision is derived again, alike."""
    decide_all(decided := database)
    kinds = dict(scalars(decided, select(Run.kind, func.count()).group_by(Run.kind)))
    assert kinds == {"sweep": 1, "events": 1, "by_hand": 8}
    full = scalars(decided, select(DecisionRow.loan_id).where(col(DecisionRow.trace_json).contains(QUEUE_FULL)))
    outcomes = set(scalars(decided, select(DecisionRow.outcome)))
    assert full
    assert {"contact", "recorded"} <= outcomes
    found = replay(decided, Chosen())
    assert (found.different, dict(found.not_derivable), found.told) == (0, {}, [])
    assert found.equal == len(scalars(decided, select(DecisionRow.loan_id)))
    assert found.runs == 10
    only_what_is_asked_for(decided)
    nobody_is_named(decided)
    without_somebody(decided)
    again = replay(decided, Chosen())
    assert (again.equal, again.different, dict(again.not_derivable)) == (found.equal, 0, {})


def changed_where_it_was_changed(decided: Database) -> None:
    """A fact, a verdict, a rule, a column, a decision that is gone: the first difference is shown."""
    run = scalars(decided, select(Run.id).where(Run.kind == "sweep"))[0]
    loans = scalars(
        decided,
        select(DecisionRow.loan_id)
        .where(DecisionRow.run_id == run, DecisionRow.outcome == "contact")
        .where(~col(DecisionRow.loan_id).in_(select(DecisionRow.loan_id).where(DecisionRow.run_id != run)))
        .order_by(col(DecisionRow.loan_id))
        .limit(4),
    )
    of = "where run_id = :run and loan_id = :loan"
    wrongs: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("facts_json = replace(facts_json, :old, :new)", "dpd", {"old": '"dpd":', "new": '"dpd":9'}),
        (
            "trace_json = replace(trace_json, :old, :new)",
            "verdict",
            {"old": '"outcome":"allow"', "new": '"outcome":"deny"'},
        ),
        ("rule = :rule", "columns", {"rule": "made-up"}),
    )
    for loan, (change, _, params) in zip(loans, wrongs, strict=False):
        tampered(decided, f"update decision set {change} {of}", run=run, loan=loan, **params)
    tampered(decided, f"delete from decision {of}", run=run, loan=loans[-1])
    found = replay(decided, Chosen(run=run))
    assert found.different == len(loans)
    told = {one.loan: one for one in found.told}
    assert told[loans[-1]].why == NOT_LOGGED
    for loan, (_, where, _) in zip(loans, wrongs, strict=False):
        labels = drawn(told[loan])
        assert where in labels
        assert [label.partition(":")[0] for label in labels[-2:]] == ["logged", "derived"]


def changed_publications(decided: Database) -> None:
    """What follows from it is different, however little of it was changed; changed back, all is as it was."""
    everything = len(scalars(decided, select(DecisionRow.loan_id)))
    for kind, name, old, new, says in (
        ("strategy", "cn-consumer-finance", "dpd >= 8", "dpd >= 9", "strategy `cn-consumer-finance`"),
        ("pack", "us.regf", "pack:", "pak:", "a pack, as it was kept, cannot be read"),
        ("gate", "", "us.regf", "us.regx", "the list of packs"),
    ):
        kept = select(Published.content).where(Published.kind == kind, Published.name == name)
        (content,) = scalars(decided, kept)
        assert old in content
        change = "update published set content = :content where kind = :kind and name = :name"
        tampered(decided, change, content=content.replace(old, new), kind=kind, name=name)
        found = replay(decided, Chosen())
        assert (found.equal, found.different) == (0, everything), kind
        assert says in found.told[0].why
        tampered(decided, change, content=content, kind=kind, name=name)
    assert replay(decided, Chosen()).equal == everything


def missing(decided: Database) -> None:
    """A snapshot that is gone or altered, a publication that was not kept: not derivable, and why; never a guess."""
    run = scalars(decided, select(Run.id).where(Run.kind == "events"))[0]
    decisions = len(scalars(decided, select(DecisionRow.loan_id).where(DecisionRow.run_id == run)))
    snapshot = "where run_id = :run"
    kept = scalars(decided, select(Snapshot.content).where(Snapshot.run_id == run))[0]
    for content, why in ((kept[:-1] + b"\x00", "its snapshot is not the one that was logged"), (None, NO_SNAPSHOT)):
        sql = (
            f"delete from snapshot {snapshot}"
            if content is None
            else f"update snapshot set content = :content {snapshot}"
        )
        tampered(decided, sql, run=run, **({} if content is None else {"content": content}))
        found = replay(decided, Chosen(run=run))
        assert (found.equal, found.different, found.not_derivable) == (0, 0, {why: decisions})
    everything = len(scalars(decided, select(DecisionRow.loan_id)))
    digest = scalars(decided, select(Published.digest).where(Published.name == "us.regf"))[0]
    tampered(decided, "delete from published where digest = :digest", digest=digest)
    found = replay(decided, Chosen())
    assert found.not_derivable == {f"pack `us.regf` ({digest[:12]}) was not kept": everything}
    tampered(decided, "delete from published where kind = 'reading'")
    (why,) = replay(decided, Chosen()).not_derivable
    assert why.endswith("was read with was not kept")


def another_edition(decided: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decided by another engine: what is equal is equal, and what is not cannot be told."""
    no_arm = select(DecisionRow.loan_id).where(DecisionRow.outcome == "contact", col(DecisionRow.arm).is_(None))
    loan = scalars(decided, no_arm)[-1]
    change = "update decision set arm = :arm where loan_id = :loan"
    before = replay(decided, Chosen(loan=loan))
    tampered(decided, change, loan=loan, arm="made-up")
    with monkeypatch.context() as patched:
        patched.setattr(publications, "ENGINE_VERSION", "999")
        found = replay(decided, Chosen())
    assert (found.different, found.not_derivable.total()) == (0, before.decisions)
    assert "made by engine version" in next(iter(found.not_derivable))
    assert found.equal > before.decisions
    tampered(decided, change, loan=loan, arm=None)


def odd_facts(decided: Database, facts: str) -> None:
    """Whatever stands there, a replay ends with an answer."""
    everything = len(scalars(decided, select(DecisionRow.loan_id)))
    tampered(decided, "update decision set facts_json = :facts, trace_json = :facts", facts=facts)
    found = replay(decided, Chosen())
    assert (found.equal, found.decisions) == (0, everything)


def test_what_somebody_did_to_the_log_is_found(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publications, editions, facts, verdicts, columns, decisions, snapshots: altered, gone, or nonsense."""
    every_wrong(sqlite_database, monkeypatch)


@pytest.mark.slow
def test_the_same_is_found_on_postgresql(postgres_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same wrongs, found in the same words."""
    every_wrong(postgres_database, monkeypatch)


def every_wrong(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    decide_all(database)
    changed_publications(database)
    another_edition(database, monkeypatch)
    changed_where_it_was_changed(database)
    missing(database)
    odd_facts(database, '{"dpd"')
    odd_facts(database, json.dumps({"stage": "nowhere"}))
