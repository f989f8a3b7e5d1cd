"""May this be done? The gate's answer about one act that a person has in mind, on fresh facts; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from engine.addressing import ask_contact, ask_move, endpoints
from engine.errors import DataError, Problem
from engine.gate import Ask, Channel, Endpoint, Override, Purpose, Reason, Role, Verdict
from engine.situation import Loan, Person, Situation
from engine.stages import EDGE, Stage
from engine.strategy import Act
from engine.tree import FactValue
from store.shared_endpoints import Shared, shared_endpoints
from store.tables import Person as PersonRow
from store.timeline import known_loan
from workflows.deciding.chunk import Chunk
from workflows.sending.door import Door
from workflows.sending.second_look import with_shared

_ORDER: Final = {"allow": 0, "defer": 1, "deny": 2}
NOWHERE: Final = Verdict(
    "deny",
    (
        Reason(
            "gate.no_endpoint",
            "deny",
            "",
            "There is no number or address on file for this.",
            None,
            "档案中没有可用的号码或地址。",
            "gate",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a person has in mind.

    Attributes:
        loan: its reference.
        person: the reference of whom, where several stand in the role; a person alone brings their role along.
        endpoint: only this number or address; None: whichever may be used.
        name: the template, if any. content: what the text says, as far as the gate may ask.
    """

    loan: str
    channel: Channel
    role: Role | None = None
    person: str | None = None
    endpoint: int | None = None
    purpose: Purpose = "collect"
    name: str = ""
    content: Mapping[str, FactValue] = field(default_factory=dict)
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """One number or address, what was asked about it, and the answer; None where the act needs none, or there is none."""

    endpoint: Endpoint | None
    verdict: Verdict
    ask: Ask | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The gate's answers, the one that counts first.

    Attributes:
        seen: the version of everybody it depends on, as it was read.
        chunk: what the borrower was read with.
    """

    situation: Situation
    loan: Loan
    person: Person
    role: Role
    spots: tuple[Spot, ...]
    seen: Mapping[int, int]
    chunk: Chunk

    @property
    def best(self) -> Spot:
        """The first that may be used now, else the soonest, else the first refused."""
        return self.spots[0]


@dataclass(frozen=True, slots=True)
class Addressed:
    """A loan, and who is meant."""

    situation: Situation
    loan: Loan
    person: Person
    role: Role
    seen: Mapping[int, int]
    chunk: Chunk


def ask(door: Door, wanted: Wanted, now: datetime, *, anyway: bool = False) -> Answer:
    """
    Ask the gate about an act, for every number or address that could serve.

    Args:
        anyway: ask also where there is none on file, of a contact that was made all the same.
    Raises:
        DataError: no such loan, nobody in that role, several of them, no such number or address.
    """
    found = address(door, wanted, now)
    usable = _usable(found.person, wanted) or ((None,) if anyway else ())
    if not usable:
        nowhere = (Spot(None, NOWHERE),)
        return Answer(found.situation, found.loan, found.person, found.role, nowhere, found.seen, found.chunk)
    with door.database.session() as session:
        shared = shared_endpoints(session, [e.id for e in usable if e is not None], now=now)
    spots = []
    seen = dict(found.seen)
    for endpoint in usable:
        others = shared.get(endpoint.id if endpoint is not None else 0, Shared())
        # Like in the second look: what the others are told there counts, so their versions matter.
        seen = {**others.versions, **seen}
        asked = _ask(found, wanted, endpoint, others)
        spots.append(Spot(endpoint, door.gate.check(asked, now), asked))
    return Answer(found.situation, found.loan, found.person, found.role, _best_first(spots), seen, found.chunk)


def asked_anew(asked: Ask, situation: Situation) -> Ask | None:
    """
    The question about the same act, with what this situation says of everybody it is about.

    What others heard at the same number or address stays as it was told then: it stands in no situation.

    Returns:
        None where its loan, its addressee or its number is not there, or not valid.
    """
    loan = next((one for one in situation.loans if one.id in asked.debts), None)
    if loan is None:
        return None
    if asked.move is not None:
        return ask_move(situation, loan, asked.move.target, asked.move.notice_days_required)
    borrower = situation.borrower
    person = borrower if borrower.id == asked.person else situation.others.get(asked.person)
    wanted = asked.endpoint
    stands = person is borrower if asked.role == "borrower" else (asked.person, asked.role) in loan.parties
    if person is None or not stands or asked.channel is None:
        return None
    endpoint = next((one for one in person.endpoints if wanted is not None and one.id == wanted.id and one.valid), None)
    if wanted is not None and endpoint is None:
        return None
    anew = ask_contact(
        situation,
        loan,
        person=person,
        role=asked.role,
        act=Act(asked.channel, "", None, content=asked.content),
        endpoint=endpoint,
        purpose=asked.purpose,
    )
    anew = replace(with_shared(anew, asked.shared, ()), override=asked.override)
    if len(anew.history) == len(asked.history):
        # What went to the same number under another of the person's endpoints stood there as sent to this one.
        pairs = zip(anew.history, asked.history, strict=True)
        anew = replace(anew, history=tuple(replace(one, endpoint=then.endpoint) for one, then in pairs))
    return anew


def ask_stage(door: Door, ref: str, target: Stage, now: datetime) -> tuple[Person, Verdict]:
    """
    Ask the gate about a move of a loan to another stage; one that makes nothing harsher is always allowed.

    Raises:
        DataError: no such loan, or no such move.
    """
    found = address(door, Wanted(ref, "legal"), now)
    edge = EDGE.get((found.loan.stage, target))
    if edge is None:
        what = f"no move leads from {found.loan.stage} to {target}"
        raise DataError(Problem(what, "`duecourse stages` shows which there are"))
    if edge.direction != "forward":
        return found.person, Verdict("allow")
    return found.person, door.gate.check(ask_move(found.situation, found.loan, target, 0), now)


def address(door: Door, wanted: Wanted, now: datetime) -> Addressed:
    """
    Read the borrower anew, and find whom the act is meant for.

    Raises:
        DataError: no such loan, nobody in that role, several and none is named, or somebody who was erased.
    """
    with door.database.session() as session:
        row = known_loan(session, wanted.loan)
        named = _named(session, wanted.person)
        borrower_id, loan_id = row.borrower_id, row.id
    situation, seen, chunk = door.situations([borrower_id], now)[borrower_id]
    loan = next(one for one in situation.loans if one.id == loan_id)
    stand = [(borrower_id, "borrower"), *loan.parties]
    role = wanted.role or ("borrower" if named is None else None)
    fitting = [(who, as_) for who, as_ in stand if (role is None or as_ == role) and named in (None, who)]
    if not fitting:
        whom = f"`{wanted.person}`" if wanted.person is not None else f"{role}"
        raise DataError(Problem(f"loan `{wanted.loan}` has no {whom}", "`--role` and `--person` say who is meant"))
    if len({who for who, _ in fitting}) > 1:
        what = f"loan `{wanted.loan}` has {len(fitting)} people in the role {role}"
        raise DataError(Problem(what, "say which with `--person REF`"))
    who, as_ = fitting[0]
    _refuse_erased(door, who)
    person = situation.borrower if who == borrower_id else situation.others[who]
    return Addressed(situation, loan, person, as_, seen, chunk)


def _refuse_erased(door: Door, person: int) -> None:
    with door.database.session() as session:
        erased_at = session.get_one(PersonRow, person).erased_at
    if erased_at is not None:
        what = f"this person was erased on {erased_at:%Y-%m-%d}"
        raise DataError(Problem(what, "nobody contacts them, and nothing is written down about them"))


def _named(session: Session, ref: str | None) -> int | None:
    if ref is None:
        return None
    found = session.exec(select(PersonRow.id).where(col(PersonRow.ref) == ref)).first()
    if found is None:
        raise DataError(Problem(f"no person `{ref}`", "write the reference they were imported with"))
    return found


def _usable(person: Person, wanted: Wanted) -> Sequence[Endpoint | None]:
    usable = endpoints(person, wanted.channel)
    if wanted.endpoint is None:
        return usable
    chosen = [endpoint for endpoint in usable if endpoint is not None and endpoint.id == wanted.endpoint]
    if not chosen:
        ids = ", ".join(str(endpoint.id) for endpoint in usable if endpoint is not None) or "none"
        what = f"`{wanted.endpoint}` is no number or address of theirs for {wanted.channel}"
        raise DataError(Problem(what, f"use one of: {ids}"))
    return chosen


def _ask(found: Addressed, wanted: Wanted, endpoint: Endpoint | None, others: Shared) -> Ask:
    asked = ask_contact(
        found.situation,
        found.loan,
        person=found.person,
        role=found.role,
        act=Act(wanted.channel, wanted.name, None, content=wanted.content),
        endpoint=endpoint,
        purpose=wanted.purpose,
    )
    return replace(with_shared(asked, others.past, others.same), override=wanted.override)


def _best_first(spots: Sequence[Spot]) -> tuple[Spot, ...]:
    """Allowed before put off, the soonest first, before refused; otherwise in the order in which they are tried."""
    soonest = min((spot.verdict.until for spot in spots if spot.verdict.until is not None), default=None)

    def rank(spot: Spot) -> tuple[int, float]:
        until = spot.verdict.until
        wait = (until - soonest).total_seconds() if until is not None and soonest is not None else 0.0
        return _ORDER[spot.verdict.outcome], wait

    return tuple(sorted(spots, key=rank))
