"""
The port every adapter stands behind: a message goes in, a receipt comes out.

A receipt tells what is certain. `failed` and `retry` promise that nothing reached the addressee, so that
another channel or another try is safe; whatever could be otherwise is `unknown` and is never resent.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, get_args, runtime_checkable

Meaning = Literal[
    "ok", "opted_out", "bad_address", "try_later", "blocked", "slow_down", "misconfigured", "expired", "unclear"
]
"""
opted_out: suppress the channel. bad_address: stop using this endpoint. try_later: may pass in minutes or hours.
blocked: a carrier's or server's policy refused it; alert. slow_down: too many at once. misconfigured: our
settings or our text, not the addressee; stop the channel and alert. expired: it waited too long to be worth
sending. unclear: refused for a reason we have no name for; alert.
"""
MEANINGS: Final[tuple[Meaning, ...]] = get_args(Meaning)

Status = Literal["sent", "failed", "unknown", "retry"]
"""
sent: the provider took it. failed: surely not sent, and the same message will not pass later either.
retry: surely not sent, and it may pass later. unknown: it may or may not have gone out.
"""

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""A telephone number in international form."""
CONTACT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True)
class Message:
    """
    One rendered message for one addressee.

    Attributes:
        contact_id: our contact id; becomes the Message-ID of a mail and stands in a provider's callbacks.
        to: a phone number in E.164, or a bare mail address.
        text: what is written, or for a call what is said to whoever picks up, a machine included.
        html: the same text as HTML, for mail; empty: plain text only.
        headers: further mail headers, e.g. `Reply-To`; those the adapter writes itself cannot be replaced.
        unsubscribe_url: where the addressee ends these messages: https (one click) or mailto; empty: none.
        unsubscribe_mailto: the same by mail, beside an https address; empty: none.
        valid_seconds: how long a provider may hold it back before it must drop it; None: its own default.
        template, values: the template's name, and what it said for each of its variables (`loan.overdue`), for a
            gateway that sends approved templates instead of texts.
        accounts: where several accounts serve a channel, the names of those that may send it; empty: any.
    Raises:
        ValueError: a contact id that could not stand in a Message-ID or a URL as it is.
    """

    contact_id: str
    channel: Literal["sms", "email", "call"]
    to: str
    subject: str
    text: str
    html: str = ""
    language: str = "en"
    headers: Mapping[str, str] = field(default_factory=dict)
    unsubscribe_url: str = ""
    unsubscribe_mailto: str = ""
    valid_seconds: int | None = None
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not CONTACT_ID.fullmatch(self.contact_id):
            raise ValueError(f"contact id {self.contact_id!r} must be letters, digits and hyphens, at most 60")


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of a message, as far as it is certain.

    Attributes:
        provider: who was asked: `twilio`, `smtp`, or a gateway's name.
        provider_ref: their id of it, or the Message-ID; empty when they gave none.
        code: their code as text (`21610`, `550 5.1.1`, `timeout`); empty for `sent`.
        detail: a sentence for the person who reads the contact's history; no number, address or message text of ours.
    """

    status: Status
    provider: str
    provider_ref: str = ""
    code: str = ""
    meaning: Meaning = "ok"
    detail: str = ""


class Secret(Protocol):
    """A value that does not show itself, e.g. pydantic's SecretStr."""

    def get_secret_value(self) -> str:
        """The value."""
        ...


class Adapter(Protocol):
    """One way of reaching people. Only dispatch holds one."""

    @property
    def name(self) -> str:
        """What receipts call the provider."""
        ...

    async def send(self, message: Message) -> Receipt:
        """
        Send once, never twice. Answers with a receipt, also for odd input and a silent or broken provider.

        Cancelled before it has handed anything over it answers as well, with `retry`: a message that nobody saw is in
        no doubt. Cancelled later it is cancelled, and what became of the message is unknown.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection; the next `send` opens new ones."""
        ...


@dataclass(frozen=True, slots=True)
class Sought:
    """
    A message whose fate is `unknown`, as it can be looked for.

    Attributes:
        to: the number or address it went to.
        is_it: whether a text is the one that was offered; the text itself is not kept.
        offered_at: when it was offered to the provider; aware.
        since, until: between which instants the provider's record of it was made, the second excluded, so that it is
            not taken for that of its like; `until` None: at any later time.
        provider: who was asked to send it; empty: nobody knows.
        contact_id: what the provider was told that it is called.
        taken: the provider's ids that belong to other contacts.
    """

    channel: str
    to: str
    is_it: Callable[[str], bool]
    offered_at: datetime
    since: datetime
    until: datetime | None = None
    provider: str = ""
    contact_id: str = ""
    taken: Collection[str] = ()

    def is_of_its_time(self, at: datetime) -> bool:
        """Whether a record of that instant can be this message's."""
        return self.since <= at and (self.until is None or at < self.until)


@runtime_checkable
class Finder(Protocol):
    """An adapter that can look a message up whose fate is `unknown`."""

    async def find(self, sought: Sought) -> Receipt | None:
        """
        What the provider knows of a message that may have gone out.

        `sent` or `failed` with the provider's id; `unknown` where the provider cannot be asked now; None: it lists
        no such message. A message offered seconds ago may not be listed yet.
        """
        ...
