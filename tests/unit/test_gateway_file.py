"""A gateway's file means what it says or is refused whole, and its signatures are those of its manual."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from channels.gateway_file import read_gateway
from channels.gateway_reports import GatewayReports
from channels.gateway_sign import fill, number_for, number_from, sign, sorted_values, time_for
from channels.gateway_spec import Signature
from channels.posted import Posted, at_path
from channels.reports import Refused, StatusReport
from engine.errors import RuleError

PLAIN = """\
gateway: plain
send:
  url: https://sms.example/send
  fields: {to: "{number}", text: "{text}"}
answer: {code: code, sent: ["0"]}
"""


def problems(text: str) -> str:
    with pytest.raises(RuleError) as refused:
        read_gateway(text, "gateway.yaml")
    return str(refused.value)


@pytest.mark.parametrize("name", ["twilio", "smtp"])
def test_a_gateway_is_not_called_like_another_provider(name: str):
    """Two accounts of one name would share one budget, and each would be asked about the other's messages."""
    assert problems(PLAIN.replace("gateway: plain", f"gateway: {name}")) == (
        f"gateway.yaml:1:10: `{name}` is the name of another provider\n  mend: name the gateway otherwise"
    )


def test_a_small_gateway_needs_little():
    """Everything that is not written has a plain default."""
    gateway = read_gateway(PLAIN, "gateway.yaml")
    assert (gateway.send.method, gateway.send.encoding, gateway.number, gateway.time) == (
        "POST",
        "form",
        "e164",
        "seconds",
    )
    assert (gateway.templates, gateway.signature, gateway.receipts) == (None, None, None)


def test_every_problem_of_a_file_is_told_at_once_with_its_place():
    """Unknown keys and values, clear text, unsigned reports, contradictions: each with place and mend."""
    text = """\
gateway: Free Donia
servs: ["+86"]
serves: [86]
number: national
zone: Asia/Beijng
send:
  url: http://sms.example/send
  method: GET
  encoding: json
  headers: {X-Text: "{text}", X Y: a}
  fields: {to: "{numbr}", text: "{text", sum: 1.5, key: "{signature}"}
signature: {method: md5, over: "{sorted}"}
templates:
  friendly-reminder:
    zh: {values: [loan.overdu]}
    fr: {id: T1}
answer:
  sent: ["0"]
  failed: {blocked: {"0": no}}
  http: {retry: {slow_down: {503: busy}}}
receipts:
  each: reports
  status: stat
  delivered: [A]
  failed: [A]
replies:
  sender: mobile
  signature: {method: token, over: "x", field: a, header: b}
"""
    assert problems(text) == (
        "gateway.yaml:2:1: unknown key of a gateway `servs`\n  mend: write `serves`\n"
        "gateway.yaml:1:10: `Free Donia` is not a name\n  mend: use lower-case letters, digits and hyphens: `sms-day-1`\n"
        'gateway.yaml:3:10: `serves` holds something that is no country prefix\n  mend: write `serves: ["+86"]`\n'
        'gateway.yaml:1:1: national numbers are those of one country\n  mend: write `serves: ["+86"]`\n'
        "gateway.yaml:16:5: unknown key of template `friendly-reminder` `fr`\n  mend: use one of en, zh\n"
        "gateway.yaml:15:9: template `friendly-reminder` has no `id`\n  mend: write `id: T1`\n"
        "gateway.yaml:15:19: unknown value `loan.overdu`\n  mend: write `loan.overdue`\n"
        "gateway.yaml:12:12: a md5 without `{secret}` in it signs nothing\n"
        "  mend: write `{secret}` where the gateway wants it\n"
        "gateway.yaml:7:8: `http://sms.example/send` is no https address\n"
        "  mend: write `https://...`; secrets and numbers do not go in clear\n"
        "gateway.yaml:9:13: a GET carries no JSON\n  mend: write `encoding: form`, or `method: POST`\n"
        "gateway.yaml:10:21: `{text}` cannot stand in a header\n  mend: put it into `fields`\n"
        "gateway.yaml:10:31: `X Y` is no header\n  mend: write a name and a text on one line\n"
        "gateway.yaml:11:16: unknown value `numbr`\n  mend: write `number`\n"
        "gateway.yaml:11:33: a brace that names no value\n  mend: write a value such as `{number}`\n"
        "gateway.yaml:11:47: a field with no value, or with a broken number\n  mend: put it in quotes\n"
        "gateway.yaml:7:3: nothing in `send` says whom the text is for\n"
        "  mend: write `{number}` where the gateway wants it\n"
        "gateway.yaml:7:3: nothing in `send` says the template\n"
        "  mend: write `{template_id}` where the gateway wants it\n"
        "gateway.yaml:18:3: `answer` has no `code`\n  mend: write `code: code`\n"
        "gateway.yaml:18:3: code `0` means both sent and not sent\n  mend: keep one of them\n"
        "gateway.yaml:20:9: `503` does not say for sure that nothing was sent\n"
        "  mend: list HTTP statuses from 400 to 499 only; the rest is in doubt\n"
        "gateway.yaml:22:3: nothing says which message a receipt is about\n"
        "  mend: write `contact_id:` or `ref:`, and its field\n"
        "gateway.yaml:25:12: `A` means two things\n  mend: keep one of them\n"
        "gateway.yaml:22:3: receipts say neither what arrived nor what did not\n"
        "  mend: list their words under `delivered` and `failed`\n"
        "gateway.yaml:22:3: a form holds no list\n  mend: take `each` out, or write `encoding: json`\n"
        "gateway.yaml:22:3: `receipts` could be anybody's: nothing is signed\n"
        "  mend: write `signature:`, at least `token`\n"
        "gateway.yaml:27:3: replies have no `text`\n  mend: write `text:` and its field\n"
        "gateway.yaml:28:14: a signature stands in one place\n"
        "  mend: write either `field: sign` or `header: X-Sign`\n"
        "gateway.yaml:5:7: `Asia/Beijng` is no IANA time zone\n  mend: write one like `Asia/Shanghai`"
    )


def test_a_slip_in_a_signature_is_one_problem():
    """What follows from it is not told beside it."""
    text = PLAIN.replace('text: "{text}"', 'text: "{text}", key: "{signature}"')
    assert problems(text + 'signature: {method: hmac-sha257, over: "{sorted}"}\n') == (
        "gateway.yaml:6:21: unknown method of signing `hmac-sha257`\n  mend: write `hmac-sha256`"
    )


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("{text}", "{signature}", "nothing in `send` says the text"),
        ('text: "{text}"', 'text: "{text}", key: "{signature}"', "`send` is signed, and nothing says how"),
        ('text: "{text}"', 'text: "{text}{template_id}"', "`send` names a template, and none is approved"),
        ("answer:", 'signature: {method: sha256, over: "{secret}"}\nanswer:', "`{signature}` stands nowhere in `send`"),
        ("https://sms.example/send", "https:///send", "`https:///send` is no https address"),
        ("gateway: plain", "[plain]", "not readable as YAML"),
    ],
)
def test_what_does_not_fit_together_is_refused(old: str, new: str, what: str):
    """A file that would send nothing, sign nothing or go nowhere is not used."""
    assert what in problems(PLAIN.replace(old, new))


def test_signatures_are_those_of_their_definitions():
    """Sorted, joined, hashed and written as each manual asks; worked out by hand here."""
    values = sorted_values({"b": "2 &", "a": ["x"], "C": "é"})
    assert values == {
        "sorted": 'C=é&a=["x"]&b=2 &', "sorted_plain": 'Céa["x"]b2 &',
        "sorted_encoded": "C=%C3%A9&a=%5B%22x%22%5D&b=2%20%26",
    }  # fmt: skip
    joined = Signature("md5", "{sorted_plain}&key={secret}", "HEX")
    wanted = hashlib.md5('Céa["x"]b2 &&key=s'.encode(), usedforsecurity=False).hexdigest().upper()
    assert sign(joined, values, "s") == wanted
    keyed = sign(Signature("hmac-sha1", "{sorted}", "base64"), {"sorted": "a=1"}, "s")
    assert base64.b64decode(keyed) == hmac.digest(b"s", b"a=1", "sha1")


@given(text=st.text(max_size=60))
def test_what_a_value_says_is_never_read_as_a_value(text: str):
    """A borrower's name with braces in it brings no secret out."""
    assert fill("<{text}>", {"text": text, "secret": "hush"}) == f"<{text}>"


@pytest.mark.parametrize(
    ("form", "written"), [("e164", "+8613800138000"), ("digits", "8613800138000"), ("national", "13800138000")]
)
def test_numbers_are_written_as_the_gateway_writes_them_and_read_back(form: str, written: str):
    """Whatever form a gateway uses, a reply's number is the one we wrote to."""
    gateway = read_gateway(f'serves: ["+86"]\nnumber: {form}\n{PLAIN}', "gateway.yaml")
    assert number_for(gateway, "+8613800138000") == written
    assert number_from(gateway, written) == "+8613800138000"
    assert number_for(gateway, "+12025550123") is None


@pytest.mark.parametrize(
    ("form", "written"),
    [("seconds", "1772703000"), ("milliseconds", "1772703000000"), ("iso", "2026-03-05T09:30:00Z"),
     ("compact", "20260305173000")],
)  # fmt: skip
def test_instants_are_written_as_the_gateway_writes_them(form: str, written: str):
    """The same instant, in each of the ways there are."""
    gateway = read_gateway(f"time: {form}\nzone: Asia/Shanghai\n{PLAIN}", "gateway.yaml")
    assert time_for(gateway, datetime(2026, 3, 5, 9, 30, tzinfo=UTC)) == written


def test_paths_lead_into_lists_and_tables_and_nowhere_else():
    """A path that leads to nothing, or to a table, is nothing."""
    document = {"a": [{"b": "1"}, {"b": True}], "c": {"d": {}}}
    assert [at_path(document, path) for path in ("a.0.b", "a.1.b", "a.2.b", "a.b", "c.d", "x", "a.0.b.c")] == [
        "1", "true", None, None, None, None, None,
    ]  # fmt: skip


TOKEN = read_gateway(
    PLAIN
    + """
receipts:
  encoding: json
  each: list
  contact_id: id
  status: s
  delivered: [D]
  failed: [F]
  signature: {method: token, field: key}
replies:
  sender: from
  text: text
  signature: {method: sha256, over: "{secret}{field.from}", field: sign}
""",
    "gateway.yaml",
)
REPORTS = GatewayReports(TOKEN, "account", SecretStr("hush"))
JSON, FORM = {"content-type": "application/json"}, {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "query", "reasons"),
    [
        (b'{"list":[{"id":"1-2-0","s":"D"}]}', "key=hush", []),
        (b'{"key":"hush","list":[{"id":"1-2-0","s":"D"}]}', "", []),
        (b'{"list":[]}', "key=hush", []),
        (b'{"list":[{"id":"1-2-0","s":"D"}]}', "", ["unsigned"]),
        (b'{"list":[{"id":"1-2-0","s":"D"}]}', "key=guess", ["forged"]),
        (b'{"list":{}}', "key=hush", ["malformed"]),
        (b"1", "key=hush", ["malformed"]),
        (b"[]", "key=hush", ["malformed"]),
        (b"<html>", "key=hush", ["malformed"]),
        (b"", "key=hush", ["malformed"]),
        (b'{"list":["\\ud800"]}', "key=hush", ["malformed"]),
        (b'{"list":["\\u0000"]}', "key=hush", ["malformed"]),
        (b"[" * 60_000, "key=hush", ["malformed"]),
        (b'{"a":NaN}', "key=hush", ["malformed"]),
        (b'{"list":[1,null,"x",[],{}]}', "key=hush", ["unexpected"] * 5),
        (b'{"list":[{"s":"D"}]}', "key=hush", ["malformed"]),
        (b'{"list":[{"id":"' + b"9" * 300 + b'","s":"D"}]}', "key=hush", ["unmatched"]),
        (b'{"list":[' + b"1," * 1000 + b"1]}", "key=hush", ["oversized"]),
        (b"x" * 70_000, "key=hush", ["oversized"]),
    ],
)
def test_receipts_that_cannot_be_believed_are_refused_with_a_reason(body: bytes, query: str, reasons: list[str]):
    """Unsigned, forged, oversized or unreadable ones, and each bad one of a batch by itself."""
    read = REPORTS.receipts(Posted(body, query, JSON))
    assert [one.reason for one in read if isinstance(one, Refused)] == reasons


def test_receipts_may_come_as_nothing_but_a_list():
    """Where the file names no list, a list is taken one by one, and signed in the address or a header like any other."""
    text = PLAIN + (
        "receipts: {encoding: json, ref: id, status: s, delivered: [D], failed: [F], "
        'signature: {method: hmac-sha1, over: "{body}", header: X-Sign}}\n'
    )
    reports = GatewayReports(read_gateway(text, "gateway.yaml"), "account", SecretStr("hush"))
    body = b'[{"id":"1","s":"D"},{"id":"2","s":"F"}]'
    seal = hmac.new(b"hush", body, "sha1").hexdigest()
    read = reports.receipts(Posted(body, "", {**JSON, "x-sign": seal}))
    assert [(one.provider_ref, one.status) for one in read if isinstance(one, StatusReport)] == [
        ("1", "delivered"), ("2", "failed"),
    ]  # fmt: skip
    (forged,) = reports.receipts(Posted(body[:-1] + b" ]", "", {**JSON, "x-sign": seal}))
    assert isinstance(forged, Refused)


def test_a_reply_without_what_is_signed_or_with_a_field_twice_is_refused():
    """What is not there cannot be signed, and what is there twice cannot be meant."""
    bodies = {b"text=a&sign=b": "malformed", b"from=1&from=2&text=a&sign=b": "malformed", b"from=1&sign=b": "forged"}
    for body, reason in bodies.items():
        (one,) = REPORTS.replies(Posted(body, "", FORM))
        assert isinstance(one, Refused)
        assert one.reason == reason
    seal = hashlib.sha256(b"hush1").hexdigest()
    (one,) = REPORTS.replies(Posted(f"from=1&sign={seal}".encode(), "", FORM))
    assert one == Refused("malformed", "a reply without its sender or its text")


@given(body=st.binary(max_size=200), query=st.text(max_size=20), as_json=st.booleans())
def test_nothing_that_is_posted_breaks_the_reader(body: bytes, query: str, as_json: bool):
    """Any bytes whatever end in a refusal."""
    posted = Posted(body, query, JSON if as_json else FORM)
    assert all(isinstance(one, Refused) for one in (*REPORTS.receipts(posted), *REPORTS.replies(posted)))
