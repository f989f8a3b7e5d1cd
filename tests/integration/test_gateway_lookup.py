"""Messages in doubt looked up in a gateway's own records, as its file describes them; and what is wrong with such a file."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from channels.faults import NO_LIST
from channels.gateway_file import read_gateway
from channels.message import Receipt, Sought
from channels.testing.gateway import FakeGateway, Fault
from engine.errors import RuleError
from store.db import Database
from store.sealing import setting_place
from store.tables import ContactStatus, Endpoint
from tests.integration.test_gateway import EXAMPLE, NUMBER, PHONE, adapter, message
from tests.integration.test_reconcile import ask, why
from tests.outgoing import NOW, add, book, contact_of, plan, rows, set_setting
from tests.sending import send_all
from workflows.sending.reconcile import PAUSES, Reconciled
from workflows.sending.text_seal import SEAL_KEY, SEALED, seal

SOON = NOW + PAUSES[0]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def look_up(
    running: FakeGateway, contact: str = "1-2-0", *, to: str = NUMBER, taken: tuple[str, ...] = (), **more: Any
) -> Receipt | None:
    given = adapter(running.base_url, **more)
    sought = Sought("sms", to, lambda _text: True, NOW, NOW, provider="freedonia", contact_id=contact, taken=taken)

    async def once() -> Receipt | None:
        try:
            return await given.find(sought)
        finally:
            await given.close()

    return asyncio.run(once())


def lost(running: FakeGateway, *contacts: str) -> None:
    """Offered, taken, and the answer lost."""
    running.fault(PHONE, "drop_after_accept")
    for receipt in send_all(adapter(running.base_url), *(message(contact_id=one) for one in contacts)):
        assert receipt.status == "unknown"
    running.fault(PHONE, "")


def test_what_was_taken_is_found_by_the_id_that_it_was_told(gateway: FakeGateway) -> None:
    """Whatever else went to that number, and whatever it says; one that is not listed is not taken for another."""
    lost(gateway, "1-1-0", "1-2-0")
    assert look_up(gateway) == Receipt("sent", "freedonia", "F1")
    assert look_up(gateway, "7-7-0") is None
    assert look_up(gateway, taken=("F1",)) is None
    assert look_up(gateway, to="+12125550101") is None


@pytest.mark.parametrize(("stat", "err", "expected"), [
    ("DELIVRD", "", Receipt("sent", "freedonia", "F0")),
    ("REJECTD", "MK:0001", Receipt("failed", "freedonia", "F0", "MK:0001", "bad_address", "number does not exist")),
    (
        "UNDELIV", "XX:1",
        Receipt("failed", "freedonia", "F0", "XX:1", "unclear", "the gateway's records say that it did not arrive"),
    ),
    (
        "STRANGE", "",
        Receipt("unknown", "freedonia", "F0", "STRANGE", "unclear", "the gateway's records say what its file does not list"),
    ),
])  # fmt: skip
def test_its_words_mean_what_the_file_says(gateway: FakeGateway, stat: str, err: str, expected: Receipt) -> None:
    """Sent or failed with what follows from the code; a word that is not listed leaves it in doubt."""
    lost(gateway, "1-2-0")
    gateway.end("F0", stat, err)
    assert look_up(gateway) == expected


def test_of_two_tries_the_one_that_went_counts(gateway: FakeGateway) -> None:
    """An earlier try that failed does not make a failure of the one that was taken."""
    lost(gateway, "1-2-0", "1-2-0")
    gateway.end("F0", "REJECTD", "MK:0001")
    assert look_up(gateway) == Receipt("sent", "freedonia", "F1")
    gateway.end("F1", "STRANGE")
    found = look_up(gateway)
    assert found is not None
    assert found.status == "unknown"


@pytest.mark.parametrize("fault", ["hang", "html", 4001])
def test_what_is_no_answer_settles_nothing(gateway: FakeGateway, fault: Fault) -> None:
    """Silence, HTML, another code: it is asked again."""
    lost(gateway, "1-2-0")
    gateway.queries = fault
    found = look_up(gateway, timeout_seconds=0.3)
    assert found is not None
    assert (found.status, found.code) == ("unknown", "no_answer")


def test_a_wrong_secret_settles_nothing(gateway: FakeGateway) -> None:
    """A question that is not believed is not answered."""
    lost(gateway, "1-2-0")
    found = look_up(gateway, secret="another")  # noqa: S106 - the stand-in's own
    assert found is not None
    assert (found.status, found.code) == ("unknown", "no_answer")


def test_a_gateway_without_records_cannot_be_asked(gateway: FakeGateway) -> None:
    """As before: a person has to settle it."""
    text = EXAMPLE.read_text(encoding="utf-8").partition("\n# Its own records")[0]
    found = look_up(gateway, gateway=read_gateway(text, "g.yaml"))
    assert found is not None
    assert found.code == NO_LIST


def test_reconcile_settles_it(database: Database, gateway: FakeGateway) -> None:
    """From the contact in doubt to the gateway's records and back: sent, with its id, and nothing is sent again."""
    (loan,) = book(database)
    contact = plan(database, loan, status="unknown", provider="freedonia")
    set_setting(database, SEAL_KEY, database.sealing.seal(setting_place(SEAL_KEY), "ab" * 32))
    sealed = json.dumps({SEALED: seal("ab" * 32, "whatever it said")})
    for status, detail in (("sending", sealed), ("unknown", "{}")):
        add(database, ContactStatus(contact_id=contact, status=status, at=NOW, detail_json=detail))
    mobile = next(one.value for one in rows(database, Endpoint) if one.kind == "mobile")
    gateway.fault("*", "drop_after_accept")
    send_all(adapter(gateway.base_url), message(to=mobile, contact_id=contact))
    given = {"sms": adapter(gateway.base_url)}
    assert ask(database, given, SOON) == Reconciled(sent=1)
    found = contact_of(database, contact)
    assert (found.status, found.provider, found.provider_ref) == ("sent", "freedonia", "F0")
    assert why(database, contact) == "found in the records of freedonia"
    assert ask(database, given, SOON + timedelta(days=1)) == Reconciled()
    assert len(gateway.taken) == 1


@pytest.mark.parametrize(("old", "new", "said"), [
    ('outId: "{contact_id}", phone: "{number}", timestamp', "timestamp", "nothing in `lookup` says what is asked about"),
    ("https://sms.freedonia.example/v2/query", "http://sms.freedonia.example/v2/query", "is no https address"),
    ('"{nonce}", sign: "{signature}"}\n  answer', '"{nonce}"}\n  answer', "`{signature}` stands nowhere in `lookup`"),
    ('phone: "{number}", timestamp', 'phone: "{text}", timestamp', "unknown value `text`"),
    ("  each: data.messages             # where the list is; leave out when it is one message, or nothing but a list\n  contact_id: outId",
     "  each: data.messages", "`lookup` has no `contact_id`"),
    ('answer: {code: code, ok: ["0"]}', "answer: {code: code}", "the answer of `lookup` has no `ok`"),
    ('over: "{account}{sorted}"', 'over: "{account}{text}"', "sends are signed over `{text}`, which a lookup does not have"),
])  # fmt: skip
def test_a_wrong_file_says_what_is_wrong(old: str, new: str, said: str) -> None:
    """Each mistake is refused when the file is read."""
    text = EXAMPLE.read_text(encoding="utf-8")
    head, mark, tail = text.partition("# Its own records")
    changed = text.replace(old, new) if "over:" in old else head + mark + tail.replace(old, new)
    assert changed != text
    with pytest.raises(RuleError) as caught:
        read_gateway(changed, "g.yaml")
    assert any(said in problem.what for problem in caught.value.problems), [p.what for p in caught.value.problems]
