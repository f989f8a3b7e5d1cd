"""The text-message adapter against the provider's protocol on loopback."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import jsonschema
import pytest
from pydantic import SecretStr

from channels.message import Message, Receipt
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider, Fault, signature
from engine.errors import SettingsError

NUMBER = "+12025550123"
SPEC = Path(__file__).parents[3] / "shared/data/twilio/twilio_api_v2010.min.json"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


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


def settings(base_url: str, **more: Any) -> SmsSettings:
    given: dict[str, Any] = {"from_number": FROM_NUMBER, "callback_url": "http://127.0.0.1:9/callback", **more}
    return SmsSettings(ACCOUNT_SID, SecretStr(given.pop("token", AUTH_TOKEN)), base_url=base_url, **given)


def message(to: str = NUMBER, contact_id: str = "1-2-0", text: str = "Your payment is due.", **more: Any) -> Message:
    return Message(contact_id, "sms", to, "", text, **more)


def run(adapter: SmsAdapter, *messages: Message) -> list[Receipt]:
    async def work() -> list[Receipt]:
        try:
            return list(await asyncio.gather(*(adapter.send(m) for m in messages)))
        finally:
            await adapter.close()

    return asyncio.run(work())


def send(adapter: SmsAdapter, given: Message) -> Receipt:
    return run(adapter, given)[0]


def test_a_message_reaches_the_provider_once_and_carries_our_contact_id(provider: FakeProvider):
    """What the provider holds is what was sent, found again by our contact id."""
    receipt = send(SmsAdapter(settings(provider.base_url)), message(text="还款提醒"))
    (taken,) = provider.of_contact("1-2-0")
    assert receipt == Receipt("sent", "twilio", taken.sid)
    assert (taken.to, taken.sender, taken.body) == (NUMBER, FROM_NUMBER, "还款提醒")


def test_the_same_run_gives_the_same_ids():
    """Provider ids follow from the seed and the order of the messages."""
    seen = []
    for seed in (7, 7, 8):
        with FakeProvider(seed=seed) as provider:
            run(SmsAdapter(settings(provider.base_url)), message())
            seen.append(provider.accepted[0].sid)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (21610, Receipt("failed", "twilio", "", "21610", "opted_out", "addressee has opted out")),
        (21614, Receipt("failed", "twilio", "", "21614", "bad_address", "number cannot receive text messages")),
        (21611, Receipt("retry", "twilio", "", "21611", "try_later", "sender's queue full")),
        (429, Receipt("retry", "twilio", "", "20429", "slow_down", "too many requests")),
        (21606, Receipt("retry", "twilio", "", "21606", "misconfigured", "sender may not send to this number")),
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
    assert send(SmsAdapter(settings(provider.base_url, timeout_seconds=0.5)), message()) == expected
    assert provider.requests == 1
    assert len(provider.accepted) == (fault in ("drop_after_accept", "no_json"))


@pytest.mark.parametrize(
    ("to", "meaning"),
    [("+15005550001", "bad_address"), ("+15005550002", "bad_address"), ("+15005550003", "misconfigured"),
     ("+15005550004", "opted_out"), ("+15005550009", "bad_address")],
)  # fmt: skip
def test_the_providers_magic_numbers_mean_what_its_manual_says(provider: FakeProvider, to: str, meaning: str):
    """Refusals made on the provider's own test numbers are told apart."""
    assert send(SmsAdapter(settings(provider.base_url)), message(to)).meaning == meaning


def test_whoever_opted_out_at_the_provider_is_known_to_us(provider: FakeProvider):
    """An opt-out that only the provider saw comes back as one (P20)."""
    provider.opted_out.add(NUMBER)
    assert send(SmsAdapter(settings(provider.base_url)), message()).meaning == "opted_out"


def test_a_wrong_token_is_our_fault_and_not_the_addressees(provider: FakeProvider):
    """A refused login leaves the contact to be tried again once the settings are mended."""
    receipt = send(SmsAdapter(settings(provider.base_url, token="wr" + "ong")), message())
    assert receipt == Receipt("retry", "twilio", "", "20003", "misconfigured", "authentication failed")


def test_nobody_listening_is_sure(provider: FakeProvider):
    """A connection that was never made sent nothing, so the contact may be tried again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        receipt = send(SmsAdapter(settings(f"http://127.0.0.1:{taken.getsockname()[1]}")), message())
    assert receipt == Receipt("retry", "twilio", "", "unreachable", "try_later", "the provider cannot be reached")


def test_a_wrong_address_of_the_provider_is_our_fault(provider: FakeProvider):
    """Something else than the provider, or no address at all, sends nothing and says where to look."""
    elsewhere = send(SmsAdapter(settings(provider.base_url + "/elsewhere")), message())
    assert (elsewhere.status, elsewhere.meaning, elsewhere.code) == ("retry", "misconfigured", "404")
    nonsense = send(SmsAdapter(settings("no address")), message())
    assert nonsense == Receipt("retry", "twilio", "", "url", "misconfigured", "`sms.base_url` is no address")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("2025550123"), ("bad_address", "the number is not in international form (E.164)")),
        (message("whatsapp:+12025550123"), ("bad_address", "the number is not in international form (E.164)")),
        (message(text="  \n"), ("misconfigured", "the message has no text")),
        (message(text="x" * 1601), ("misconfigured", "the text is longer than 1600 characters")),
    ],
)
def test_what_can_only_be_refused_is_not_asked(provider: FakeProvider, given: Message, expected: tuple[str, str]):
    """A message the provider must refuse never leaves, and fails for good."""
    receipt = send(SmsAdapter(settings(provider.base_url)), given)
    assert (receipt.status, receipt.meaning, receipt.detail) == ("failed", *expected)
    assert provider.requests == 0


def test_the_environment_cannot_redirect_messages(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch):
    """Region, edge, account and proxy variables of the process change nothing."""
    for name, value in {
        "TWILIO_REGION": "ie1", "TWILIO_EDGE": "dublin", "TWILIO_ACCOUNT_SID": "ACother", "TWILIO_AUTH_TOKEN": "other",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert send(SmsAdapter(settings(provider.base_url)), message()).status == "sent"


def test_many_at_once_share_the_adapter_and_it_can_be_opened_again(provider: FakeProvider):
    """Concurrent sends each go once; after close the next event loop works too."""
    adapter = SmsAdapter(settings(provider.base_url))
    for batch in (1, 2):
        receipts = run(adapter, *(message(contact_id=f"{batch}-{n}-0") for n in range(40)))
        assert {r.status for r in receipts} == {"sent"}
    assert len({m.contact for m in provider.accepted}) == len(provider.accepted) == 80


def test_a_provider_without_ids_leaves_the_message_in_doubt():
    """A yes without a message id cannot be found again, so it is no yes."""
    with answering(201, b"{}") as other:
        receipt = send(SmsAdapter(settings(other.url)), message())
    assert receipt == Receipt("unknown", "twilio", "", "no_sid", "unclear", "the provider's answer has no message id")


def test_the_newer_error_form_is_read_too():
    """An error in the RFC 9457 form is a refusal like any other."""
    body = {"type": "about:blank", "title": "opted out", "status": 400, "code": 21610}
    with answering(400, json.dumps(body).encode()) as other:
        assert send(SmsAdapter(settings(other.url)), message()).meaning == "opted_out"


def test_a_redirect_is_not_followed():
    """Nothing of a message is handed to another address than the one in the settings."""
    with answering(307, b"", {"Location": "http://127.0.0.1:9/"}) as other:
        receipt = send(SmsAdapter(settings(other.url)), message())
    words = "the provider's address answers with something else; see `sms.base_url`"
    assert receipt == Receipt("retry", "twilio", "", "307", "misconfigured", words)


def test_a_message_refused_in_the_answer_itself_is_not_sent():
    """A 201 that already carries an error code is a refusal."""
    body = {"sid": "SM" + "0" * 32, "status": "failed", "error_code": 30005}
    with answering(201, json.dumps(body).encode()) as other:
        receipt = send(SmsAdapter(settings(other.url)), message())
    assert receipt == Receipt("failed", "twilio", "SM" + "0" * 32, "30005", "bad_address", "unknown handset")


@pytest.mark.parametrize(
    ("senders", "what"),
    [({"from_number": None}, "text messages have no sender"),
     ({"messaging_service_sid": "MG" + "0" * 32}, "text messages have two senders")],
)  # fmt: skip
def test_settings_name_one_sender(senders: dict[str, Any], what: str):
    """Neither none nor two senders get as far as the provider."""
    with pytest.raises(SettingsError) as refused:
        settings("http://127.0.0.1:9", **senders)
    assert str(refused.value) == f"{what}\n  mend: set either `sms.from_number` or `sms.messaging_service_sid`"


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
        receipt = send(adapter, message(contact_id="9-8-7"))
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

    receipts = run(SmsAdapter(settings(provider.base_url)), *(message(contact_id=f"1-{n}-0") for n in range(5)))
    run(SmsAdapter(settings(provider.base_url)), message("+12025550199", "2-0-0"))
    client = Client(ACCOUNT_SID, AUTH_TOKEN, environment={"x": "y"})
    client.api.base_url = provider.base_url
    listed = client.messages.list(to=NUMBER, page_size=2)
    assert {m.sid for m in listed} == {r.provider_ref for r in receipts}
    assert client.messages(receipts[0].provider_ref).fetch().status == "queued"
    client.http_client.session.close()


@pytest.mark.skipif(not SPEC.exists(), reason="the provider's OpenAPI file is not beside this repository")
@pytest.mark.parametrize(
    "more",
    [{}, {"from_number": None, "messaging_service_sid": "MG" + "0" * 32}, {"callback_url": "https://x.example/cb?a=b"}],
)
def test_requests_and_answers_hold_to_the_providers_openapi_file(provider: FakeProvider, more: dict[str, Any]):
    """Every parameter the adapter sends is declared and valid, and so is all the stand-in answers."""
    with answering(201, b"{}") as recorder:
        send(SmsAdapter(settings(recorder.url, **more)), message(valid_seconds=90_000))
    spec = json.loads(SPEC.read_text())
    operation = spec["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    form: dict[str, Any] = dict(parse_qsl(recorder.seen[0][2].decode(), strict_parsing=True))
    form["ValidityPeriod"] = int(form["ValidityPeriod"])
    jsonschema.validate(form, {**schema, "additionalProperties": False, "components": spec["components"]})
    assert form["ValidityPeriod"] == 36_000
    send(SmsAdapter(settings(provider.base_url, **more)), message())
    answer = {**spec["components"]["schemas"]["api.v2010.account.message"], "components": spec["components"]}
    public = provider._public(provider.accepted[0])
    assert public.keys() <= answer["properties"].keys()
    present = {name: value for name, value in public.items() if value is not None}
    jsonschema.validate(present, answer)
