"""Callbacks over real HTTP: the provider's stand-in posts, a web server hands on, and values come out."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from channels.message import Message
from channels.posted import Posted
from channels.reports import InboundText, KeyPressed, Refused, StatusReport
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from channels.twilio_callbacks import Received, TwilioCallbacks
from channels.voice import after_key
from tests.hooks import serving

NUMBER = "+12025550123"
CALL = Message("5-1-0", "call", NUMBER, "", "This is Example Lender.")


class Hook:
    """Our door for callbacks, as small as it can be: it reads and remembers."""

    def __init__(self) -> None:
        self.read: list[Received] = []
        self.url = ""
        self.callbacks: TwilioCallbacks

    def take(self, posted: Posted) -> tuple[int, str]:
        read = self.callbacks.read(posted)
        self.read.append(read)
        if isinstance(read, Refused):
            return 403, ""
        return 200, after_key(read.wish, CALL, self.url, "+15550100199") if isinstance(read, KeyPressed) else ""


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    with serving(made.take) as url:
        made.url = url
        made.callbacks = TwilioCallbacks(ACCOUNT_SID, SecretStr(AUTH_TOKEN), url)
        yield made


def send(provider: FakeProvider, hook: Hook, message: Message) -> str:
    settings = SmsSettings(
        ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider.base_url, callback_url=hook.url,
        calls_from=FROM_NUMBER,
    )  # fmt: skip

    async def work() -> str:
        adapter = SmsAdapter(settings)
        try:
            return (await adapter.send(message)).provider_ref
        finally:
            await adapter.close()

    return asyncio.run(work())


def test_a_texts_reports_come_home(provider: FakeProvider, hook: Hook):
    """Each report of a text that was sent names its contact, and what a failure means."""
    sid = send(provider, hook, Message("1-2-0", "sms", NUMBER, "", "Your payment is due."))
    assert provider.report(sid, "sent") == 200
    assert provider.report(sid, "undelivered", 30006) == 200
    assert hook.read == [
        StatusReport("twilio", "1-2-0", sid, "sent"),
        StatusReport("twilio", "1-2-0", sid, "failed", "30006", "bad_address"),
    ]


def test_an_answer_lost_is_settled_by_the_callback(provider: FakeProvider, hook: Hook):
    """A send in doubt is found again by the contact id that its report brings home."""
    provider.fault(NUMBER, "drop_after_accept")
    assert send(provider, hook, Message("1-2-0", "sms", NUMBER, "", "Your payment is due.")) == ""
    (taken,) = provider.of_contact("1-2-0")
    provider.report(taken.sid, "delivered")
    assert hook.read == [StatusReport("twilio", "1-2-0", taken.sid, "delivered")]


def test_a_call_ends_by_a_key_and_reports_who_answered(provider: FakeProvider, hook: Hook):
    """Nine is heard as a wish to end such calls and is answered with a promise; a machine is told from a person."""
    sid = send(provider, hook, CALL)
    status, twiml = provider.press(sid, "9")
    assert status == 200
    assert "no more recorded calls" in twiml
    assert "+15550100199" in provider.press(sid, "1")[1]
    assert provider.report(sid, "completed", answered_by="machine_start") == 200
    stop, talk, end = hook.read
    assert isinstance(stop, KeyPressed)
    assert isinstance(talk, KeyPressed)
    assert isinstance(end, StatusReport)
    assert (stop.wish, talk.wish) == ("stop", "talk")
    assert (end.contact_id, end.status, end.outcome, end.at is not None) == ("5-1-0", "delivered", "voicemail", True)


def test_an_answer_to_us_is_read_and_the_provider_obeys_stop_itself(provider: FakeProvider, hook: Hook):
    """STOP is marked by the provider, other words are not; whoever stopped is refused from then on."""
    assert provider.text_in(hook.url, NUMBER, "stop") == 200
    assert provider.text_in(hook.url, "+12025550199", "Please stop writing to me") == 200
    first, second = hook.read
    assert isinstance(first, InboundText)
    assert isinstance(second, InboundText)
    assert (first.body, first.opt_out_type) == ("stop", "STOP")
    assert (second.sender, second.opt_out_type) == ("+12025550199", "")
    assert send(provider, hook, Message("1-2-0", "sms", NUMBER, "", "Hello")) == ""
    provider.text_in(hook.url, NUMBER, "START")
    assert send(provider, hook, Message("1-3-0", "sms", NUMBER, "", "Hello")).startswith("SM")


def test_a_report_for_another_address_is_refused(provider: FakeProvider, hook: Hook):
    """What was signed for another address than the one in the settings is refused over the wire too."""
    assert provider.text_in(hook.url + "/other", NUMBER, "hello") == 403
    assert isinstance(hook.read[0], Refused)
