"""
What comes back from outside, as values: what became of a message or call, and what somebody answered.

Adapters parse and verify; whoever receives these values only has to write them down. The same report twice, or
reports out of order, are harmless: `delivered` and `failed` are final, and `sent` says nothing new.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from channels.message import Meaning

Delivery = Literal["sent", "delivered", "failed"]
"""sent: on its way. delivered: it arrived, or the call was made. failed: it surely did not."""
DELIVERIES: Final[tuple[Delivery, ...]] = get_args(Delivery)

CallOutcome = Literal["", "heard", "voicemail", "no_answer", "busy"]
"""What came of a call, in the words that rules and limits count by; empty for a message, or while it rings."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """
    What a provider says became of a message or call.

    Attributes:
        contact_id: ours; empty where the provider names only its own id.
        code, meaning: as in `Receipt`; empty and `ok` where nothing failed.
        at: when, if the provider says so with a zone; aware.
    """

    provider: str
    contact_id: str
    provider_ref: str
    status: Delivery
    code: str = ""
    meaning: Meaning = "ok"
    outcome: CallOutcome = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InboundText:
    """
    A text message from outside, as it was written.

    Attributes:
        sender, to: numbers as the provider writes them.
        opt_out_type: what the provider itself understood: STOP, START or HELP; empty: nothing. A person who asks in
            other words is for us to understand.
    """

    provider: str
    sender: str
    to: str
    body: str
    provider_ref: str
    opt_out_type: str = ""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key pressed in a recorded call: a person is listening, and this is what they want."""

    provider: str
    contact_id: str
    provider_ref: str
    key: str
    wish: Literal["stop", "talk", "repeat", ""]


@dataclass(frozen=True, slots=True)
class MailReport:
    """
    What a mail server reports of one of our mails.

    Attributes:
        recipient: whom the report is about, as it writes the address.
        report_id: the report's own Message-ID, or a hash of it; the same report has the same.
    """

    contact_id: str
    recipient: str
    status: Delivery
    code: str
    meaning: Meaning
    report_id: str


Reason = Literal["unsigned", "forged", "oversized", "malformed", "unexpected", "unmatched"]


@dataclass(frozen=True, slots=True)
class Refused:
    """
    Something from outside that is not believed, and changes nothing.

    Attributes:
        reason: unsigned: no signature. forged: a wrong one, or it speaks for somebody else. oversized, malformed: not
            read at all. unexpected: genuine, and of no kind that is known here. unmatched: about nothing of ours.
        detail: a sentence for whoever looks into it, with nothing of the content.
    """

    reason: Reason
    detail: str
