"""Second looks derived again: alike through random histories, and found wherever somebody changed one."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from engine.matching import InterpreterMatcher
from engine.situation import Loan
from engine.stages import Stage
from engine.strategy import Strategy
from store.db import Database
from store.log_kinds import erased_text
from store.tables import Contact, ContactStatus, Endpoint, Person, Run, Snapshot
from tests.factories import add_payment
from tests.replaying import (
    FEW_LOANS,
    as_kept,
    drawn,
    few_packs,
    flawless,
    lived,
    scalars,
    tampered,
    without_somebody,
    works_of,
)
from workflows.replay.findings import Chosen
from workflows.replay.looks import NO_ENTRY, NO_SNAPSHOT, NOTHING_KEPT
from workflows.replay.replay import replay


def entries(database: Database, says: str) -> list[ContactStatus]:
    """Entries that followed from a look with this answer."""
    wanted = select(ContactStatus).where(col(ContactStatus.detail_json).contains(f'"answer": "{says}"'))
    with database.session() as session:
        found = list(session.exec(wanted.order_by(col(ContactStatus.id))))
        session.expunge_all()
    return found


def test_every_look_comes_out_the_same(database: Database) -> None:
    """Looks of dispatch, of agents taking tasks and of tasks called off: each is derived again, with its answer and reasons."""
    lived(database, 1)
    told = {says: len(entries(database, says)) for says in ("go", "delay", "cancel")}
    assert min(told.values()) > 0, told
    found = flawless(replay(database, Chosen())).of["second look"]
    assert found.equal == sum(told.values())
    only_what_is_asked_for(database)
    without_somebody(database)
    assert flawless(replay(database, Chosen())).of["second look"] == found


def only_what_is_asked_for(database: Database) -> None:
    """A round, a loan, a span of time."""
    one = entries(database, "cancel")[0]
    loan = scalars(database, select(Contact.loan_id).where(Contact.id == one.contact_id))[0]
    about = select(Contact.id).where(Contact.loan_id == loan)
    of_loan = sum(one.contact_id in set(scalars(database, about)) for says in ("go", "delay", "cancel")
                  for one in entries(database, says))  # fmt: skip
    run = json.loads(one.detail_json)["look"]
    looks = [each for says in ("go", "delay", "cancel") for each in entries(database, says)]
    of_run = sum(json.loads(each.detail_json)["look"] == run for each in looks)
    at = scalars(database, select(Run.now_at).where(Run.id == run))[0]
    at_that_time = sum(each.at == at for each in looks)
    for chosen, equal in (
        (Chosen(loan=loan), of_loan),
        (Chosen(run=run), of_run),
        (Chosen(since=at, until=at), at_that_time),
    ):
        count = replay(database, chosen).of["second look"]
        assert (count.equal, count.total) == (equal, equal), chosen


def test_what_somebody_did_to_a_look_is_found(sqlite_database: Database) -> None:
    """An answer, a reason, a status, words, a row, a snapshot: the first difference is drawn, or it is said what is missing."""
    every_wrong(sqlite_database)


@pytest.mark.slow
def test_the_same_is_found_on_postgresql(postgres_database: Database) -> None:
    """The same wrongs, found in the same words."""
    every_wrong(postgres_database)


def every_wrong(database: Database) -> None:
    lived(database, 3)
    everything = replay(database, Chosen()).of["second look"].equal
    refused = next(one for one in entries(database, "cancel") if '"verdict": "deny"' in one.detail_json)
    went = next(one for one in entries(database, "go") if one.status == "sending")
    waited = next(one for one in entries(database, "delay") if one.status == "planned")

    def wrong(one: ContactStatus, labels: tuple[str, ...], **values: Any) -> None:
        change = ", ".join(f"{name} = :{name}" for name in values)
        tampered(
            database,
            f"update contact_status set {change} where id = :id",
            id=one.id,
            **as_kept(database, "contact_status", values),
        )
        found = replay(database, Chosen(run=json.loads(one.detail_json)["look"]))
        assert found.of["second look"].different == 1, values
        (told,) = (each for each in found.told if each.tree is not None)
        assert (told.about.name, told.about.subject) == (one.contact_id, "second look")
        assert drawn(told)[1 : 1 + len(labels)] == list(labels)
        before = {name: getattr(one, name) for name in values}
        tampered(
            database,
            f"update contact_status set {change} where id = :id",
            id=one.id,
            **as_kept(database, "contact_status", before),
        )

    # As if it had been allowed to go.
    wrong(refused, ("status", "logged: sending"), status="sending")
    wrong(refused, ("answer",), detail_json=refused.detail_json.replace('"answer": "cancel"', '"answer": "go"'))
    rule = json.loads(refused.detail_json)["reasons"][0]["rule"]
    wrong(
        refused, ("reasons", rule), detail_json=refused.detail_json.replace('"outcome": "deny"', '"outcome": "allow"')
    )
    wrong(refused, ("why",), why="somebody asked for it")
    until = json.loads(waited.detail_json)["until"]
    wrong(waited, ("until",), detail_json=waited.detail_json.replace(until, until.replace("2026", "2025")))
    wrong(went, ("verdict",), detail_json=went.detail_json.replace('"verdict": "allow"', '"verdict": "deny"'))
    # What an erasure leaves of the words is no difference.
    erased = erased_text("contact_status", str(refused.id))
    tampered(database, "update contact_status set why = :why where id = :id", why=erased, id=refused.id)
    assert replay(database, Chosen(run=json.loads(refused.detail_json)["look"])).total.different == 0
    gone(database, went, everything)


def gone(database: Database, went: ContactStatus, everything: int) -> None:
    """A look whose entry is gone, or says of another round, or of none; one whose snapshot is gone."""
    of = "where id = :id"
    run = json.loads(went.detail_json)["look"]
    for detail, why in (("{}", None), (went.detail_json.replace(f'"look": {run}', '"look": 1'), NO_SNAPSHOT),
                        (went.detail_json.replace(f'"look": {run}', '"looked": 1'), NOTHING_KEPT)):  # fmt: skip
        tampered(database, f"update contact_status set detail_json = :detail {of}", id=went.id, detail=detail)
        found = replay(database, Chosen(since=went.at, until=went.at)).of["second look"]
        assert (found.different, dict(found.not_derivable)) == (1, {why: 1} if why else {})
        assert NO_ENTRY in {one.why for one in replay(database, Chosen(run=run)).told}
    tampered(database, f"update contact_status set detail_json = :detail {of}", id=went.id, detail=went.detail_json)
    (of_run,) = {replay(database, Chosen(run=run)).of["second look"].equal}
    tampered(database, "update snapshot set digest = 'x' where run_id = :run", run=run)
    found = replay(database, Chosen(run=run)).of["second look"]
    assert dict(found.not_derivable) == {"its snapshot is not the one that was logged": of_run}
    tampered(database, "delete from snapshot where run_id = :run", run=run)
    found = replay(database, Chosen()).of["second look"]
    assert dict(found.not_derivable) == {NO_SNAPSHOT: of_run}
    assert found.equal == everything - of_run


def test_nobody_is_named_in_what_is_kept(sqlite_database: Database) -> None:
    """No name, number or address, and nothing that somebody wrote, is in the snapshot of a look."""
    from store.snapshots import unpack

    lived(sqlite_database, 4)
    private = {
        *scalars(sqlite_database, select(Person.name)),
        *scalars(sqlite_database, select(Endpoint.value)),
        "您好",
    }
    looks = select(Run.id).where(Run.kind == "look")
    kept = scalars(sqlite_database, select(Snapshot.content, Snapshot.digest).where(col(Snapshot.run_id).in_(looks)))
    assert kept
    for content, digest in kept:
        seen = unpack(content, digest)
        assert seen.looks
        assert not any(value in str(seen.looks) for value in private)


def test_a_fault_of_the_target_that_looked_is_not_repeated(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an interpreter by which every rule still matches, messages left that should have been called off: replay sees each."""
    write_book(sqlite_database, FEW_LOANS, on=ON)
    with works_of(few_packs(), sqlite_database) as works:
        works.sweep(NOW, lambda _done, _total: None)
        for loan in scalars(sqlite_database, select(Contact.loan_id).where(Contact.channel == "sms").distinct()):
            add_payment(sqlite_database, loan, 10_000_000_00, ON, recorded_at=NOW)

        def whatever(_self: object, strategy: Strategy, _loan: Loan, stage: Stage, _facts: object) -> frozenset[str]:
            return frozenset(one.id for one in strategy.rules.get(stage, ()))

        monkeypatch.setattr(InterpreterMatcher, "rules", whatever)
        works.dispatch_all(NOW + timedelta(hours=2))
    went = scalars(sqlite_database, select(Contact.id).where(Contact.status == "sent", Contact.channel == "sms"))
    assert went
    found = {one.about.name: one for one in replay(sqlite_database, Chosen()).told}
    assert set(went) <= found.keys()
    assert drawn(found[went[0]])[-2:] == ["logged: go", "derived: cancel"]
