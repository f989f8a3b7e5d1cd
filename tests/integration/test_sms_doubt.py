"""Texts and recorded calls whose fate is not known are looked for in the provider's list."""

import asyncio
from datetime import datetime, timedelta

from channels.message import Message, Receipt, Sought
from channels.sms import SmsAdapter
from channels.testing.provider import FakeProvider
from tests.sending import send_all, send_one
from tests.twilio import CALLING, NOW, NUMBER, call, message, settings


def find(adapter: SmsAdapter, given: Message, since: datetime, taken: tuple[str, ...] = ()) -> Receipt | None:
    async def work() -> Receipt | None:
        try:
            oldest = since - timedelta(minutes=2)
            sought = Sought(given.channel, given.to, lambda text: text == given.text, since, oldest, taken=taken)
            return await adapter.find(sought)
        finally:
            await adapter.close()

    return asyncio.run(work())


def test_a_message_in_doubt_is_found_in_the_providers_list(provider: FakeProvider):
    """Accepted with its answer lost it is found; cut off before it was taken, or somebody else's, it is not."""
    adapter = SmsAdapter(settings(provider.base_url))
    send_all(adapter, message(contact_id="1-9-0", text="Another text."))
    provider.fault(NUMBER, "drop_after_accept")
    assert send_one(adapter, message()).status == "unknown"
    (taken,) = provider.of_contact("1-2-0")
    assert find(adapter, message(), NOW) == Receipt("sent", "twilio", taken.sid)
    provider.fault(NUMBER, "drop")
    never = message(contact_id="1-3-0", text="Never taken.")
    assert send_one(adapter, never).status == "unknown"
    assert find(adapter, never, NOW) is None
    assert find(adapter, message("+12025550199"), NOW) is None
    assert find(adapter, message(), NOW + timedelta(hours=1)) is None
    assert find(adapter, message(), NOW, (taken.sid,)) is None
    assert [a.method for a in provider.asked].count("POST") == 3


def test_a_message_that_was_found_and_did_not_go_has_failed(provider: FakeProvider):
    """What the provider lists as undelivered failed, with what its code means, and is no `retry`."""
    adapter = SmsAdapter(settings(provider.base_url, callback_url=""))
    receipt = send_one(adapter, message())
    provider.report(receipt.provider_ref, "undelivered", 30003)
    found = find(adapter, message(), NOW)
    assert found == Receipt("failed", "twilio", receipt.provider_ref, "30003", "try_later", "handset unreachable")


def test_a_provider_that_cannot_be_asked_leaves_the_doubt(provider: FakeProvider):
    """Neither an outage nor a wrong token is an answer: the message stays in doubt."""
    wrong = find(SmsAdapter(settings(provider.base_url, token="wr" + "ong")), message(), NOW)
    assert wrong is not None
    assert wrong.status == "unknown"
    gone = find(SmsAdapter(settings("http://127.0.0.1:9")), message(), NOW)
    assert gone is not None
    assert (gone.status, gone.code) == ("unknown", "unreachable")


def test_a_call_in_doubt_is_found_too_and_is_not_made_twice(provider: FakeProvider):
    """A call whose answer was lost is in the provider's list under its sender."""
    adapter = SmsAdapter(settings(provider.base_url, **CALLING))
    provider.fault(NUMBER, "drop_after_accept")
    assert send_one(adapter, call()).status == "unknown"
    assert find(adapter, call(), NOW) == Receipt("sent", "twilio", provider.calls[0].sid)
    assert len(provider.of_contact("5-1-0")) == 1
