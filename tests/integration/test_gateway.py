"""The gateway adapter, by its example file, against that gateway on loopback."""

import asyncio
import hashlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from channels import gateway_file
from channels.failover import Failover
from channels.gateway import GatewayAdapter
from channels.gateway_reports import GatewayReports
from channels.gateway_spec import Gateway
from channels.message import Message, Receipt, Sought
from channels.posted import Posted
from channels.reports import InboundText, Refused, StatusReport
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.gateway import ACCOUNT, SECRET, FakeGateway, Fault
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from tests.hooks import serving
from tests.sending import send_all
from tests.tls import make_certificate, server_context

EXAMPLE = Path(gateway_file.__file__).with_name("gateway_example.yaml")
NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
_numbers = count()
NUMBER, PHONE = "+8613800138000", "13800138000"
SAID = {"addressee.name": "王芳", "loan.overdue": "1,234.50元", "lender.phone": "+1 555 0100"}


def described(base_url: str = "https://sms.freedonia.example", **swaps: str) -> Gateway:
    text = EXAMPLE.read_text(encoding="utf-8").replace("https://sms.freedonia.example", base_url)
    for old, new in swaps.items():
        assert old in text
        text = text.replace(old, new)
    return gateway_file.read_gateway(text, EXAMPLE.name)


def adapter(base_url: str, gateway: Gateway | None = None, **more: Any) -> GatewayAdapter:
    given = {"timeout_seconds": 2, "secret": SECRET, **more}
    return GatewayAdapter(
        gateway or described(base_url), ACCOUNT, SecretStr(given.pop("secret")), clock=lambda: NOW,
        nonce=lambda: f"n{next(_numbers)}", **given,
    )  # fmt: skip


def message(to: str = NUMBER, contact_id: str = "1-2-0", **more: Any) -> Message:
    given = {
        "text": "王芳您好，您有1,234.50元待还。", "language": "zh", "template": "friendly-reminder", "values": SAID, **more,
    }  # fmt: skip
    return Message(contact_id, "sms", to, "", given.pop("text"), **given)


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def test_an_approved_text_goes_out_signed_with_its_values(gateway: FakeGateway):
    """The gateway, which checks the signature by itself, takes number, template and values as its manual asks."""
    assert send_all(adapter(gateway.base_url), message()) == [Receipt("sent", "freedonia", "F0")]
    (taken,) = gateway.of_contact("1-2-0")
    assert {name: taken.fields[name] for name in ("phone", "template", "params", "timestamp")} == {
        "phone": PHONE, "template": "SMS_1001", "timestamp": str(int(NOW.timestamp() * 1000)),
        "params": {"name": "王芳", "amount": "1,234.50元", "phone": "+1 555 0100"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("+12025550123"),
         Receipt("failed", "freedonia", "", "no_route", "misconfigured", "the gateway does not serve the number's country")),
        (message("13800138000"),
         Receipt("failed", "freedonia", "", "", "bad_address", "the number is not in international form (E.164)")),
        (message(template="settlement"),
         Receipt("failed", "freedonia", "", "no_template", "misconfigured",
                 "no text `settlement` is approved in `zh` at this gateway")),
        (message(language="en"),
         Receipt("failed", "freedonia", "", "no_template", "misconfigured",
                 "no text `friendly-reminder` is approved in `en` at this gateway")),
        (message(values={"addressee.name": "王芳"}),
         Receipt("failed", "freedonia", "", "no_value", "misconfigured",
                 "the approved text says `loan.overdue`, which this message does not")),
        (message(contact_id="1-3-0", values={**SAID, "addressee.name": "\ud800"}),
         Receipt("failed", "freedonia", "", "", "misconfigured", "the text is not text")),
        (message(text=" "), Receipt("failed", "freedonia", "", "", "misconfigured", "the message has no text")),
    ],
)  # fmt: skip
def test_what_is_not_approved_is_refused_before_anything_is_sent(
    gateway: FakeGateway, given: Message, expected: Receipt
):
    """Another country, a text without an id in its language, a value that is missing: the gateway never hears of it."""
    assert send_all(adapter(gateway.base_url), given) == [expected]
    assert gateway.requests == 0


IN_DOUBT = "the gateway did not say whether it took the message"
CUT = "the connection broke while the provider had the message"


@pytest.mark.parametrize(
    ("fault", "expected", "taken"),
    [
        ("3001", Receipt("failed", "freedonia", "", "3001", "opted_out", "addressee has opted out"), 0),
        ("4001", Receipt("retry", "freedonia", "", "4001", "slow_down", "too many requests"), 0),
        ("9999", Receipt("unknown", "freedonia", "", "9999", "unclear",
                         "the gateway answers with a code that its file does not list"), 0),
        ("9" * 100, Receipt("unknown", "freedonia", "", "9" * 40, "unclear",
                            "the gateway answers with a code that its file does not list"), 0),
        (401, Receipt("retry", "freedonia", "", "401", "misconfigured", "account refused"), 0),
        (400, Receipt("unknown", "freedonia", "", "unreadable", "unclear", "the gateway's answer cannot be read"), 0),
        (503, Receipt("unknown", "freedonia", "", "503", "unclear", IN_DOUBT), 0),
        ("redirect", Receipt("retry", "freedonia", "", "307", "misconfigured",
                             "the gateway's address answers with something else; see `send.url`"), 0),
        ("done_elsewhere", Receipt("unknown", "freedonia", "", "303", "unclear", IN_DOUBT), 1),
        ("html", Receipt("unknown", "freedonia", "", "unreadable", "unclear", "the gateway's answer cannot be read"), 1),
        ("nothing", Receipt("unknown", "freedonia", "", "unreadable", "unclear", "the gateway's answer cannot be read"), 1),
        ("oversized", Receipt("unknown", "freedonia", "", "oversized", "unclear",
                              "the gateway's answer is too long to be read"), 1),
        ("no_id", Receipt("unknown", "freedonia", "", "no_ref", "unclear", "the gateway's answer has no message id"), 1),
        ("drip", Receipt("unknown", "freedonia", "", "timeout", "unclear", "the provider did not answer in time"), 1),
        ("hang", Receipt("unknown", "freedonia", "", "timeout", "unclear", "the provider did not answer in time"), 0),
        ("drop", Receipt("unknown", "freedonia", "", "cut", "unclear", CUT), 0),
        ("drop_after_accept", Receipt("unknown", "freedonia", "", "cut", "unclear", CUT), 1),
    ],
)  # fmt: skip
def test_every_kind_of_answer_says_how_sure_it_is(gateway: FakeGateway, fault: Fault, expected: Receipt, taken: int):
    """Only a listed refusal is one; whatever else comes back, or nothing, is in doubt; nothing is asked twice."""
    gateway.fault(PHONE, fault)
    assert send_all(adapter(gateway.base_url, timeout_seconds=0.5), message()) == [expected]
    assert (gateway.requests, len(gateway.taken)) == (1, taken)


def test_a_wrong_secret_is_our_fault(gateway: FakeGateway):
    """A signature that the gateway does not accept stops the channel and costs no contact its number."""
    (receipt,) = send_all(adapter(gateway.base_url, secret="wr" + "ong"), message())
    assert receipt == Receipt("retry", "freedonia", "", "1001", "misconfigured", "signature wrong")


def test_nobody_listening_and_a_certificate_nobody_vouches_for_send_nothing(tmp_path: Path):
    """Both are sure. With the certificate's file the same gateway takes the message."""
    certificate = make_certificate(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        (gone,) = send_all(adapter(f"http://127.0.0.1:{taken.getsockname()[1]}"), message())
    assert (gone.status, gone.code) == ("retry", "unreachable")
    with FakeGateway(server_context(certificate)) as gateway:
        (refused,) = send_all(adapter(gateway.base_url), message())
        words = "the provider's certificate is not trusted"
        assert refused == Receipt("retry", "freedonia", "", "tls", "misconfigured", words)
        (tmp_path / "empty.pem").write_text("no certificate")
        for no_file in ("/nowhere.pem", str(tmp_path / "empty.pem")):
            (receipt,) = send_all(adapter(gateway.base_url, ca_file=no_file), message())
            assert (receipt.status, receipt.code) == ("retry", "ca_file")
        assert gateway.requests == 0
        assert send_all(adapter(gateway.base_url, ca_file=str(certificate[0])), message())[0].status == "sent"


def test_many_at_once_share_the_adapter_and_it_can_be_opened_again(gateway: FakeGateway):
    """Concurrent sends each go once; after close the next event loop works too."""
    way = adapter(gateway.base_url)
    for batch in (1, 2):
        receipts = send_all(way, *(message(contact_id=f"{batch}-{n}-0") for n in range(40)))
        assert {r.status for r in receipts} == {"sent"}
    assert len({t.contact for t in gateway.taken}) == len(gateway.taken) == 80


def test_a_kept_connection_that_dies_under_a_get_is_not_tried_again():
    """HTTP lets a client repeat a GET by itself; a text message must not go twice for that."""
    text = """
gateway: plain
send: {url: URL/send, method: GET, fields: {to: "{number}", text: "{text}", key: "{signature}"}}
signature: {method: md5, over: "{number}{secret}"}
answer: {code: code, sent: ["0"]}
"""
    lines: list[str] = []

    async def answer_once_then_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(2):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines.append(request.splitlines()[0])
            if number == 0 and len(lines) == 1:
                body = b'{"code":"0"}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
            else:
                break
        writer.close()

    async def work() -> list[Receipt]:
        server = await asyncio.start_server(answer_once_then_die, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        way = adapter(url, gateway_file.read_gateway(text.replace("URL", url), "plain.yaml"))
        receipts = [await way.send(message(contact_id=f"1-{n}-0", text="a b&c=d {secret}")) for n in range(2)]
        await way.close()
        server.close()
        return receipts

    first, second = asyncio.run(work())
    assert (first.status, second) == ("sent", Receipt("unknown", "plain", "", "cut", "unclear", CUT))
    assert len(lines) == 2
    assert "text=a+b%26c%3Dd+%7Bsecret%7D&" in lines[0]


def test_a_signature_may_stand_inside_a_table():
    """Where a gateway wants its signature among other things, those are left out of what is signed."""
    text = """
gateway: nested
send:
  url: https://sms.example/send
  encoding: json
  fields: {to: ["{number}"], text: "{text}", auth: {user: "{account}", sign: "{signature}"}}
signature: {method: sha256, over: "{sorted}{secret}"}
answer: {code: code, sent: ["0"]}
"""
    way = adapter("", gateway_file.read_gateway(text, "nested.yaml"))
    body = json.loads(way._offer(message(text="a"), PHONE, None).body)
    signed = f'text=a&to=["{PHONE}"]{SECRET}'
    sign = hashlib.sha256(signed.encode()).hexdigest()
    assert body == {"to": [PHONE], "text": "a", "auth": {"user": ACCOUNT, "sign": sign}}


# -- what the gateway posts ----------------------------------------------------------------------------------------


def test_receipts_and_replies_come_home_signed(gateway: FakeGateway):
    """Each receipt of a batch stands for itself; replies come with the number in international form; forgeries do not."""
    about = described()
    reports = GatewayReports(about, ACCOUNT, SecretStr(SECRET))
    assert about.receipts is not None
    read: list[Any] = []

    def take(posted: Posted) -> tuple[int, str]:
        found = reports.receipts(posted) if b"reports" in posted.body else reports.replies(posted)
        read.extend(found)
        return 200, about.receipts.answer if about.receipts else ""

    with serving(take) as url:
        told = gateway.report(
            url,
            {"outId": "1-2-0", "msgId": "F0", "stat": "DELIVRD"},
            {"outId": "1-3-0", "msgId": "F1", "stat": "UNDELIV", "err": "MK:0001"},
            {"outId": "1-4-0", "msgId": "F2", "stat": "EXPIRED"},
            {"outId": "1-5-0", "msgId": "F3", "stat": "LOST"},
            {"outId": "1\n6", "msgId": "F4", "stat": "DELIVRD"},
        )
        assert told == (200, '{"code":0}')
        gateway.reply(url, PHONE, "退订")
        gateway.report(url, {"outId": "1-2-0", "stat": "UNDELIV"}, secret="gues" + "sed")
        gateway.reply(url, PHONE, "请继续联系我", secret="gues" + "sed")
    assert read[:3] == [
        StatusReport("freedonia", "1-2-0", "F0", "delivered"),
        StatusReport("freedonia", "1-3-0", "F1", "failed", "MK:0001", "bad_address"),
        StatusReport("freedonia", "1-4-0", "F2", "failed", "EXPIRED", "unclear"),
    ]
    assert read[5] == InboundText("freedonia", NUMBER, "106900", "退订", "77")
    refused = [one.reason for one in read if isinstance(one, Refused)]
    assert refused == ["unexpected", "unmatched", "forged", "forged"]


def sought(provider: str) -> Sought:
    offered_at = datetime.now(UTC) - timedelta(minutes=1)  # noqa: TID251
    return Sought("sms", NUMBER, lambda text: text == message().text, offered_at, offered_at, provider=provider)


def look_up(accounts: Failover, what: Sought) -> Receipt | None:
    async def work() -> Receipt | None:
        try:
            return await accounts.find(what)
        finally:
            await accounts.close()

    return asyncio.run(work())


# -- failover --------------------------------------------------------------------------------------------------------


def test_another_account_takes_over_only_where_nothing_can_go_twice(gateway: FakeGateway):
    """A number the gateway does not serve, and an account it refuses, go by the other; a message in doubt never does."""
    with FakeProvider() as provider:
        other = SmsAdapter(SmsSettings(ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider.base_url))
        both = Failover([adapter(gateway.base_url, timeout_seconds=0.5), other])
        away, home = send_all(both, message("+12025550123", "1-1-0"), message(contact_id="1-2-0"))
        assert (away.provider, home.provider) == ("twilio", "freedonia")
        for number, fault in enumerate(("hang", "drop_after_accept", "nothing", "3001", "9999")):
            gateway.fault(PHONE, fault)
            (receipt,) = send_all(both, message(contact_id=f"2-{number}-0"))
            assert receipt.provider == "freedonia"
        gateway.fault(PHONE, 401)
        (receipt,) = send_all(both, message(contact_id="3-0-0"))
        assert receipt.provider == "twilio"
        sent = [m.contact for m in gateway.taken]
        assert sorted(m.body for m in provider.accepted) == [message().text] * 2
        assert len(set(sent)) == len(sent)
        last = provider.accepted[-1]
        found = {who: look_up(both, sought(who)) for who in ("twilio", "freedonia", "")}
        assert found["twilio"] == found[""] == Receipt("sent", "twilio", last.sid)
        # The gateway has records of its own, and this message is not in them.
        assert found["freedonia"] is None
