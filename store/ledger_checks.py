"""What a movement must be before the ledger takes it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from engine.errors import Problem, unknown_name
from store.columns import to_us

Key = tuple[str, str]
"""A movement's natural key: (source, ref)."""

ENDS: Final[Mapping[str, frozenset[str]]] = {
    "payment": frozenset({"pending_debit"}),
    "pending_cancelled": frozenset({"pending_debit"}),
    "reversal": frozenset({"payment", "credit", "waiver", "forgiveness", "fee", "charge_off"}),
}
"""Which kinds end which: a payment may settle a pending debit, the other two must name what they end."""

KINDS: Final = frozenset({"pending_debit", *ENDS, *ENDS["reversal"]})

_AHEAD_MAX: Final = timedelta(days=1)  # the lender's date may be a day ahead of UTC


@dataclass(frozen=True, slots=True)
class NewMovement:
    """
    One movement as a source reports it.

    Attributes:
        amount_minor: more than 0, in the loan's currency; the kind gives the sign.
        effective_on: the value date; of a pending debit the day it is to be collected.
        recorded_at: when we came to know it; aware.
        source, ref: the natural key; the same again is the same movement.
        ends: the key of the movement that this one ends: what a reversal takes back, which pending debit
            a payment settles or a pending_cancelled calls off.
    """

    loan_id: int
    kind: str
    amount_minor: int
    effective_on: date
    recorded_at: datetime
    source: str
    ref: str
    ends: Key | None = None

    def __post_init__(self) -> None:
        to_us(self.recorded_at)  # refuses a naive one

    @property
    def key(self) -> Key:
        """(source, ref)."""
        return self.source, self.ref


@dataclass(frozen=True, slots=True)
class Standing:
    """
    A movement that the ledger holds, or will hold with this batch, as the one that ends it needs to see it.

    Attributes:
        ended_by: the key of what ends it already, or None.
    """

    loan_id: int
    kind: str
    amount_minor: int
    effective_on: date
    ended_by: Key | None


def check_alone(new: NewMovement) -> Iterator[Problem]:
    """What is wrong with a movement whatever else there is."""
    if new.kind not in KINDS:
        yield unknown_name("kind of movement", new.kind, sorted(KINDS), at=None, otherwise=f"one of {_listed(KINDS)}")
        return
    name = named(new.key)
    if new.amount_minor <= 0:
        yield Problem(f"{name} has amount {new.amount_minor}", "write it above 0; the kind gives the sign")
    last_on = new.recorded_at.astimezone(UTC).date() + _AHEAD_MAX
    if new.kind != "pending_debit" and new.effective_on > last_on:
        what = f"{name} takes effect on {new.effective_on}, after it was recorded on {last_on - _AHEAD_MAX}"
        debit = new.kind == "payment"
        mend = "record it as pending_debit until it clears" if debit else "record it on the day it takes effect"
        yield Problem(what, mend)
    if new.ends is None and new.kind in ("reversal", "pending_cancelled"):
        yield Problem(f"{name} is a {new.kind} of nothing", "name the source and ref of the movement it ends")
    if new.ends is not None and new.kind not in ENDS:
        yield Problem(f"{name} is a {new.kind} and ends {named(new.ends)}", f"only {_listed(ENDS)} end another")


def check_ending(new: NewMovement, ended: Standing | None) -> Iterator[Problem]:
    """What is wrong between a movement and the one it ends."""
    assert new.ends is not None  # noqa: S101 - the caller's own condition
    name, other = named(new.key), named(new.ends)
    if ended is None:
        yield Problem(f"{name} ends {other}, which is not known", "record that one first, or both together")
        return
    if ended.kind not in ENDS[new.kind]:
        what = f"{name} is a {new.kind} of {other}, a {ended.kind}"
        yield Problem(what, f"a {new.kind} ends only {_listed(ENDS[new.kind])}")
    if ended.loan_id != new.loan_id:
        yield Problem(f"{name} and {other} are of different loans", "name a movement of the same loan")
    if ended.ended_by is not None:
        what = f"{name} ends {other}, which {named(ended.ended_by)} has ended"
        yield Problem(what, "a movement is ended once: leave this one out, or name another")
    if new.kind == "reversal" and new.amount_minor > ended.amount_minor:
        what = f"{name} takes back {new.amount_minor} of {other}, which is {ended.amount_minor}"
        yield Problem(what, "take back that amount at most")
    if new.kind == "pending_cancelled" and new.amount_minor != ended.amount_minor:
        what = f"{name} cancels {new.amount_minor} of {other}, which is {ended.amount_minor}"
        yield Problem(what, "a pending debit is cancelled whole: write its amount")
    if new.kind == "reversal" and new.effective_on < ended.effective_on:
        what = f"{name} takes effect on {new.effective_on}, before {other} on {ended.effective_on}"
        yield Problem(what, "write that day or a later one")


def named(key: Key) -> str:
    """A movement's key as messages write it."""
    return f"movement `{key[0]}/{key[1]}`"


def _listed(names: Mapping[str, object] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
