"""The tables of an export: one a kind of entry, and two that follow from them; each column with its type, meaning and unit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Boolean, Date, String
from sqlalchemy.types import TypeDecorator

from store.bulk_arrow import table_of
from store.columns import Instant
from store.log_kinds import KINDS

POSITION: Final = "position"

MEANINGS: Final[Mapping[str, str]] = {
    "position": "place in the log, from 0",
    "id": "our number of the row",
    "run_id": "the run that decided; `run` says by what",
    "loan_id": "our number of the loan",
    "borrower_id": "our number of the borrower",
    "person_id": "our number of the person",
    "endpoint_id": "our number of a telephone number or address",
    "contact_id": "our id of the contact, as providers are told it",
    "now_at": "the instant decided for",
    "known_at": "what was known by then counted",
    "started_at": "when the run began",
    "on_on": "the date at the borrower's place",
    "at": "when it happened",
    "received_at": "when it was said",
    "recorded_at": "when it came into the book",
    "until_at": "when it lapses",
    "published_at": "when it was published",
    "next_look_at": "when it is looked at again",
    "strategy": "which strategy decided",
    "strategy_digest": "SHA-256 of the strategy",
    "gate_digest": "SHA-256 of the list of packs that answered",
    "strategies_json": "the strategies of the run with their digests",
    "engine_version": "which Duecourse decided",
    "arm": "the arm of a trial",
    "stage_before": "stage before the decision",
    "stage_after": "stage after it",
    "outcome": "what came of it",
    "rule": "the rule concerned",
    "covered_by": "our number of the loan whose contact speaks for this one",
    "reasons": "limits that had something against what was wanted, separated by spaces",
    "facts_json": "the facts decided by; money in minor units",
    "trace_json": "how it was decided: every rule, act and verdict with its citation",
    "kind": "what kind of row it is",
    "key": "what it is called",
    "entry": "how often the loan had entered a stage by then",
    "source": "where it comes from; of a move: the stage left",
    "target": "the stage entered",
    "cause": "what moved it",
    "status": "of a contact: planned, sending, sent, delivered, failed, unknown, cancelled, expired",
    "detail_json": "what explains it: of a second look its run, answer and verdict with citations; a provider's code",
    "ground": "why a presumption was set aside",
    "scope": "what was consented to or refused",
    "channels": "by which ways of reaching them; empty: all",
    "purposes": "for which purposes; empty: all",
    "digest": "SHA-256 of the content",
    "name": "what it is called",
    "subject": "what it was done with: a hash, a key, a table",
    "job": "the job of the schedule",
    "act": "what was done with it",
    "first_id": "lowest number of the borrowers in it",
    "last_id": "highest number of the borrowers in it",
    "person": "our number of the person",
    "role": "what the person is to the loan",
    "channel": "the way of reaching them",
    "purpose": "what it is for",
    "endpoint": "our number of a telephone number or address",
    "citation": "where the law or the house says so",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `type` is integer, instant, date, flag, text or withheld."""

    name: str
    type: str
    nullable: bool = True

    def manifest(self) -> dict[str, str]:
        """As the manifest says it."""
        said = {"name": self.name, "type": self.type, "meaning": MEANINGS.get(self.name, self.name.replace("_", " "))}
        if self.type == "withheld":
            said["meaning"] += "; withheld: SHA-256 of it with a salt, in hex"
        if self.type == "instant":
            said["unit"] = "UTC, to the microsecond"
        return said


def columns_of(kind: str) -> tuple[Column, ...]:
    """The columns of a kind's table: position, then its fields in the order in which entries have them."""
    table, fields = table_of(KINDS[kind].table), sorted(KINDS[kind].fields)
    withheld = KINDS[kind].withheld
    return (
        Column(POSITION, "integer"),
        *(Column(name, "withheld" if name in withheld else _type(table.c[name].type)) for name in fields),
    )


DERIVED: Final[Mapping[str, tuple[Column, ...]]] = {
    "verdict": tuple(
        Column(name, "text" if name != POSITION else "integer") for name in (POSITION, "rule", "outcome", "citation")
    ),
    "contact": tuple(
        Column(name, "integer" if name in {POSITION, "loan_id", "person", "endpoint"} else "text")
        for name in (POSITION, "contact_id", "loan_id", "person", "role", "channel", "purpose", "rule", "endpoint")
    ),
}
"""Tables that follow from `trace_json` and `detail_json`, for whoever does not read JSON; the verifier derives them again."""


def _type(of: object) -> str:
    if isinstance(of, Instant):
        return "instant"
    if isinstance(of, TypeDecorator):
        of = of.impl_instance
    if isinstance(of, Boolean):
        return "flag"
    if isinstance(of, Date):
        return "date"
    return "text" if isinstance(of, String) else "integer"
