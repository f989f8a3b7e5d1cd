"""The catalogue of outcomes says which facts each of them changes; here they are computed before and after."""

from collections.abc import Mapping
from datetime import timedelta

from engine.catalogue import load_catalogue
from engine.rulebook import Rulebook
from engine.strategy import PromisePolicy
from engine.tree import FactValue
from store.db import Database
from store.tables import Contact
from tests.outgoing import DATES, NOW, TODAY, book, borrower_of, plan, small_rulebook
from workflows.call_backs import CallBack
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.decide import fresh_situations
from workflows.desk.outcome_file import outcomes
from workflows.desk.outcomes import Promised
from workflows.desk.reporting import Report, record_outcome

LATER = NOW + timedelta(hours=1)


def facts_of(database: Database, reader: ChunkReader, loan: int) -> Mapping[str, FactValue]:
    """Every fact of the loan an hour later, so that time alone changes nothing."""
    person = borrower_of(database, loan)
    situation = fresh_situations(database, reader, [person], LATER)[person].situation
    return next(one.facts for one in situation.loans if one.id == loan)


def test_each_outcome_changes_the_facts_it_names_and_no_other(sqlite_database: Database) -> None:
    """A task in its agent's hands, then closed: what a strategy would read otherwise is exactly what the catalogue says."""
    whole = load_catalogue()
    reader = ChunkReader(Rulebook(small_rulebook().strategies, whole, "digest"), actor="first_party")
    wrong = {}
    every = [(channel, name, outcome) for channel, found in outcomes().items() for name, outcome in found.items()]
    for channel, name, outcome in every:
        (loan,) = book(sqlite_database)
        task = plan(sqlite_database, loan, "call", channel=channel, status="sent", at=NOW)
        with sqlite_database.write() as session:
            session.get_one(Contact, task).claimed_by = "agent:ann"
        before = facts_of(sqlite_database, reader, loan)
        report = Report(
            name, "ann", NOW, TODAY, PromisePolicy(), DATES,
            Promised(50_00, TODAY + timedelta(days=3)) if outcome.effect == "promise" else None,
            call_back=CallBack(LATER + timedelta(days=1)) if outcome.effect == "call_back" else None,
        )  # fmt: skip
        record_outcome(sqlite_database, task, report)
        after = facts_of(sqlite_database, reader, loan)
        changed = {fact for fact in before.keys() | after.keys() if before.get(fact) != after.get(fact)}
        if changed != set(outcome.facts):
            wrong[channel, name] = sorted(changed)
    reader.close()
    assert wrong == {}
