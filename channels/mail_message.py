"""A mail as bytes: who it is from, what it says, how to end it, and an id that ties every answer to its contact."""

import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from channels.mail_signing import message_id
from channels.message import Meaning, Message, Secret

# Base64 and quoted-printable only: a server without 8BITMIME must not have to rewrite a signed message.
_POLICY: Final = SMTP.clone(cte_type="7bit")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_URL: Final = re.compile(r"(https://|mailto:)[!-;=?-~]+")
_OURS: Final = frozenset(
    "from to cc bcc sender subject date message-id auto-submitted mime-version list-unsubscribe list-unsubscribe-post".split()  # noqa: SIM905
)


class NotMailable(Exception):  # noqa: N818  never leaves the room: the adapter turns it into a receipt
    """A message that no mail can be made of."""

    def __init__(self, meaning: Meaning, detail: str) -> None:
        self.meaning: Meaning = meaning
        self.detail = detail
        super().__init__(detail)


def is_address(text: str) -> bool:
    """Whether a text is one bare mail address that any server can be given: ASCII, no name, no quotes."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def compose(message: Message, *, from_address: str, sent_at: datetime, id_secret: Secret | None = None) -> bytes:
    """
    The mail as it goes over the wire, plain text first, then the HTML where there is one.

    Args:
        sent_at: aware; stands in `Date`.
        id_secret: seals the Message-ID.
    Raises:
        NotMailable: an address, subject or header that would not stay one header.
    """
    if not is_address(message.to):
        raise NotMailable("bad_address", "the address is not one plain mail address")
    if not message.text.strip() or not message.subject.strip():
        raise NotMailable("misconfigured", "the mail has no subject or no text")
    ways = [way for way in (message.unsubscribe_url, message.unsubscribe_mailto) if way]
    if not all(_URL.fullmatch(way) for way in ways) or message.unsubscribe_mailto.startswith("https:"):
        raise NotMailable("misconfigured", "the unsubscribe address is neither https nor mailto")
    mail = EmailMessage(policy=_POLICY)
    headers = {
        "From": from_address,
        "To": message.to,
        "Subject": message.subject,
        "Date": format_datetime(sent_at),
        "Message-ID": message_id(message.contact_id, from_address, id_secret),
        "Auto-Submitted": "auto-generated",
    }
    for name, value in message.headers.items():
        if name.lower() in _OURS or not _HEADER.fullmatch(name):
            raise NotMailable("misconfigured", f"the header `{name}` cannot be set by a message")
        headers[name] = value
    # The email package takes a line break at the very end of a value, and writes it.
    if any(len(value.splitlines()) > 1 or value != value.rstrip("\r\n") for value in headers.values()):
        raise NotMailable("misconfigured", "a header would break into two")
    try:
        for name, value in headers.items():
            mail[name] = value
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        # Only now: setting the content takes every Content- header away.
        mail["Content-Language"] = message.language
        return _unsubscribe(ways) + mail.as_bytes()
    except ValueError:
        raise NotMailable("misconfigured", "a header would break into two, or the text is not text") from None


def _unsubscribe(ways: Sequence[str]) -> bytes:
    # Written by hand: the email package breaks a long address into encoded words, which no mail program reads.
    if not ways:
        return b""
    lines = "List-Unsubscribe: " + ",\r\n ".join(f"<{way}>" for way in ways) + "\r\n"
    if ways[0].startswith("https:"):
        # RFC 8058: the mail program posts this one line; opening the address must not unsubscribe.
        lines += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    return lines.encode("ascii")
