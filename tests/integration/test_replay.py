"""Logged decisions derived again on real databases: alike where nobody touched them, and found where somebody did."""

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import col, func, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from engine.judging import QUEUE_FULL
from engine.matching import LiveMatcherSet
from store.book import RAW_TABLES
from store.db import Database
from store.snapshots import digest_of
from store.tables import DecisionRow, Loan, Person, Published, Run, Snapshot
from tests.replaying import NIGHT, decide_all, drawn, few_packs, flawless, scalars, tampered, without_somebody
from workflows.deciding.decide import decide_borrowers
from workflows.deciding.matching import SweepMatcher
from workflows.deciding.sweep import sweep
from workflows.replay import decisions as replay_decisions
from workflows.replay import publications
from workflows.replay.decisions import NOT_LOGGED
from workflows.replay.findings import Chosen, Count
from workflows.replay.looks import NO_SNAPSHOT
from workflows.replay.replay import UNREADABLE_RUN, replay


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


DEEP = "[" * 60_000
NO_TEXT = b"\xff"


def test_nonsense_in_a_run_or_a_publication_is_no_crash(sqlite_database: Database) -> None:
    """What cannot be read is not derivable, and why; what reads as something else differs; and the other runs come out as before."""
    decide_all(sqlite_database)
    whole = replay(sqlite_database, Chosen()).of["decision"]
    run = scalars(sqlite_database, select(Run.id).where(Run.kind == "sweep"))[0]
    mine = len(scalars(sqlite_database, select(DecisionRow.loan_id).where(DecisionRow.run_id == run)))
    for column, value, found in (
        ("now_at", "x", UNREADABLE_RUN),
        ("now_at", 9 * 10**18, UNREADABLE_RUN),
        ("gate_digest", NO_TEXT, UNREADABLE_RUN),
        ("status", NO_TEXT, UNREADABLE_RUN),
        ("strategies_json", '{"a":5}', None),
        ("strategies_json", DEEP, None),
    ):
        change = f"update run set {column} = :value where id = :run"
        kept = scalars(sqlite_database, text(f"select {column} from run where id = {run}"))[0][0]
        tampered(sqlite_database, change, value=value, run=run)
        count = replay(sqlite_database, Chosen()).of["decision"]
        expected = (0, {found: mine}) if found else (mine, {})
        assert (count.different, count.not_derivable) == expected, column
        assert count.equal == whole.equal - mine
        tampered(sqlite_database, change, value=kept, run=run)
    for kind, why in (
        ("strategy", " cannot be read"),
        ("gate", " cannot be read"),
        ("reading", " was read with cannot be read"),
        ("pack", " cannot be read"),
    ):
        digest, kept = scalars(
            sqlite_database, select(Published.digest, Published.content).where(Published.kind == kind).limit(1)
        )[0]
        change = "update published set content = :value where digest = :digest"
        tampered(sqlite_database, change, value=NO_TEXT, digest=digest)
        (told,) = replay(sqlite_database, Chosen(run=run)).of["decision"].not_derivable
        assert told.endswith(why)
        tampered(sqlite_database, change, value=DEEP, digest=digest)
        began = time.process_time()
        assert replay(sqlite_database, Chosen()).of["decision"].equal == 0
        # Ten runs: each time anew, or by an expression that looks ahead from every bracket, it would be a minute.
        assert time.process_time() - began < 20, kind
        tampered(sqlite_database, change, value=kept, digest=digest)
    assert replay(sqlite_database, Chosen()).of["decision"] == whole


def test_nonsense_in_a_snapshot_is_no_crash(sqlite_database: Database) -> None:
    """With a digest that fits: what cannot be packed like this, or cannot be computed with, is not derivable, its error's type told."""
    decide_all(sqlite_database)
    run = scalars(sqlite_database, select(Run.id).where(Run.kind == "sweep"))[0]
    holds = select(Snapshot.id, Snapshot.content).where(Snapshot.run_id == run, Snapshot.last_id != 0)
    kept = dict(scalars(sqlite_database, holds))
    unpacked = "its snapshot is not as it was packed"
    for spoil, why in (
        (lambda _head, rest: (DEEP.encode(), rest), unpacked),
        (lambda head, rest: (json.dumps({**json.loads(head), "at": 9 * 10**18}).encode(), rest), unpacked),
        (lambda head, rest: (json.dumps({**json.loads(head), "contact_days": "x"}).encode(), rest), unpacked),
        (lambda head, rest: (head, shifted(rest)), "what its snapshot holds cannot be worked with ("),
        (lambda head, rest: (head, nobody(rest)), "what its snapshot holds cannot be worked with ("),
    ):
        for number, content in kept.items():
            spoilt = repacked(content, spoil)
            change = "update snapshot set content = :content, digest = :digest where id = :id"
            tampered(sqlite_database, change, content=spoilt, digest=digest_of(spoilt), id=number)
        count = replay(sqlite_database, Chosen(run=run)).of["decision"]
        assert count.different == 0
        assert count.not_derivable
        assert all(told.startswith(why) for told in count.not_derivable), count


def repacked(content: bytes, spoil: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """A snapshot with another head, or other tables."""
    import pyarrow as pa

    head, _, rest = pa.CompressedInputStream(pa.BufferReader(content), "zstd").read().partition(b"\n")
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as pressed:
        pressed.write(b"\n".join(spoil(head, rest)))
    return bytes(sink.getvalue())


def tables_of(rest: bytes) -> list[Any]:
    """The tables of a snapshot."""
    import pyarrow as pa

    stream = pa.BufferReader(rest)
    return [pa.ipc.open_stream(stream).read_all() for _ in RAW_TABLES]


def streams(tables: list[Any]) -> bytes:
    """The same as bytes."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    for table in tables:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return bytes(sink.getvalue())


def shifted(rest: bytes) -> bytes:
    """The tables in another order."""
    return streams(tables_of(rest)[::-1])


def nobody(rest: bytes) -> bytes:
    """Loans without an id."""
    import pyarrow as pa

    loan, *others = tables_of(rest)
    at = loan.schema.get_field_index("id")
    field = loan.schema.field(at)
    return streams([loan.set_column(at, field, pa.array([None] * loan.num_rows, field.type)), *others])


def test_an_error_of_ours_is_not_taken_for_an_answer(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where deciding itself goes wrong, nothing is equal and nothing different: not derivable, with the error's type."""
    decide_all(sqlite_database)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(replay_decisions, "decide", broken)
    run = scalars(sqlite_database, select(Run.id).where(Run.kind == "events"))[0]
    count = replay(sqlite_database, Chosen(run=run)).of["decision"]
    assert (count.equal, count.different) == (0, 0)
    assert set(count.not_derivable) == {"what was kept of it cannot be worked with (ZeroDivisionError)"}


@pytest.mark.parametrize("target", [SweepMatcher, LiveMatcherSet])
def test_a_fault_of_the_target_that_decided_is_not_repeated(
    target: type, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a target by which no rule matches nobody was contacted: replay, which asks another, sees each who should have been."""
    write_book(sqlite_database, 60, on=ON)
    workspace = few_packs()
    rulebook = workspace.rulebook
    monkeypatch.setattr(target, "rules", lambda *_: frozenset())
    if target is SweepMatcher:
        sweep(sqlite_database, rulebook, BulkGate(workspace.gate), now=NOW, loans_per_chunk=60)
    else:
        decide_borrowers(
            sqlite_database, rulebook, workspace.gate, borrower_ids=scalars(sqlite_database, select(Loan.borrower_id).distinct()),
            now=NOW, matcher=LiveMatcherSet(rulebook.strategies),
        )  # fmt: skip
    assert "contact" not in scalars(sqlite_database, select(DecisionRow.outcome))
    found = replay(sqlite_database, Chosen())
    assert found.of["decision"].different > 5
