"""Twilio's callbacks: what became of a message or call, a text from outside, a pressed key. Signed, or refused."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from channels.message import CONTACT_ID, Secret
from channels.posted import Form, Posted, is_web_address, read_form, read_query
from channels.refusals import twilio_refusal
from channels.reports import Delivery, InboundText, KeyPressed, Refused, StatusReport
from channels.twilio_client import NAME
from channels.voice import KEYS, call_came_to
from engine.errors import Problem, SettingsError

Received = StatusReport | InboundText | KeyPressed | Refused

_DELIVERY: Final[dict[str, Delivery]] = {
    "accepted": "sent", "scheduled": "sent", "queued": "sent", "sending": "sent", "sent": "sent",
    "partially_delivered": "sent", "delivered": "delivered", "read": "delivered", "undelivered": "failed",
    "failed": "failed", "canceled": "failed",
}  # fmt: skip
"""The provider's message statuses, each as far as it is sure."""
_CODE: Final = re.compile(r"[0-9]{3,6}")


class TwilioCallbacks:
    """
    Reads what the provider posts.

    Args:
        callback_url: the public address that the provider calls, as in `SmsSettings`. It is part of what is signed:
            what a web server behind a proxy believes its own address to be is not.
    Attributes:
        url: that address, without what stands after `?` in it.
    Raises:
        SettingsError: the address is none.
    """

    def __init__(self, account_sid: str, auth_token: Secret, callback_url: str) -> None:
        if not is_web_address(callback_url):
            what = f"`{callback_url}` is no address that a provider could call"
            raise SettingsError(Problem(what, "set `sms.callback_url` to `https://...`"))
        parts = urlsplit(callback_url)
        self._account_sid = account_sid
        self._auth_token = auth_token
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def read(self, posted: Posted) -> Received:
        """
        What a callback says, if it is the provider's and about this account.

        The same callback twice gives the same value twice: whoever writes it down tells by `provider_ref` and `status`.
        """
        form, query = read_form(posted), read_query(posted.query)
        if isinstance(form, Refused):
            return form
        if isinstance(query, Refused):
            return query
        if refused := self._unsigned(posted, form):
            return refused
        if form.one("AccountSid") != self._account_sid:
            return Refused("forged", "it is about another account")
        contact = query.one("contact") or ""
        if contact and not CONTACT_ID.fullmatch(contact):
            return Refused("malformed", "the contact id in its address is none")
        if "CallSid" in form:
            return _call(form, contact)
        if "MessageStatus" in form:
            return _message(form, contact)
        return _inbound(form)

    def _unsigned(self, posted: Posted, form: Form) -> Refused | None:
        from twilio.request_validator import RequestValidator, get_signature_algorithm

        signature = posted.headers.get("x-twilio-signature", "")
        if not signature:
            return Refused("unsigned", "it carries no signature")
        url = f"{self.url}?{posted.query}" if posted.query else self.url
        algorithm = get_signature_algorithm(posted.headers.get("x-twilio-webhooks-signature-settings", ""))
        validator = RequestValidator(self._auth_token.get_secret_value())
        if validator.validate(url, form, signature, algorithm):
            return None
        return Refused("forged", "its signature is wrong; or `sms.callback_url` is not the address it was sent to")


def _message(form: Form, contact: str) -> StatusReport | Refused:
    sid, status = form.one("MessageSid"), form.one("MessageStatus")
    if not sid or not status:
        return Refused("malformed", "message id or status is missing, or there twice")
    if status not in _DELIVERY:
        return Refused("unexpected", "a status that is not known here")
    if _DELIVERY[status] != "failed":
        return StatusReport(NAME, contact, sid, _DELIVERY[status])
    return _failed(form, contact, sid, status)


def _call(form: Form, contact: str) -> StatusReport | KeyPressed | Refused:
    sid, status = form.one("CallSid"), form.one("CallStatus")
    if not sid or not status:
        return Refused("malformed", "call id or status is missing, or there twice")
    if not (form.one("Direction") or "").startswith("outbound"):
        return Refused("unexpected", "a call from outside; nobody answers calls here")
    if "Digits" in form:
        key = form.one("Digits") or ""
        return KeyPressed(NAME, contact, sid, key[:1], KEYS.get(key, ""))
    came_to = call_came_to(status, form.one("AnsweredBy") or "")
    if came_to is None:
        return Refused("unexpected", "a status that is not known here")
    if came_to[0] == "failed":
        return _failed(form, contact, sid, status)
    return StatusReport(NAME, contact, sid, came_to[0], outcome=came_to[1], at=_instant(form.one("Timestamp")))


def _failed(form: Form, contact: str, sid: str, status: str) -> StatusReport:
    code = form.one("ErrorCode") or ""
    meaning = twilio_refusal(int(code))[1] if _CODE.fullmatch(code) else "unclear"
    return StatusReport(NAME, contact, sid, "failed", code or status, meaning, at=_instant(form.one("Timestamp")))


def _inbound(form: Form) -> InboundText | Refused:
    sid, sender, to, body = (form.one(name) for name in ("MessageSid", "From", "To", "Body"))
    if not sid or not sender or not to or body is None:
        return Refused("unexpected", "neither a report nor a text")
    return InboundText(NAME, sender, to, body, sid, form.one("OptOutType") or "")


def _instant(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
