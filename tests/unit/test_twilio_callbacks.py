"""What the provider posts is believed only if it is signed, about us and readable; and then it says one thing."""

from datetime import UTC, datetime
from itertools import permutations
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from channels.message import MEANINGS, Message
from channels.posted import BODY_MAX, Posted, read_form
from channels.refusals import twilio_refusal
from channels.reports import DELIVERIES, Delivery, InboundText, KeyPressed, Refused, StatusReport
from channels.senders import keyed_digest, sender_for
from channels.testing.twilio_wire import signature
from channels.twilio_callbacks import _DELIVERY, TwilioCallbacks
from channels.voice import after_key, call_came_to
from engine.errors import SettingsError
from store.outbox import NEXT

ACCOUNT, TOKEN, URL = "AC" + "0" * 32, "hush", "https://lender.example/hooks/sms"
CALLBACKS = TwilioCallbacks(ACCOUNT, SecretStr(TOKEN), URL)
FORM = "application/x-www-form-urlencoded"
MESSAGE = {"AccountSid": ACCOUNT, "MessageSid": "SM1", "MessageStatus": "delivered"}
CALL = {"AccountSid": ACCOUNT, "CallSid": "CA1", "Direction": "outbound-api", "CallStatus": "completed"}
TEXT = {"AccountSid": ACCOUNT, "MessageSid": "SM2", "From": "+12025550123", "To": "+15005550006", "Body": "stop please"}


def posted(form: dict[str, str], query: str = "contact=1-2-0", *, token: str = TOKEN, url: str = URL) -> Posted:
    called = f"{url}?{query}" if query else url
    headers = {"content-type": FORM, "x-twilio-signature": signature(token, called, form)}
    return Posted(urlencode(form).encode(), query, headers)


def test_a_genuine_report_says_what_became_of_which_contact():
    """Contact, provider's id and status come out of a signed report; a failure says what its code means."""
    assert CALLBACKS.read(posted(MESSAGE)) == StatusReport("twilio", "1-2-0", "SM1", "delivered")
    failed = posted({**MESSAGE, "MessageStatus": "undelivered", "ErrorCode": "30005", "RawDlrDoneDate": "2603050930"})
    assert CALLBACKS.read(failed) == StatusReport("twilio", "1-2-0", "SM1", "failed", "30005", "bad_address")
    nameless = posted({**MESSAGE, "MessageStatus": "failed"}, query="")
    assert CALLBACKS.read(nameless) == StatusReport("twilio", "", "SM1", "failed", "failed", "unclear")


def test_a_text_from_outside_comes_in_whole():
    """Whatever somebody writes arrives as written, with what the provider itself made of it."""
    written = {**TEXT, "Body": "我不欠钱 & <b>\n不要再发", "OptOutType": "STOP"}
    read = CALLBACKS.read(posted(written, query=""))
    assert read == InboundText("twilio", TEXT["From"], TEXT["To"], "我不欠钱 & <b>\n不要再发", "SM2", "STOP")
    assert CALLBACKS.read(posted({**TEXT, "Body": ""}, query="")) == InboundText(
        "twilio", TEXT["From"], TEXT["To"], "", "SM2"
    )


@pytest.mark.parametrize(
    ("status", "answered_by", "expected"),
    [
        ("ringing", "", ("sent", "")), ("in-progress", "human", ("sent", "")),
        ("completed", "human", ("delivered", "heard")), ("completed", "", ("delivered", "heard")),
        ("completed", "unknown", ("delivered", "heard")),
        ("completed", "machine_start", ("delivered", "voicemail")),
        ("completed", "machine_end_beep", ("delivered", "voicemail")), ("completed", "fax", ("delivered", "voicemail")),
        ("busy", "", ("delivered", "busy")), ("no-answer", "", ("delivered", "no_answer")),
        ("failed", "", ("failed", "")), ("canceled", "", ("failed", "")), ("levitating", "", None),
    ],
)  # fmt: skip
def test_a_call_that_a_machine_took_is_no_conversation(status: str, answered_by: str, expected: tuple[str, str] | None):
    """Each way a call can end has its own word; where it cannot be told, somebody heard it."""
    assert call_came_to(status, answered_by) == expected


def test_a_calls_report_says_when():
    """The instant of a call's report has its zone; one without says nothing."""
    at = {"AnsweredBy": "machine_start", "Timestamp": "Thu, 05 Mar 2026 09:30:00 +0000"}
    read = CALLBACKS.read(posted({**CALL, **at}))
    when = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
    assert read == StatusReport("twilio", "1-2-0", "CA1", "delivered", outcome="voicemail", at=when)
    for no_time in ("yesterday", "Thu, 05 Mar 2026 09:30:00", ""):
        read = CALLBACKS.read(posted({**CALL, "Timestamp": no_time}))
        assert isinstance(read, StatusReport)
        assert read.at is None


@pytest.mark.parametrize(("key", "wish"), [("1", "talk"), ("2", "repeat"), ("9", "stop"), ("5", ""), ("99", "")])
def test_a_key_says_what_somebody_wants(key: str, wish: str):
    """The keys that the call offers, and no others, mean something."""
    read = CALLBACKS.read(posted({**CALL, "CallStatus": "in-progress", "Digits": key}))
    assert isinstance(read, KeyPressed)
    assert (read.contact_id, read.provider_ref, read.wish) == ("1-2-0", "CA1", wish)


def test_what_follows_a_key():
    """Nine ends the call with a promise, one connects, anything else plays it again."""
    said = Message("1-2-0", "call", "+12025550123", "", "Example Lender calling.")
    assert "no more recorded calls from us" in after_key("stop", said, URL, "+15550100199")
    assert "<Dial>+15550100199</Dial>" in after_key("talk", said, URL, "+15550100199")
    assert "Example Lender calling." in after_key("", said, URL, "+15550100199")


def twice(form: dict[str, str], name: str) -> Posted:
    """A field that comes twice, properly signed: the provider signs both values."""
    pairs = [*form.items(), (name, "another")]
    signed = URL + "?contact=1-2-0" + "".join(n + v for n, v in sorted(pairs))
    import base64
    import hashlib
    import hmac

    sealed = base64.b64encode(hmac.new(TOKEN.encode(), signed.encode(), hashlib.sha1).digest()).decode()
    return Posted(urlencode(pairs).encode(), "contact=1-2-0", {"content-type": FORM, "x-twilio-signature": sealed})


GOOD = posted(MESSAGE)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Posted(GOOD.body, GOOD.query, {"content-type": FORM}), "unsigned"),
        (posted(MESSAGE, token="oth" + "er"), "forged"),
        (posted(MESSAGE, url="https://elsewhere.example/hooks/sms"), "forged"),
        (Posted(GOOD.body, "contact=6-6-6", GOOD.headers), "forged"),
        (Posted(GOOD.body.replace(b"delivered", b"failed"), GOOD.query, GOOD.headers), "forged"),
        (Posted(GOOD.body + b"&MessageStatus=failed", GOOD.query, GOOD.headers), "forged"),
        (posted({**MESSAGE, "AccountSid": "AC" + "1" * 32}), "forged"),
        (twice(MESSAGE, "MessageStatus"), "malformed"),
        (twice(MESSAGE, "MessageSid"), "malformed"),
        (twice(MESSAGE, "AccountSid"), "forged"),
        (posted(MESSAGE, query="contact=1%0A2"), "malformed"),
        (posted({**MESSAGE, "MessageStatus": "teleported"}), "unexpected"),
        (posted({**CALL, "Direction": "inbound"}), "unexpected"),
        (posted({**CALL, "CallStatus": "levitating"}), "unexpected"),
        (posted({"AccountSid": ACCOUNT}), "unexpected"),
        (Posted(b"x=" + b"y" * BODY_MAX, GOOD.query, GOOD.headers), "oversized"),
        (Posted(b"{}", GOOD.query, {**GOOD.headers, "content-type": "application/json"}), "malformed"),
        (Posted(b"\xff\xfe", GOOD.query, GOOD.headers), "malformed"),
        (Posted(b"a=%FF", GOOD.query, GOOD.headers), "malformed"),
        (Posted(b"no form at all", GOOD.query, GOOD.headers), "malformed"),
        (Posted(b"&".join(b"a=b" for _ in range(201)), GOOD.query, GOOD.headers), "malformed"),
        (Posted(GOOD.body, "contact=%FF", GOOD.headers), "malformed"),
        (Posted(b"", "", GOOD.headers), "forged"),
    ],
)  # fmt: skip
def test_what_is_not_to_be_believed_is_refused_with_a_reason(given: Posted, reason: str):
    """Forged, unsigned, oversized, malformed or about somebody else: a reason, and no value."""
    read = CALLBACKS.read(given)
    assert isinstance(read, Refused), read
    assert read.reason == reason
    assert read.detail


def test_a_field_the_provider_repeats_is_no_forgery():
    """A repeated field that we do not read leaves a genuine report genuine."""
    assert CALLBACKS.read(twice({**MESSAGE, "Tag": "a"}, "Tag")) == StatusReport("twilio", "1-2-0", "SM1", "delivered")


def test_the_address_behind_a_proxy_is_the_one_in_the_settings():
    """A port, and a query of the address's own, are part of what was signed."""
    url = "https://lender.example:8443/hooks/sms"
    signed = posted(MESSAGE, query="side=a&contact=1-2-0", url=url)
    read = TwilioCallbacks(ACCOUNT, SecretStr(TOKEN), f"{url}?side=a").read(signed)
    assert isinstance(read, StatusReport)
    with pytest.raises(SettingsError) as refused:
        TwilioCallbacks(ACCOUNT, SecretStr(TOKEN), "lender.example")
    assert str(refused.value) == (
        "`lender.example` is no address that a provider could call\n  mend: set `sms.callback_url` to `https://...`"
    )


@given(body=st.binary(max_size=300), query=st.text(max_size=40), signed=st.text(max_size=40))
def test_nothing_that_is_posted_breaks_the_reader(body: bytes, query: str, signed: str):
    """Any bytes whatever are refused with a reason, never with an error."""
    assert isinstance(
        CALLBACKS.read(Posted(body, query, {"content-type": FORM, "x-twilio-signature": signed})), Refused
    )
    read_form(Posted(body, query, {"content-type": FORM}))


def follow(start: str, reports: tuple[Delivery, ...]) -> str:
    """What the outbox makes of reports as they come in: a status that cannot be reached any more changes nothing."""
    for report in reports:
        start = report if report in NEXT[start] else start
    return start


@pytest.mark.parametrize("last", ["delivered", "undelivered"])
@pytest.mark.parametrize("start", ["sent", "unknown"])
def test_reports_in_any_order_and_twice_come_to_the_same(start: str, last: str):
    """However a message's reports are shuffled and repeated, its end is its end."""
    said = [_DELIVERY[word] for word in ("queued", "sending", "sent", last, last)]
    assert {follow(start, order) for order in permutations(said)} == {_DELIVERY[last]}
    assert set(_DELIVERY.values()) <= set(DELIVERIES)


@given(code=st.integers(10_000, 69_999))
def test_every_code_has_a_meaning_and_no_unlisted_one_costs_a_number_or_a_consent(code: int):
    """Only listed codes stop a number or a person; the rest are unclear."""
    status, meaning, words = twilio_refusal(code)
    assert meaning in MEANINGS
    assert words
    assert status == ("retry" if meaning in ("try_later", "slow_down") else status)
    if words == "refused with a code we have no name for":
        assert (status, meaning) == ("failed", "unclear")


@given(numbers=st.lists(st.from_regex(r"\+1500555[0-9]{4}", fullmatch=True), min_size=2, max_size=8, unique=True))
def test_a_number_that_leaves_the_pool_moves_only_its_own_people(numbers: list[str]):
    """Everybody else keeps the sender they know, whatever the order in which the pool is written."""
    digest = keyed_digest("k")
    people = [f"+1202555{n:04}" for n in range(40)]
    before = {to: sender_for(to, numbers, digest) for to in people}
    after = {to: sender_for(to, numbers[:0:-1], digest) for to in people}
    assert all(before[to] == after[to] for to in people if before[to] != numbers[0])
