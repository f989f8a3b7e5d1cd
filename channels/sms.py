"""
Text messages and recorded calls through Twilio's REST API.

The interface has no idempotency key, so a send happens once: a refusal (4xx) is sure, a connection that
was never made is sure, and everything else that is not a plain yes is `unknown`, until `find` has asked.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from channels.faults import broken_off, in_doubt
from channels.message import E164, Message, Receipt, Secret, Sought
from channels.posted import is_web_address
from channels.refusals import twilio_refusal
from channels.senders import Pace, keyed_digest, sender_for
from channels.twilio_client import NAME, TwilioClient, receipt_of_error
from channels.voice import TWIML_MAX, reminder
from engine.errors import Problem, SettingsError

TEXT_MAX: Final = 1600
"""Characters the provider takes; beyond that it refuses the message (code 21617)."""
VALID_SECONDS_MAX: Final = 36_000
TURN_SECONDS_MAX: Final = 10
"""Who would have to wait longer for a turn at their sender number is tried again later."""
RING_SECONDS: Final = 30
"""Well before most mailboxes pick up, and long enough to find a telephone."""
_FOUND_MAX: Final = 200
"""Messages to one number that are looked through, newest first."""
_SENDER: Final = re.compile(rf"{E164.pattern}|[0-9]{{3,8}}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{{1,11}}")
_HALF: Final = re.compile(r"[\ud800-\udfff]")
"""Half a character: nothing that can be sent has one."""
_NOT_SENT: Final = ("failed", "undelivered", "canceled")


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """
    The provider account.

    Attributes:
        from_number: a number in E.164, a short code or a name; or a pool of `from_numbers`, or a messaging service; exactly one of the three.
        sends_per_second_per_number: what the carriers allow each number of the pool, of this process; None: no limit.
        calls_from: sender of recorded calls in E.164; None: no calls are made.
        base_url: another address than the provider's own, for a stand-in.
        timeout_seconds: for the whole exchange; at most half of it to get a connection.
        connections: how many are open at once.
        callback_url: where the provider reports what became of a message or call, and which key was pressed; our
            contact id is added as `?contact=`, so that the report settles a send whose answer was lost.
            Empty: no reports, and no calls.
    Raises:
        SettingsError: no sender, several ways of naming one, or none that is one; a callback that is no address; calls
            without a callback.
    """

    account_sid: str
    auth_token: Secret = field(repr=False)
    from_number: str | None = None
    messaging_service_sid: str | None = None
    from_numbers: tuple[str, ...] = ()
    sends_per_second_per_number: float | None = None
    calls_from: str | None = None
    base_url: str | None = None
    timeout_seconds: float = 10
    connections: int = 64
    callback_url: str = ""

    def __post_init__(self) -> None:
        senders = sum(map(bool, (self.from_number, self.from_numbers, self.messaging_service_sid)))
        if senders != 1:
            what = "text messages have several senders" if senders else "text messages have no sender"
            mend = "set one of `sms.from_number`, `sms.from_numbers` and `sms.messaging_service_sid`"
            raise SettingsError(Problem(what, mend))
        if wrong := [n for n in self.numbers if not _SENDER.fullmatch(n)]:
            what = f"`{wrong[0]}` is no sender: neither a number, nor a short code, nor a name of at most 11 letters"
            raise SettingsError(Problem(what, "write a number like `+15550100123`, in quotes"))
        if self.callback_url and not is_web_address(self.callback_url):
            what = f"`{self.callback_url}` is no address that a provider could call"
            raise SettingsError(Problem(what, "set `sms.callback_url` to `https://...`"))
        if self.calls_from and not E164.fullmatch(self.calls_from):
            what = f"recorded calls cannot come from `{self.calls_from}`"
            raise SettingsError(Problem(what, "write a number like `+15550100123`, in quotes"))
        if self.calls_from and not self.callback_url:
            what = "recorded calls could not be ended by a key: there is nobody to tell"
            raise SettingsError(Problem(what, "set `sms.callback_url`, or take `sms.calls_from` out"))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The sender numbers there are; empty for a messaging service, which has its own."""
        return (self.from_number,) if self.from_number else self.from_numbers


class SmsAdapter:
    """Sends text messages and makes recorded calls. One object serves many at once."""

    name = NAME

    def __init__(self, settings: SmsSettings) -> None:
        s = self._settings = settings
        self._client = TwilioClient(
            s.account_sid,
            s.auth_token,
            base_url=s.base_url,
            timeout_seconds=s.timeout_seconds,
            connections=s.connections,
        )
        # Not for secrecy: whoever has the account sees who was written to from where.
        self._digest = keyed_digest(s.account_sid)
        self._pace = Pace(s.sends_per_second_per_number, TURN_SECONDS_MAX)

    async def send(self, message: Message) -> Receipt:
        """Hand one text message or call to the provider, once."""
        sender = self._sender(message)
        if refused := self._unsendable(message):
            return refused
        try:
            if sender and not await self._pace.turn(sender):
                words = "the sender number of this addressee is busy; nothing was sent"
                return Receipt("retry", NAME, "", "pace", "slow_down", words)
        except asyncio.CancelledError:
            return broken_off(NAME)
        try:
            client = self._client.open()
            if message.channel == "call":
                answer = await client.calls.create_async(**self._call(message))
            else:
                answer = await client.messages.create_async(**self._text(message, sender))
            return _taken(answer)
        except Exception as e:  # noqa: BLE001  the request may be out, so whatever went wrong, it is in doubt
            return receipt_of_error(e)

    async def find(self, sought: Sought) -> Receipt | None:
        """
        Look a message or call up in the provider's list, as `channels.message.Finder` says.

        It is found by addressee, text and the time it was made, never by the day it was sent, which is empty while it
        waits. What a call said is not listed: calls to one number are told apart by their time and `taken` only.
        """
        try:
            client = self._client.open()
            listing = client.calls if sought.channel == "call" else client.messages
            sent = await listing.list_async(to=sought.to, limit=_FOUND_MAX, page_size=_FOUND_MAX)
            found = [one for one in sent if self._is(one, sought) and one.sid not in sought.taken]
        except Exception as e:  # noqa: BLE001  nothing is learnt, whatever went wrong
            asked = receipt_of_error(e)
            return in_doubt(NAME, asked.code, f"the provider could not be asked: {asked.detail}")
        # Each was offered once: the one nearest to the offer is it.
        return _found(min(found, key=lambda one: abs(one.date_created - sought.offered_at))) if found else None

    async def close(self) -> None:
        """Close every connection; the next send opens new ones, in its own event loop."""
        await self._client.close()

    def _unsendable(self, message: Message) -> Receipt | None:
        if not E164.fullmatch(message.to):
            words = "the number is not in international form (E.164)"
            return Receipt("failed", NAME, "", "", "bad_address", words)
        if not message.text.strip():
            return Receipt("failed", NAME, "", "", "misconfigured", "the message has no text")
        if _HALF.search(message.text):
            return Receipt("failed", NAME, "", "", "misconfigured", "the text is not text")
        if message.channel != "call" and len(message.text) > TEXT_MAX:
            words = f"the text is longer than {TEXT_MAX} characters"
            return Receipt("failed", NAME, "", "", "misconfigured", words)
        if message.channel != "call":
            return None
        if not self._settings.calls_from:
            return Receipt("retry", NAME, "", "calls_from", "misconfigured", "no number is set up for recorded calls")
        if len(reminder(message, self._callback(message))) > TWIML_MAX:
            return Receipt("failed", NAME, "", "", "misconfigured", "the call says more than the provider takes")
        return None

    def _sender(self, message: Message) -> str | None:
        if message.channel == "call":
            return self._settings.calls_from
        numbers = self._settings.numbers
        return sender_for(message.to, numbers, self._digest) if numbers else None

    def _text(self, message: Message, sender: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {"to": message.to, "body": message.text}
        if sender:
            parameters["from_"] = sender
        else:
            parameters["messaging_service_sid"] = self._settings.messaging_service_sid
        if self._settings.callback_url:
            parameters["status_callback"] = self._callback(message)
        if message.valid_seconds is not None:
            # A text that waits in a queue past its hour would arrive when nobody may be disturbed.
            parameters["validity_period"] = max(1, min(message.valid_seconds, VALID_SECONDS_MAX))
        return parameters

    def _call(self, message: Message) -> dict[str, Any]:
        callback = self._callback(message)
        return {
            "to": message.to,
            "from_": self._settings.calls_from,
            "twiml": reminder(message, callback),
            "timeout": RING_SECONDS,
            "machine_detection": "Enable",
            "status_callback": callback,
            "status_callback_method": "POST",
            "status_callback_event": ["initiated", "ringing", "answered", "completed"],
        }

    def _callback(self, message: Message) -> str:
        url = self._settings.callback_url
        return f"{url}{'&' if urlsplit(url).query else '?'}contact={message.contact_id}"

    def _is(self, one: Any, sought: Sought) -> bool:
        if one.date_created is None or not sought.is_of_its_time(one.date_created) or one.to != sought.to:
            return False
        if sought.channel == "call":
            return bool(getattr(one, "_from", None) == self._settings.calls_from)
        return sought.is_it(one.body or "") and str(one.direction).startswith("outbound")


def _taken(answer: Any) -> Receipt:
    """What a plain yes is worth."""
    sid = answer.sid or ""
    if not sid.startswith(("SM", "MM", "CA")):
        return in_doubt(NAME, "no_sid", "the provider's answer has no message id")
    if code := getattr(answer, "error_code", None):
        status, meaning, words = twilio_refusal(int(code))
        return Receipt(status, NAME, sid, str(code), meaning, words)
    return Receipt("sent", NAME, sid)


def _found(one: Any) -> Receipt:
    if str(one.status) not in _NOT_SENT:
        return Receipt("sent", NAME, one.sid)
    # It stands in the provider's list and is over: `retry` would be another message.
    if code := getattr(one, "error_code", None):
        _, meaning, words = twilio_refusal(int(code))
        return Receipt("failed", NAME, one.sid, str(code), meaning, words)
    return Receipt("failed", NAME, one.sid, str(one.status), "unclear", "the provider did not send it")
