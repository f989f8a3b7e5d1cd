"""What the lender's own systems may post, field by field; nothing else is taken. The words are those of the files."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from workflows.inbox import posting

_LINE = r"^[^\x00-\x1f\x7f]*$"
_REF = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"

Source = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="the system that says so: part of a movement's name")
]
Ref = Annotated[str, Field(pattern=_REF, max_length=100, examples=["P-2026-000123"])]
Amount = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}([.][0-9]{1,6})?$",
        description="in major units of the loan's currency, as text: no rounding on the way",
        examples=["500.00"],
    ),
]
Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2199, 12, 31))]
Line = Annotated[str, Field(pattern=_LINE, max_length=2000)]
Channel = Literal["sms", "email", "call", "visit", "letter", "legal"]
HoldKind = Literal[
    "dispute", "cease", "refusal_to_pay", "attorney", "bankruptcy", "deceased", "hardship", "vulnerable", "moratorium",
    "instalment_agreement", "mental_capacity", "fraud", "investigation", "manual",
]  # fmt: skip
MovementKind = Literal[
    "payment", "pending_debit", "pending_cancelled", "reversal", "credit", "fee", "waiver", "forgiveness", "charge_off"
]


class _Posted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: Source = "core"
    ref: Ref


class MovementPosted(_Posted):
    """Money or claim that moved. The ledger takes it by the same rules as from a file; the kind gives the sign."""

    event: MovementKind
    loan: Ref
    amount: Amount
    effective_on: Day = Field(description="value date; of a pending debit the day it is to be collected")
    recorded_at: AwareDatetime | None = Field(None, description="when the source knew it; left out: now")
    ends: Ref | None = Field(None, description="the ref of the movement that it reverses, settles or calls off")

    def told(self) -> posting.Told:
        """As the workflow takes it."""
        return posting.Money(
            self.event, self.ref, self.loan, self.amount, self.effective_on, self.recorded_at, self.ends
        )


class PromisePosted(_Posted):
    """A promise to pay that somebody made elsewhere."""

    event: Literal["promise"]
    loan: Ref
    amount: Amount
    made_at: AwareDatetime
    due_on: Day

    def told(self) -> posting.Told:
        """As the workflow takes it."""
        return posting.Promised(self.ref, self.loan, self.amount, self.made_at, self.due_on)


class HoldPosted(_Posted):
    """A state that forbids something until it ends. A dispute is a hold of that kind."""

    event: Literal["hold"]
    person: Ref
    kind: HoldKind
    owner: Annotated[str, Field(pattern=_LINE, min_length=1, max_length=200, description="who looks at it again")]
    review_on: Day
    starts_at: AwareDatetime
    loan: Ref | None = Field(None, description="left out: all of the person's")
    blocks: tuple[Channel, ...] = Field((), description="left out: everything")
    form: Literal["written", "electronic", "oral", ""] = ""
    reason: Line = Field("", description="without personal data")

    def told(self) -> posting.Told:
        """As the workflow takes it."""
        return posting.Placed(
            self.ref, self.person, self.kind, self.owner, self.review_on, self.starts_at, self.loan, self.blocks,
            self.form, self.reason,
        )  # fmt: skip


class HoldReleased(_Posted):
    """A hold has ended; `ref` is that of the hold."""

    event: Literal["hold_released"]
    ended_at: AwareDatetime

    def told(self) -> posting.Told:
        """As the workflow takes it."""
        return posting.Released(self.ref, self.ended_at)


EventPosted = Annotated[MovementPosted | PromisePosted | HoldPosted | HoldReleased, Field(discriminator="event")]

EVENT: TypeAdapter[MovementPosted | PromisePosted | HoldPosted | HoldReleased] = TypeAdapter(EventPosted)


class Taken(BaseModel):
    """It is in the book: `new`, or `known` already by its key or its ref."""

    id: int
    state: Literal["new", "known"]


class ProblemSaid(BaseModel):
    """One thing that is wrong: where, what, and the mend."""

    where: str
    what: str
    mend: str


class Problems(BaseModel):
    """Everything that is wrong; nothing was taken."""

    problems: list[ProblemSaid]
