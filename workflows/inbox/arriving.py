"""What adapters read from outside, as the inbox keeps it: what identifies somebody apart from the rest."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, assert_never

from channels.mail_connection import NAME as MAIL
from channels.reports import InboundText, KeyPressed, MailReport, StatusReport
from store.inbox import NewArrival

Received = StatusReport | InboundText | KeyPressed | MailReport

REPORT: Final = "report"
TEXT: Final = "text"
KEY: Final = "key"


def arrival_of(received: Received, *, nonce: Callable[[], str]) -> NewArrival:
    """
    One thing from outside, ready to be written down.

    Args:
        nonce: names what its sender gave no name: without one, the same words again are said again.
    """
    match received:
        case StatusReport():
            return _report(
                received.provider, received.contact_id, received.provider_ref, received.status, received.code,
                received.meaning, received.outcome, received.provider_ref,
            )  # fmt: skip
        case MailReport():
            # Whom it is about is known by the contact; the address stays out, and makes the name of the report only.
            name = sha256(f"{received.report_id} {received.recipient}".encode()).hexdigest()[:24]
            outcome = "bounced" if received.status == "failed" else ""
            return _report(
                MAIL, received.contact_id, "", received.status, received.code, received.meaning, outcome, name
            )
        case InboundText():
            key = f"text:{received.provider_ref or nonce()}"
            private = {"sender": received.sender, "text": received.body}
            return NewArrival(received.provider, key, TEXT, {"understood": received.opt_out_type}, private)
        case KeyPressed():
            key = f"{KEY}:{received.provider_ref}:{received.key}"
            return NewArrival(received.provider, key, KEY, {"contact": received.contact_id, "wish": received.wish})
    assert_never(received)


def _report(
    provider: str, contact: str, ref: str, status: str, code: str, meaning: str, outcome: str, name: str
) -> NewArrival:
    detail = {
        "contact": contact, "ref": ref, "status": status, "code": code, "meaning": meaning, "outcome": outcome
    }  # fmt: skip
    return NewArrival(provider, f"{REPORT}:{contact}:{name}:{status}:{code}:{outcome}", REPORT, detail)
