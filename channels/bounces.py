"""
Reports of mails that did not arrive, arrived, or wait: read out of whatever a mail server sends (RFC 3464).

Anybody can write such a report. One counts only if it names a Message-ID that we made; the rest is refused with a reason.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message as Part
from typing import Final

from channels.mail_signing import contact_of
from channels.message import Meaning, Secret
from channels.refusals import mail_refusal
from channels.reports import Delivery, MailReport, Refused

READ_MAX: Final = 262_144
"""Bytes of a report that are read; what a server says stands in front, the mail it is about behind."""
_PARTS_MAX: Final = 50
_DEPTH_MAX: Final = 5
_ADDRESS_MAX: Final = 320
_ACTION: Final[dict[str, Delivery]] = {
    # A delay is no failure: the server keeps trying. Relayed and expanded: it arrived somewhere that tells no more.
    "failed": "failed", "delayed": "sent", "delivered": "delivered", "relayed": "sent", "expanded": "sent",
}  # fmt: skip
_REPLY: Final = re.compile(r"\b([45]\d\d)(?:[ -]+(?:#|\()?([45]\.\d{1,3}\.\d{1,3})\b)?")
_STATUS: Final = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_MESSAGE_ID: Final = re.compile(r"<[^<>\s@]{1,80}@[^<>\s@]{1,255}>")


@dataclass(frozen=True, slots=True)
class MailReports:
    """
    Reads reports about our mails.

    Attributes:
        from_address, id_secret: as in `MailSettings`: whose mails, and how their ids are sealed.
    """

    from_address: str
    id_secret: Secret

    def read(self, content: bytes) -> list[MailReport | Refused]:
        """What a mail in the mailbox for reports says of our mails, one value for each addressee it is about."""
        try:
            return self._read(content[:READ_MAX])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # The email package has many ways to stumble over what is no mail.
            return [Refused("malformed", "it cannot be read as a mail")]

    def _read(self, content: bytes) -> list[MailReport | Refused]:
        mail = message_from_bytes(content)
        parts = list(_parts(mail))
        told = [block for part in parts if _kind(part) == "message/delivery-status" for block in _blocks(part)]
        about = [block for block in told if "action" in block]
        if not about:
            return [Refused("unexpected", "there is no delivery report in it")]
        try:
            contact = self._contact(mail, parts)
        except ValueError:
            return [Refused("forged", "it is about a mail that we did not send")]
        if contact is None:
            return [Refused("unmatched", "it does not say which of our mails it is about")]
        report_id = str(mail.get("Message-ID", "")).strip()[:_ADDRESS_MAX] or hashlib.sha256(content).hexdigest()
        words = " ".join(_text(part) for part in parts if _kind(part) == "text/plain")
        return [_report(contact, block, words, report_id) for block in about]

    def _contact(self, mail: Part, parts: list[Part]) -> str | None:
        for found in _ids(mail, parts):
            if contact := contact_of(found, self.from_address, self.id_secret):
                return contact
        return None


def _report(contact: str, block: dict[str, str], words: str, report_id: str) -> MailReport | Refused:
    action = block["action"].split()[0].lower() if block["action"].split() else ""
    if action not in _ACTION:
        return Refused("unexpected", "it says something that is not known here")
    recipient = (
        (block.get("final-recipient") or block.get("original-recipient") or "")
        .rpartition(";")[2]
        .strip()[:_ADDRESS_MAX]
    )
    if _ACTION[action] != "failed":
        return MailReport(contact, recipient, _ACTION[action], "", "ok", report_id)
    code, meaning = _why(block, words)
    return MailReport(contact, recipient, "failed", code, meaning, report_id)


def _why(block: dict[str, str], words: str) -> tuple[str, Meaning]:
    """The server's code and what it means; a bare `5.0.0` says nothing, so the words around it are looked at too."""
    found = _STATUS.search(block.get("status", ""))
    status = found[0] if found and not found[0].endswith(".0.0") else ""
    for text in (block.get("diagnostic-code", ""), words):
        reply = _REPLY.search(text)
        if reply is not None and (reply[2] or status):
            precise = reply[2] if reply[2] and not reply[2].endswith(".0.0") else status
            break
    else:
        reply, precise = None, status
    if not precise:
        return (found[0] if found else ""), "unclear"
    code = int(reply[1]) if reply is not None else 550 if precise[0] == "5" else 450
    return f"{code} {precise}", mail_refusal("recipient", code, precise)[1]


def _parts(mail: Part, depth: int = 0) -> Iterator[Part]:
    """Every part of the report itself, some servers nest them; the mail it is about is one part, and not looked into."""
    inside = _inside(mail)
    if mail.get_content_maintype() == "multipart" and inside and depth < _DEPTH_MAX:
        for part in inside[:_PARTS_MAX]:
            yield from _parts(part, depth + 1)
    else:
        yield mail


def _inside(part: Part) -> list[Part]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Part)] if isinstance(payload, list) else []


def _kind(part: Part) -> str:
    return part.get_content_type()


def _text(part: Part) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _blocks(part: Part) -> list[dict[str, str]]:
    """The groups of fields of a delivery status, names in lower case; the first is about the whole mail."""
    blocks = _inside(part)
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
        # The standard forbids it, some servers do it, and the email package takes the code for fields.
        text = base64.b64decode("".join(str(block.get_payload()) for block in blocks))
        blocks = [message_from_bytes(group.strip() + b"\n\n") for group in re.split(rb"\r?\n[ \t]*\r?\n", text)]
    return [{name.lower(): " ".join(str(value).split()) for name, value in block.items()} for block in blocks]


def _ids(mail: Part, parts: list[Part]) -> Iterator[str]:
    """Message-IDs that the report may be about, the likeliest first: the mail it brings back, then what it answers."""
    for part in parts:
        kind = _kind(part)
        inside = next(iter(_inside(part)), None) if kind in ("message/rfc822", "message/global") else None
        if kind in ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"):
            inside = message_from_bytes(_text(part).encode())
        if inside is not None:
            yield from _MESSAGE_ID.findall(str(inside.get("Message-ID", "")))
    for name in ("In-Reply-To", "References"):
        yield from _MESSAGE_ID.findall(str(mail.get(name, "")))
