"""Recorded calls: what whoever picks up hears, and what rings nobody."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from channels.message import Receipt
from channels.sms import SmsAdapter
from channels.testing.provider import FakeProvider
from engine.errors import SettingsError
from tests.sending import send_one
from tests.twilio import CALLING, NUMBER, call, settings


def test_a_recorded_call_says_its_text_and_can_be_ended_by_a_key(provider: FakeProvider):
    """Whoever picks up hears the text in their language, and how to reach a person or to end such calls."""
    receipt = send_one(SmsAdapter(settings(provider.base_url, **CALLING)), call(language="zh", text="这里是示例金融。"))
    (made,) = provider.calls
    assert receipt == Receipt("sent", "twilio", made.sid)
    assert (made.to, made.sender, made.contact) == (NUMBER, "+15005550030", "5-1-0")
    assert made.form["MachineDetection"] == "Enable"
    gather = ET.fromstring(made.body).find("Gather")  # noqa: S314  our own TwiML
    assert gather is not None
    assert gather.get("numDigits") == "1"
    said = [(say.get("language"), say.text) for say in gather.findall("Say")]
    assert said == [
        ("cmn-CN", "这里是示例金融。"),
        ("cmn-CN", "按1与我们的工作人员通话，按2重听，按9不再接收此类语音来电。"),
    ]


@pytest.mark.parametrize(
    ("more", "given", "expected"),
    [
        ({}, {}, ("retry", "misconfigured", "no number is set up for recorded calls")),
        (CALLING, {"text": "x" * 4000}, ("failed", "misconfigured", "the call says more than the provider takes")),
        (CALLING, {"text": " "}, ("failed", "misconfigured", "the message has no text")),
        (CALLING, {"to": "911"}, ("failed", "bad_address", "the number is not in international form (E.164)")),
    ],
)
def test_a_call_that_cannot_be_made_rings_nobody(
    provider: FakeProvider, more: dict[str, Any], given: dict[str, Any], expected: tuple[str, str, str]
):
    """What can only be refused never leaves."""
    receipt = send_one(SmsAdapter(settings(provider.base_url, **more)), call(**given))
    assert (receipt.status, receipt.meaning, receipt.detail) == expected
    assert provider.asked == []


@pytest.mark.parametrize(
    "url", ["lender.example/hook", "http://[::1/hook", "https://lender.example:99999/", "ftp://lender.example/"]
)
def test_a_callback_that_nobody_could_call_is_no_setting(url: str):
    """Said before anything is sent."""
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", callback_url=url)
    what = f"`{url}` is no address that a provider could call"
    assert str(refused.value) == f"{what}\n  mend: set `sms.callback_url` to `https://...`"


def test_calls_that_nobody_could_end_by_a_key_are_no_setting():
    """Without an address that hears of keys there are no recorded calls, and a sender must be a number."""
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", callback_url="", **CALLING)
    assert str(refused.value) == (
        "recorded calls could not be ended by a key: there is nobody to tell\n"
        "  mend: set `sms.callback_url`, or take `sms.calls_from` out"
    )
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", calls_from="12345")
    assert str(refused.value) == (
        "recorded calls cannot come from `12345`\n  mend: write a number like `+15550100123`, in quotes"
    )
