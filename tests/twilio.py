"""Settings and messages for tests of the adapter to Twilio."""

from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from channels.message import Message
from channels.sms import SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER

NUMBER = "+12025550123"
NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
CALLING = {"calls_from": "+15005550030"}


def settings(base_url: str, **more: Any) -> SmsSettings:
    given: dict[str, Any] = {"from_number": FROM_NUMBER, "callback_url": "http://127.0.0.1:9/callback", **more}
    return SmsSettings(ACCOUNT_SID, SecretStr(given.pop("token", AUTH_TOKEN)), base_url=base_url, **given)


def message(to: str = NUMBER, contact_id: str = "1-2-0", text: str = "Your payment is due.", **more: Any) -> Message:
    return Message(contact_id, "sms", to, "", text, **more)


def call(to: str = NUMBER, contact_id: str = "5-1-0", **more: Any) -> Message:
    given = {"text": "This is Example Lender with a message for Li & Wang.", **more}
    return Message(contact_id, "call", to, "", given.pop("text"), **given)
