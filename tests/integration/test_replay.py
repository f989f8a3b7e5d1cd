"""Logged decisions derived again on real databases: alike where nobody touched them, and found where somebody did."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlmodel import col, func, select

from benchmarks.sweep_steps import NOW
from engine.judging import QUEUE_FULL
from store.db import Database
from store.tables import DecisionRow, Person, Published, Run, Snapshot
from tests.replaying import NIGHT, decide_all, drawn, flawless, scalars, tampered, without_somebody
from workflows import publications
from workflows.replay import replay
from workflows.replay_decisions import NOT_LOGGED
from workflows.replay_findings import Chosen, Count
from workflows.replay_looks import NO_SNAPSHOT


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
        assert (found.of["decision"].equal, found.of["decision"].total) == (equal, equal), chosen


def nobody_is_named(decided: Database) -> None:
    """No name, number or address of anybody in the book is in what is kept for ever."""
    from store.snapshots import unpack
    from store.tables import Endpoint

    private = {*scalars(decided, select(Person.name)), *scalars(decided, select(Endpoint.value))}
    for content, digest in scalars(decided, select(Snapshot.content, Snapshot.digest)):
        seen = unpack(content, digest)
        tables = (
            [getattr(seen.book, name) for name in seen.book.__slots__ if name != "contact_days"] if seen.book else []
        )
        told = {value for table in tables for column in table.columns for value in column.to_pylist()}
        assert private.isdisjoint(str(value) for value in told)
        assert not any(value in str(seen.asks) for value in private)


def test_what_was_decided_in_every_way_comes_out_the_same(database: Database) -> None:
    """Sweep, events and contacts by hand, turned-away and quiet loans among them: every decision is derived again, alike."""
    decide_all(decided := database)
    kinds = dict(scalars(decided, select(Run.kind, func.count()).group_by(Run.kind)))
    assert kinds == {"sweep": 1, "events": 1, "by_hand": 8}
    full = scalars(decided, select(DecisionRow.loan_id).where(col(DecisionRow.trace_json).contains(QUEUE_FULL)))
    outcomes = set(scalars(decided, select(DecisionRow.outcome)))
    assert full
    assert {"contact", "recorded"} <= outcomes
    found = flawless(replay(decided, Chosen()))
    assert found.of["decision"].equal == len(scalars(decided, select(DecisionRow.loan_id)))
    assert found.runs == 10
    only_what_is_asked_for(decided)
    nobody_is_named(decided)
    without_somebody(decided)
    assert flawless(replay(decided, Chosen())).of["decision"] == found.of["decision"]


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
    assert found.of["decision"].different == len(loans)
    told = {one.about.loan: one for one in found.told}
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
        assert (found.of["decision"].equal, found.of["decision"].different) == (0, everything), kind
        assert says in found.told[0].why
        tampered(decided, change, content=content, kind=kind, name=name)
    assert replay(decided, Chosen()).of["decision"].equal == everything


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
        assert found.of["decision"] == Count(0, 0, Counter({why: decisions}))
    everything = len(scalars(decided, select(DecisionRow.loan_id)))
    digest = scalars(decided, select(Published.digest).where(Published.name == "us.regf"))[0]
    tampered(decided, "delete from published where digest = :digest", digest=digest)
    found = replay(decided, Chosen())
    assert found.of["decision"].not_derivable == {f"pack `us.regf` ({digest[:12]}) was not kept": everything}
    tampered(decided, "delete from published where kind = 'reading'")
    (why,) = replay(decided, Chosen()).of["decision"].not_derivable
    assert why.endswith("was read with was not kept")


def another_edition(decided: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decided by another engine: what is equal is equal, and what is not cannot be told."""
    no_arm = select(DecisionRow.loan_id).where(DecisionRow.outcome == "contact", col(DecisionRow.arm).is_(None))
    loan = scalars(decided, no_arm)[-1]
    change = "update decision set arm = :arm where loan_id = :loan"
    before = replay(decided, Chosen(loan=loan)).of["decision"].total
    tampered(decided, change, loan=loan, arm="made-up")
    with monkeypatch.context() as patched:
        patched.setattr(publications, "ENGINE_VERSION", "999")
        found = replay(decided, Chosen()).of["decision"]
    assert (found.different, found.not_derivable.total()) == (0, before)
    assert "made by engine version" in next(iter(found.not_derivable))
    assert found.equal > before
    tampered(decided, change, loan=loan, arm=None)


def odd_facts(decided: Database, facts: str) -> None:
    """Whatever stands there, a replay ends with an answer."""
    everything = len(scalars(decided, select(DecisionRow.loan_id)))
    tampered(decided, "update decision set facts_json = :facts, trace_json = :facts", facts=facts)
    found = replay(decided, Chosen())
    assert (found.of["decision"].equal, found.of["decision"].total) == (0, everything)


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
