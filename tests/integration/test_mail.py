"""The mail adapter against mail servers on loopback."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from channels.mail import MailAdapter, MailSettings
from channels.message import Message, Receipt
from channels.testing.mailserver import CUT, SILENT, FakeMailServer, Step
from engine.errors import SettingsError
from tests.sending import send_all, send_one
from tests.tls import make_certificate, server_context

TO = "borrower@example.com"
SENT_AT = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
IN_DOUBT = "the mail server had the whole message and did not say whether it took it"
NOT_SENT = "the mail server broke off the conversation; nothing was sent"
LATER = "the mail server asks us to come back later"


@pytest.fixture
def server() -> Iterator[FakeMailServer]:
    with FakeMailServer() as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def adapter(server: FakeMailServer, **more: Any) -> MailAdapter:
    given = {"security": "plain", "timeout_seconds": 5, **more}
    sender = "Example Lender <care@lender.example>"
    return MailAdapter(MailSettings(server.host, server.port, sender, **given), lambda: SENT_AT)


def message(to: str = TO, contact_id: str = "1-2-0", **more: Any) -> Message:
    given = {"subject": "还款提醒", "text": "Hello\n.\nYour payment is due.\n", **more}
    return Message(contact_id, "email", to, **given)


def test_a_mail_arrives_whole_with_the_headers_a_machine_must_set(server: FakeMailServer):
    """Sender, id, date, language, text first and HTML second; nothing else is changed on the way."""
    receipt = send_one(
        adapter(server), message(html="<p>Hello</p>", language="zh", headers={"Reply-To": "a@b.example"})
    )
    (taken,) = server.of_contact("1-2-0")
    mail = taken.mail
    assert receipt == Receipt("sent", "smtp", "<1-2-0@lender.example>")
    assert (taken.sender, taken.to) == ("care@lender.example", TO)
    assert {name: str(mail[name]) for name in mail} == {
        "From": "Example Lender <care@lender.example>", "To": TO, "Subject": "还款提醒",
        "Date": "Thu, 05 Mar 2026 09:30:00 +0000", "Message-ID": "<1-2-0@lender.example>",
        "Auto-Submitted": "auto-generated", "Content-Language": "zh", "Reply-To": "a@b.example",
        "MIME-Version": "1.0", "Content-Type": mail["Content-Type"],
    }  # fmt: skip
    first, second = mail.iter_parts()
    assert (first.get_content_type(), second.get_content_type()) == ("text/plain", "text/html")
    assert first.get_content() == "Hello\r\n.\r\nYour payment is due.\r\n"


def test_a_mail_can_be_ended_in_one_click(server: FakeMailServer):
    """An https address gives both headers of RFC 8058, whole however long, with a mailto beside it; mailto alone the first."""
    url = "https://lender.example/u/" + "a1B2" * 60
    send_all(
        adapter(server, connections=1),
        message(contact_id="1-1-0", unsubscribe_url=url),
        message(contact_id="1-2-0", unsubscribe_url="mailto:stop@lender.example?subject=1-2-0"),
        message(contact_id="1-3-0"),
        message(contact_id="1-4-0", unsubscribe_url=url, unsubscribe_mailto="mailto:stop@lender.example"),
    )
    found = {t.mail["Message-ID"]: (t.mail["List-Unsubscribe"], t.mail["List-Unsubscribe-Post"]) for t in server.taken}
    assert found == {
        "<1-1-0@lender.example>": (f"<{url}>", "List-Unsubscribe=One-Click"),
        "<1-2-0@lender.example>": ("<mailto:stop@lender.example?subject=1-2-0>", None),
        "<1-3-0@lender.example>": (None, None),
        "<1-4-0@lender.example>": (f"<{url}>, <mailto:stop@lender.example>", "List-Unsubscribe=One-Click"),
    }


@pytest.mark.parametrize(
    ("step", "does", "expected", "kept"),
    [
        ("sender", "530 5.7.0 authentication required",
         Receipt("retry", "smtp", "", "530 5.7.0", "misconfigured", "the mail server refuses our sender address"), 0),
        ("sender", "452 4.3.1 no room", Receipt("retry", "smtp", "", "452 4.3.1", "try_later", LATER), 0),
        ("sender", CUT, Receipt("retry", "smtp", "", "cut", "try_later", NOT_SENT), 0),
        ("recipient", "550 5.1.1 no such user",
         Receipt("failed", "smtp", "", "550 5.1.1", "bad_address", "the mail server knows no such mailbox"), 0),
        ("recipient", "550 5.7.1 not wanted",
         Receipt("failed", "smtp", "", "550 5.7.1", "blocked", "the mail server's policy refuses the message"), 0),
        ("recipient", "550 relay not permitted",
         Receipt("retry", "smtp", "", "550", "misconfigured",
                 "the mail server does not accept mail from us without more"), 0),
        ("recipient", "552 5.2.2 over quota",
         Receipt("retry", "smtp", "", "552 5.2.2", "try_later", "the mailbox is full"), 0),
        ("recipient", "451 4.7.1 greylisted", Receipt("retry", "smtp", "", "451 4.7.1", "try_later", LATER), 0),
        ("recipient", "421 4.7.0 too fast", Receipt("retry", "smtp", "", "421 4.7.0", "slow_down", LATER), 0),
        ("recipient", CUT, Receipt("retry", "smtp", "", "cut", "try_later", NOT_SENT), 0),
        ("recipient", SILENT, Receipt("retry", "smtp", "", "timeout", "try_later",
                                      "the mail server did not answer in time; nothing was sent"), 0),
        ("data", CUT, Receipt("retry", "smtp", "", "cut", "try_later", NOT_SENT), 0),
        ("data", "451 4.3.0 not now", Receipt("retry", "smtp", "", "451 4.3.0", "try_later", LATER), 0),
        ("body", "554 5.6.0 spam",
         Receipt("failed", "smtp", "", "554 5.6.0", "blocked", "the mail server's policy refuses the message"), 0),
        ("body", "452 4.3.1 no room", Receipt("retry", "smtp", "", "452 4.3.1", "try_later", LATER), 0),
        ("body", CUT, Receipt("unknown", "smtp", "<1-2-0@lender.example>", "cut", "unclear", IN_DOUBT), 0),
        ("taken", CUT, Receipt("unknown", "smtp", "<1-2-0@lender.example>", "cut", "unclear", IN_DOUBT), 1),
        ("taken", SILENT, Receipt("unknown", "smtp", "<1-2-0@lender.example>", "timeout", "unclear", IN_DOUBT), 1),
        ("taken", "what?", Receipt("unknown", "smtp", "<1-2-0@lender.example>", "cut", "unclear", IN_DOUBT), 1),
    ],
)  # fmt: skip
def test_only_the_silence_after_the_final_dot_is_in_doubt(
    server: FakeMailServer, step: Step, does: str, expected: Receipt, kept: int
):
    """Every earlier end of the conversation is sure, and no message is ever offered twice."""
    server.fault("*", step, does)
    assert send_one(adapter(server, timeout_seconds=0.5), message()) == expected
    assert len(server.taken) == kept
    assert server.connections <= 2  # the controller's own look at the port, and ours


def test_a_refused_message_does_not_spoil_the_connection(server: FakeMailServer):
    """After a refusal the same connection carries the next message, and only that one."""
    server.fault("gone@example.com", "recipient", "550 5.1.1 no such user")
    server.fault("spam@example.com", "body", "554 5.7.1 spam")
    people = ["gone@example.com", TO, "spam@example.com", "other@example.com"]
    receipts = send_all(adapter(server, connections=1), *(message(to, f"1-{n}-0") for n, to in enumerate(people)))
    assert [r.status for r in receipts] == ["failed", "sent", "failed", "sent"]
    assert [t.to for t in server.taken] == [TO, "other@example.com"]
    assert len({t.connection for t in server.taken}) == 1


def test_connections_are_few_kept_and_renewed():
    """A hundred and twenty messages at once use at most four connections at a time, each for fifty messages."""
    with FakeMailServer() as server:
        receipts = send_all(adapter(server), *(message(contact_id=f"1-{n}-0") for n in range(120)))
        per_connection = [t.connection for t in server.taken]
        assert {r.status for r in receipts} == {"sent"}
        assert len({t.mail["Message-ID"] for t in server.taken}) == len(server.taken) == 120
        assert len(set(per_connection)) <= 6
        assert max(per_connection.count(c) for c in set(per_connection)) <= 50


def test_a_server_that_limits_a_connection_gets_a_new_one():
    """452 at the fourth message of a connection costs a reconnect, not a message."""
    with FakeMailServer(sends_per_connection=3) as server:
        receipts = send_all(adapter(server, connections=1), *(message(contact_id=f"1-{n}-0") for n in range(10)))
        assert {r.status for r in receipts} == {"sent"}
        assert len({t.connection for t in server.taken}) == 4


def test_a_connection_that_died_unseen_is_replaced():
    """A server that was started anew between two messages is not noticed by the second."""
    with FakeMailServer() as server:
        mail = adapter(server)

        async def work() -> list[Receipt]:
            first = await mail.send(message(contact_id="1-1-0"))
            mail._idle[0].client.protocol.transport.abort()
            await asyncio.sleep(0)
            second = await mail.send(message(contact_id="1-2-0"))
            server.fault("*", "sender", CUT)
            third = await mail.send(message(contact_id="1-3-0"))
            await mail.close()
            return [first, second, third]

        assert [r.status for r in asyncio.run(work())] == ["sent", "sent", "retry"]


def test_a_conversation_broken_off_carries_no_other_message(server: FakeMailServer):
    """A send that is cancelled half way takes its connection with it."""
    mail = adapter(server, connections=1, timeout_seconds=60)  # a busy machine must not time it out first

    async def work() -> Receipt:
        server.fault(TO, "recipient", SILENT)
        waiting = asyncio.create_task(mail.send(message(contact_id="1-1-0")))
        while not mail._slots.locked() or server.connections < 2:  # noqa: ASYNC110  the server is in another thread
            await asyncio.sleep(0.01)
        waiting.cancel()
        assert (await waiting).code == "broken_off"
        assert mail._idle == []
        server.mend()
        try:
            return await mail.send(message(contact_id="1-2-0"))
        finally:
            await mail.close()

    assert asyncio.run(work()).status == "sent"
    assert [t.contact for t in server.taken] == ["1-2-0"]


def test_the_adapter_can_be_used_in_one_event_loop_after_another(server: FakeMailServer):
    """Connections of a closed loop are not used in the next."""
    mail = adapter(server)
    assert [send_one(mail, message(contact_id=f"1-{n}-0")).status for n in range(2)] == ["sent", "sent"]


@pytest.mark.parametrize(
    ("given", "meaning", "detail"),
    [
        (message("a@b.example\r\nBcc: c@d.example"), "bad_address", "the address is not one plain mail address"),
        (message("a@b.example, c@d.example"), "bad_address", "the address is not one plain mail address"),
        (message("王芳@例子.example"), "bad_address", "the address is not one plain mail address"),
        (message(subject="Hello\r\nBcc: c@d.example"), "misconfigured",
         "a header would break into two"),
        (message(subject=" "), "misconfigured", "the mail has no subject or no text"),
        (message(text="\ud800"), "misconfigured", "a header would break into two, or the text is not text"),
        (message(headers={"Bcc": "c@d.example"}), "misconfigured", "the header `Bcc` cannot be set by a message"),
        (message(headers={"X-A\r\nBcc": "c"}), "misconfigured",
         "the header `X-A\r\nBcc` cannot be set by a message"),
        (message(headers={"X-A": "b\r\nBcc: c@d.example"}), "misconfigured",
         "a header would break into two"),
        (message(unsubscribe_url="https://x.example/>\r\nBcc: c@d.example"), "misconfigured",
         "the unsubscribe address is neither https nor mailto"),
        (message(unsubscribe_mailto="mailto:a@b.example>, <mailto:c@d.example"), "misconfigured",
         "the unsubscribe address is neither https nor mailto"),
    ],
)  # fmt: skip
def test_nothing_can_be_slipped_into_a_mail(server: FakeMailServer, given: Message, meaning: str, detail: str):
    """A second addressee or header fails the contact for good; the server never hears of it."""
    receipt = send_one(adapter(server), given)
    assert (receipt.status, receipt.meaning, receipt.detail) == ("failed", meaning, detail)
    assert server.taken == []


def test_nobody_listening_is_sure(server: FakeMailServer):
    """No connection, no message."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = MailSettings("127.0.0.1", taken.getsockname()[1], "a@lender.example", "plain")
        receipt = send_one(MailAdapter(settings, lambda: SENT_AT), message())
    assert receipt == Receipt("retry", "smtp", "", "unreachable", "try_later", "the mail server cannot be reached")


def test_mail_goes_encrypted_and_logged_in(certificate: tuple[Path, Path]):
    """With STARTTLS and a login the server sees an encrypted session, reused like any other."""
    secure = {"security": "starttls", "ca_file": str(certificate[0]), "username": "duecourse"}
    with FakeMailServer(tls=server_context(certificate), login=("duecourse", "right")) as server:
        mail = adapter(server, **secure, password=SecretStr("right"), connections=1)
        receipts = send_all(mail, message(contact_id="1-1-0"), message(contact_id="1-2-0"))
        assert {r.status for r in receipts} == {"sent"}
        assert [t.encrypted for t in server.taken] == [True, True]
        wrong = send_one(adapter(server, **secure, password=SecretStr("wrong")), message(contact_id="1-3-0"))
    assert wrong == Receipt("retry", "smtp", "", "535 5.7.8", "misconfigured", "the mail server refuses our login")


def test_a_certificate_nobody_vouches_for_sends_nothing(certificate: tuple[Path, Path]):
    """An unknown certificate stops the channel, at STARTTLS and at a connection encrypted from the start."""
    expected = Receipt(
        "retry", "smtp", "", "tls", "misconfigured", "the mail server's certificate or encryption is not accepted"
    )
    with FakeMailServer(tls=server_context(certificate)) as server:
        assert send_one(adapter(server, security="starttls"), message()) == expected
        assert send_one(adapter(server, security="starttls", ca_file="/nowhere.pem"), message()).code == "ca_file"
        assert send_one(adapter(server, security="tls"), message()).code in ("tls", "unreachable")
        assert server.taken == []


def test_a_server_without_encryption_gets_no_mail(server: FakeMailServer):
    """Where STARTTLS is asked for and not offered, nothing goes on in clear."""
    receipt = send_one(adapter(server, security="starttls"), message())
    words = "the mail server offers no STARTTLS or no login of a kind we know"
    assert receipt == Receipt("retry", "smtp", "", "not_offered", "misconfigured", words)
    assert server.taken == []


def test_settings_that_cannot_work_are_refused_at_once():
    """A sender that is no address, and a password in clear, are said before anything is sent."""
    with pytest.raises(SettingsError) as refused:
        MailSettings("127.0.0.1", 25, "Lender <nowhere>")
    what = "mail cannot be sent from `Lender <nowhere>`"
    assert str(refused.value) == f"{what}\n  mend: set `mail.from_address` to `Name <name@lender.example>`"
    with pytest.raises(SettingsError) as refused:
        MailSettings("127.0.0.1", 25, "a@lender.example", "plain", "duecourse", SecretStr("x"))
    what = "the mail password would travel in clear"
    assert str(refused.value) == f"{what}\n  mend: set `mail.security` to `starttls` or `tls`"
