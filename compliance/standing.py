"""What follows from everything a person has said: per way of reaching them, whether it is open, and on what terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compliance.consents import agreed, is_refusal
from compliance.look import refuses
from compliance.refusals import stands, taken_back
from engine.gate import Ask, Channel, Endpoint, Purpose, Statement


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where one way of reaching a person stands. The gate may know other reasons not to use it: this is what they said.

    Attributes:
        closed_by: the refusals that stand, oldest first; empty: it is open.
        closed_at: hours and places that they called inconvenient, and work where they said so.
        consents: those in force.
    """

    channel: Channel
    endpoint: Endpoint | None
    closed_by: tuple[Statement, ...]
    closed_at: tuple[Statement, ...]
    consents: tuple[Statement, ...]


def standing(
    statements: Sequence[Statement],
    spots: Iterable[tuple[Channel, Endpoint | None]],
    at: int,
    *,
    debts: tuple[int, ...] = (),
    purpose: Purpose = "collect",
) -> tuple[Standing, ...]:
    """
    What the ledger says at an instant, for each channel with its number or address.

    Args:
        at: microseconds since 1970 UTC; what was said later, or has lapsed by then, says nothing.
        debts: the loans it would be about; empty: any, and a refusal about one of them closes.
    """
    ordered = tuple(sorted(statements, key=lambda statement: statement.at_us))
    return tuple(_one(ordered, channel, endpoint, at, debts, purpose) for channel, endpoint in spots)


def _one(
    statements: tuple[Statement, ...],
    channel: Channel,
    endpoint: Endpoint | None,
    at: int,
    debts: tuple[int, ...],
    purpose: Purpose,
) -> Standing:
    ask = Ask(
        "contact", channel, purpose, "borrower", 0, debts, (), (), endpoint=endpoint, statements=statements,
        place=endpoint.place if endpoint is not None else None,
    )  # fmt: skip
    said = [one for one in statements if stands(one, at) and refuses(one, ask)]
    closed = [one for one in said if is_refusal(one, ask, recorded=False) and not taken_back(ask, one, at)]
    consents = [one for one in statements if one.kind == "consent" and agreed(ask, one, one.scope, at, directly=False)]
    return Standing(channel, endpoint, tuple(closed), tuple(one for one in said if _is_term(one, ask)), tuple(consents))


def _is_term(statement: Statement, ask: Ask) -> bool:
    if statement.kind == "inconvenient_place":
        return ask.place is not None and statement.place in {None, ask.place}
    if statement.kind == "no_work_contact":
        return ask.place == "work"
    return statement.kind == "inconvenient_time"
