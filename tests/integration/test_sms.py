"""The text-message adapter against the provider's protocol on loopback."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest
from jsonschema import ValidationError

from channels.failover import may_go_elsewhere
from channels.message import Message, Receipt
from channels.sms import SmsAdapter
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, Asked, FakeProvider, Fault
from channels.testing.twilio_wire import signature
from engine.errors import SettingsError
from tests import openapi
from tests.sending import send_all, send_one
from tests.twilio import CALLING, NUMBER, call, message, settings


class Answering:
    """A bare HTTP server that gives one answer to everything and remembers what it was told."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        seen: list[tuple[str, dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                seen.append((self.path, dict(self.headers), self.rfile.read(length)))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.seen = seen
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"


@contextmanager
def answering(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Iterator[Answering]:
    it = Answering(status, body, headers or {})
    thread = threading.Thread(target=it._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield it
    finally:
        it._server.shutdown()
        it._server.server_close()
        thread.join()


def test_a_message_reaches_the_provider_once_and_carries_our_contact_id(provider: FakeProvider):
    """What the provider holds is what was sent, found again by our contact id."""
    receipt = send_one(SmsAdapter(settings(provider.base_url)), message(text="还款提醒"))
    (taken,) = provider.of_contact("1-2-0")
    assert receipt == Receipt("sent", "twilio", taken.sid)
    assert (taken.to, taken.sender, taken.body) == (NUMBER, FROM_NUMBER, "还款提醒")


def test_the_same_run_gives_the_same_ids():
    """Provider ids follow from the seed and the order of the messages."""
    seen = []
    for seed in (7, 7, 8):
        with FakeProvider(seed=seed) as provider:
            send_all(SmsAdapter(settings(provider.base_url)), message())
            seen.append(provider.accepted[0].sid)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (21610, Receipt("failed", "twilio", "", "21610", "opted_out", "addressee has opted out")),
        (21614, Receipt("failed", "twilio", "", "21614", "bad_address", "number cannot receive text messages")),
        (21611, Receipt("retry", "twilio", "", "21611", "try_later", "sender's queue full")),
        (429, Receipt("retry", "twilio", "", "20429", "slow_down", "too many requests")),
        (21606, Receipt("failed", "twilio", "", "21606", "unclear", "sender may not send to this number")),
        (21999, Receipt("failed", "twilio", "", "21999", "unclear", "refused with a code we have no name for")),
        (500, Receipt("unknown", "twilio", "", "500", "unclear", "the provider broke while it had the message")),
        (503, Receipt("unknown", "twilio", "", "503", "unclear", "the provider broke while it had the message")),
        ("html", Receipt("unknown", "twilio", "", "502", "unclear", "the provider broke while it had the message")),
        ("hang", Receipt("unknown", "twilio", "", "timeout", "unclear", "the provider did not answer in time")),
        ("drop", Receipt("unknown", "twilio", "", "cut", "unclear",
                         "the connection broke while the provider had the message")),
        ("drop_after_accept", Receipt("unknown", "twilio", "", "cut", "unclear",
                                      "the connection broke while the provider had the message")),
        ("no_json", Receipt("unknown", "twilio", "", "unreadable", "unclear",
                            "the provider's answer cannot be read (JSONDecodeError)")),
    ],
)  # fmt: skip
def test_every_kind_of_answer_says_how_sure_it_is(provider: FakeProvider, fault: Fault, expected: Receipt):
    """A refusal is sure; a fault after the request went out is unknown; and no request is ever made twice."""
    provider.fault(NUMBER, fault, always=True)
    assert send_one(SmsAdapter(settings(provider.base_url, timeout_seconds=0.5)), message()) == expected
    assert provider.requests == 1
    assert len(provider.accepted) == (fault in ("drop_after_accept", "no_json"))


@pytest.mark.parametrize(
    ("to", "meaning"),
    [("+15005550001", "bad_address"), ("+15005550002", "unclear"), ("+15005550003", "unclear"),
     ("+15005550004", "opted_out"), ("+15005550009", "bad_address")],
)  # fmt: skip
def test_the_providers_magic_numbers_mean_what_its_manual_says(provider: FakeProvider, to: str, meaning: str):
    """Refusals made on the provider's own test numbers are told apart."""
    assert send_one(SmsAdapter(settings(provider.base_url)), message(to)).meaning == meaning


def test_whoever_opted_out_at_the_provider_is_known_to_us(provider: FakeProvider):
    """An opt-out that only the provider saw comes back as one (P20)."""
    provider.opted_out.add(NUMBER)
    assert send_one(SmsAdapter(settings(provider.base_url)), message()).meaning == "opted_out"


def test_a_wrong_token_is_our_fault_and_not_the_addressees(provider: FakeProvider):
    """A refused login leaves the contact to be tried again once the settings are mended."""
    receipt = send_one(SmsAdapter(settings(provider.base_url, token="wr" + "ong")), message())
    assert receipt == Receipt("retry", "twilio", "", "20003", "misconfigured", "authentication failed")


def test_nobody_listening_is_sure(provider: FakeProvider):
    """A connection that was never made sent nothing, so the contact may be tried again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        receipt = send_one(SmsAdapter(settings(f"http://127.0.0.1:{taken.getsockname()[1]}")), message())
    assert receipt == Receipt("retry", "twilio", "", "unreachable", "try_later", "the provider cannot be reached")


def test_a_wrong_address_of_the_provider_is_our_fault():
    """Something else than the provider, or no address at all, sends nothing and says where to look."""
    with FakeProvider() as provider:
        elsewhere = send_one(SmsAdapter(settings(provider.base_url + "/elsewhere")), message())
    assert (elsewhere.status, elsewhere.meaning, elsewhere.code) == ("retry", "misconfigured", "404")
    nonsense = send_one(SmsAdapter(settings("no address")), message())
    assert nonsense == Receipt("retry", "twilio", "", "url", "misconfigured", "`sms.base_url` is no address")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("2025550123"), ("bad_address", "the number is not in international form (E.164)")),
        (message("whatsapp:+12025550123"), ("bad_address", "the number is not in international form (E.164)")),
        (message(text="  \n"), ("misconfigured", "the message has no text")),
        (message(text="a \ud800"), ("misconfigured", "the text is not text")),
        (message(text="x" * 1601), ("misconfigured", "the text is longer than 1600 characters")),
    ],
)
def test_what_can_only_be_refused_is_not_asked(provider: FakeProvider, given: Message, expected: tuple[str, str]):
    """A message the provider must refuse never leaves, and fails for good."""
    receipt = send_one(SmsAdapter(settings(provider.base_url)), given)
    assert (receipt.status, receipt.meaning, receipt.detail) == ("failed", *expected)
    assert provider.requests == 0


def test_the_environment_cannot_redirect_messages(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch):
    """Region, edge, account and proxy variables of the process change nothing."""
    for name, value in {
        "TWILIO_REGION": "ie1", "TWILIO_EDGE": "dublin", "TWILIO_ACCOUNT_SID": "ACother", "TWILIO_AUTH_TOKEN": "other",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert send_one(SmsAdapter(settings(provider.base_url)), message()).status == "sent"


def test_many_at_once_share_the_adapter_and_it_can_be_opened_again(provider: FakeProvider):
    """Concurrent sends each go once; after close the next event loop works too."""
    adapter = SmsAdapter(settings(provider.base_url))
    for batch in (1, 2):
        receipts = send_all(adapter, *(message(contact_id=f"{batch}-{n}-0") for n in range(40)))
        assert {r.status for r in receipts} == {"sent"}
    assert len({m.contact for m in provider.accepted}) == len(provider.accepted) == 80


def test_a_provider_without_ids_leaves_the_message_in_doubt():
    """A yes without a message id cannot be found again, so it is no yes."""
    with answering(201, b"{}") as other:
        receipt = send_one(SmsAdapter(settings(other.url)), message())
    assert receipt == Receipt("unknown", "twilio", "", "no_sid", "unclear", "the provider's answer has no message id")


def test_the_newer_error_form_is_read_too():
    """An error in the RFC 9457 form is a refusal like any other."""
    body = {"type": "about:blank", "title": "opted out", "status": 400, "code": 21610}
    with answering(400, json.dumps(body).encode()) as other:
        assert send_one(SmsAdapter(settings(other.url)), message()).meaning == "opted_out"


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_not_followed(status: int):
    """Nothing of a message is handed to another address than the one in the settings."""
    with answering(status, b"", {"Location": "http://127.0.0.1:9/"}) as other:
        receipt = send_one(SmsAdapter(settings(other.url)), message())
    words = "the provider's address answers with something else; see `sms.base_url`"
    assert receipt == Receipt("retry", "twilio", "", str(status), "misconfigured", words)
    assert len(other.seen) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (300, b""),
        (302, b""),
        (303, b""),
        (304, b""),
        (408, b""),
        (409, b""),
        (408, b"<html>"),
        (409, b'{"message": "x"}'),
    ],
)
def test_an_answer_that_may_follow_work_done_is_in_doubt(status: int, body: bytes):
    """`See the message there`, `it took too long` and `it is there already` are no promise that nothing was sent; no other account is asked."""
    with answering(status, body, {"Location": "http://127.0.0.1:9/"}) as other:
        receipt = send_one(SmsAdapter(settings(other.url)), message())
    words = "the provider's address did not say whether it took the message"
    assert receipt == Receipt("unknown", "twilio", "", str(status), "unclear", words)
    assert not may_go_elsewhere(receipt)
    assert len(other.seen) == 1


def test_a_refusal_with_a_code_of_theirs_is_sure_whatever_its_status():
    """What Twilio itself says, it says for certain."""
    with answering(409, b'{"code": 21610, "message": "x", "status": 409}') as other:
        receipt = send_one(SmsAdapter(settings(other.url)), message())
    assert (receipt.status, receipt.meaning, receipt.code) == ("failed", "opted_out", "21610")


def test_a_message_refused_in_the_answer_itself_is_not_sent():
    """A 201 that already carries an error code is a refusal."""
    body = {"sid": "SM" + "0" * 32, "status": "failed", "error_code": 30005}
    with answering(201, json.dumps(body).encode()) as other:
        receipt = send_one(SmsAdapter(settings(other.url)), message())
    assert receipt == Receipt("failed", "twilio", "SM" + "0" * 32, "30005", "bad_address", "unknown handset")


@pytest.mark.parametrize(
    ("senders", "what"),
    [({"from_number": None}, "text messages have no sender"),
     ({"messaging_service_sid": "MG" + "0" * 32}, "text messages have several senders")],
)  # fmt: skip
def test_settings_name_one_way_to_send(senders: dict[str, Any], what: str):
    """Neither no sender nor two ways of naming one get as far as the provider."""
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", **senders)
    mend = "set one of `sms.from_number`, `sms.from_numbers` and `sms.messaging_service_sid`"
    assert str(refused.value) == f"{what}\n  mend: {mend}"


def test_the_token_does_not_show_itself():
    """Neither settings nor adapter print the account's secret."""
    shown = settings("http://127.0.0.1:9", token="hush" * 2)
    assert "hush" not in repr(shown) + repr(SmsAdapter(shown))


def test_callbacks_are_signed_as_the_providers_own_example():
    """The stand-in signs callbacks as the provider's manual shows."""
    caller = {"From": "+14158675309", "Caller": "+14158675309", "To": "+18005551212"}
    form = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", **caller}
    signed = signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form)
    assert signed == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_a_status_callback_brings_back_our_contact_id(provider: FakeProvider):
    """What became of a message comes back with our id and a signature that the official client accepts."""
    from twilio.request_validator import RequestValidator

    with answering(204) as ours:
        adapter = SmsAdapter(settings(provider.base_url, callback_url=ours.url))
        receipt = send_one(adapter, message(contact_id="9-8-7"))
        assert provider.report(receipt.provider_ref, "undelivered", 30003) == 204
    ((path, headers, body),) = ours.seen
    form = dict(parse_qsl(body.decode()))
    assert parse_qs(path.partition("?")[2]) == {"contact": ["9-8-7"]}
    assert (form["MessageSid"], form["MessageStatus"], form["ErrorCode"]) == (
        receipt.provider_ref,
        "undelivered",
        "30003",
    )
    called = f"{ours.url}?contact=9-8-7"
    assert RequestValidator(AUTH_TOKEN).validate(called, form, headers["X-Twilio-Signature"])


def test_the_official_client_can_list_and_fetch_from_the_stand_in(provider: FakeProvider):
    """The stand-in keeps messages and pages through them like the provider."""
    from twilio.rest import Client

    receipts = send_all(SmsAdapter(settings(provider.base_url)), *(message(contact_id=f"1-{n}-0") for n in range(5)))
    send_all(SmsAdapter(settings(provider.base_url)), message("+12025550199", "2-0-0"))
    client = Client(ACCOUNT_SID, AUTH_TOKEN, environment={"x": "y"})
    client.api.base_url = provider.base_url
    listed = client.messages.list(to=NUMBER, page_size=2)
    assert {m.sid for m in listed} == {r.provider_ref for r in receipts}
    assert client.messages(receipts[0].provider_ref).fetch().status == "queued"
    client.http_client.session.close()


@pytest.mark.skipif(not openapi.SPEC.exists(), reason=openapi.ABSENT)
def test_a_request_the_providers_document_does_not_declare_is_caught():
    """The check that follows every test here fails for an unknown parameter, and for a value of the wrong kind."""
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    good = (("To", NUMBER), ("From", FROM_NUMBER), ("Body", "x"))
    openapi.check_all([Asked("POST", path, good)])
    for wrong in (("Idempotency", "1"), ("ValidityPeriod", "soon"), ("MessagingServiceSid", "MG1")):
        with pytest.raises((ValidationError, ValueError)):
            openapi.check_all([Asked("POST", path, (*good, wrong))])


@pytest.mark.skipif(not openapi.SPEC.exists(), reason=openapi.ABSENT)
def test_the_stand_in_answers_in_the_providers_form(provider: FakeProvider):
    """Messages and calls are shown with the fields of the provider's own resources."""
    send_all(SmsAdapter(settings(provider.base_url, **CALLING)), message(), call())
    openapi.check_answer("api.v2010.account.message", provider._public(provider.accepted[0]))
    openapi.check_answer("api.v2010.account.call", provider._public(provider.calls[0]))


def test_a_text_is_held_back_no_longer_than_asked_and_than_the_provider_takes(provider: FakeProvider):
    """The validity goes along, within what the provider's interface allows."""
    adapter = SmsAdapter(settings(provider.base_url))
    given = {"1-2-0": 90_000, "1-3-0": 0, "1-4-0": 5_400}
    send_all(adapter, *(message(contact_id=name, valid_seconds=seconds) for name, seconds in given.items()))
    assert sorted(m.form["ValidityPeriod"] for m in provider.accepted) == ["1", "36000", "5400"]


def test_a_messaging_service_and_a_callback_with_a_query_are_named_as_they_are(provider: FakeProvider):
    """A service stands for the sender, and our contact id is added to whatever the callback address says."""
    service = "MG" + "0" * 32
    given = {"from_number": None, "messaging_service_sid": service, "callback_url": "https://x.example/cb?a=b"}
    send_one(SmsAdapter(settings(provider.base_url, **given)), message())
    (taken,) = provider.accepted
    assert (taken.form["MessagingServiceSid"], "From" in taken.form) == (service, False)
    assert taken.form["StatusCallback"] == "https://x.example/cb?a=b&contact=1-2-0"


# -- a pool of senders ----------------------------------------------------------------------------------------------

POOL = ("+15005550020", "+15005550021", "+15005550022")


def test_everybody_always_hears_from_the_same_number_of_a_pool(provider: FakeProvider):
    """Each addressee has one sender for ever, and every number of the pool has its share."""
    people = [f"+1202555{n:04}" for n in range(60)]
    for batch in (1, 2):
        adapter = SmsAdapter(settings(provider.base_url, from_number=None, from_numbers=POOL))
        send_all(adapter, *(message(to, f"{batch}-{n}-0") for n, to in enumerate(people)))
    heard = {to: {m.sender for m in provider.accepted if m.to == to} for to in people}
    assert {len(senders) for senders in heard.values()} == {1}
    shares = [sum(number in senders for senders in heard.values()) for number in POOL]
    assert all(share >= 10 for share in shares), shares


def test_a_number_sends_no_faster_than_its_carrier_allows(provider: FakeProvider):
    """Six texts to one addressee at twenty a second take a quarter of a second; another number does not wait."""
    adapter = SmsAdapter(settings(provider.base_url, sends_per_second_per_number=20))
    before = time.monotonic()
    send_all(adapter, *(message(contact_id=f"1-{n}-0") for n in range(6)))
    assert time.monotonic() - before >= 5 / 20
    assert len(provider.accepted) == 6


def test_who_would_wait_too_long_for_a_number_is_tried_later(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch):
    """A turn that does not come soon enough is a sure "not sent", long before anybody calls the message in doubt."""
    monkeypatch.setattr("channels.sms.TURN_SECONDS_MAX", 0.1)
    adapter = SmsAdapter(settings(provider.base_url, sends_per_second_per_number=1))
    receipts = send_all(adapter, message(contact_id="1-1-0"), message(contact_id="1-2-0"))
    words = "the sender number of this addressee is busy; nothing was sent"
    assert receipts[1] == Receipt("retry", "twilio", "", "pace", "slow_down", words)
    assert len(provider.accepted) == 1


def test_connections_are_as_many_as_the_settings_say(provider: FakeProvider):
    """Twelve texts at once over three connections reach the provider three at a time."""
    with FakeProvider(latency_seconds=0.1) as slow:
        before = time.monotonic()
        receipts = send_all(
            SmsAdapter(settings(slow.base_url, connections=3)), *(message(contact_id=f"1-{n}-0") for n in range(12))
        )
        assert time.monotonic() - before >= 0.4
    assert {r.status for r in receipts} == {"sent"}


@pytest.mark.parametrize("sender", ["+15005550020", "12345", "Harbour", "A1 & B"])
def test_a_sender_is_a_number_a_short_code_or_a_name(sender: str):
    """What carriers take is taken."""
    assert settings("http://127.0.0.1:9", from_number=sender).numbers == (sender,)


@pytest.mark.parametrize("sender", ["+0123", "12", "Harbour Lending", "a\nb", "123456789"])
def test_what_no_carrier_takes_as_a_sender_is_no_setting(sender: str):
    """Said before anything is sent."""
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", from_number=None, from_numbers=("+15005550020", sender))
    assert str(refused.value) == (
        f"`{sender}` is no sender: neither a number, nor a short code, nor a name of at most 11 letters\n"
        "  mend: write a number like `+15550100123`, in quotes"
    )
