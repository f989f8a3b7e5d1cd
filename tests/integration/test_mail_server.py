"""Mail against a real server: delivered, refused at every step, signed, and what comes back when it does not arrive."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from channels.bounces import MailReports
from channels.mail import MailAdapter, MailSettings
from channels.mail_signing import DkimKey
from channels.mailbox import Maildir
from channels.message import Message
from channels.reports import MailReport, Refused
from tests import exim
from tests.sending import send_all
from tests.tls import make_certificate

SENT_AT = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
SECRET = SecretStr("seals" + "-ids")
SENDER = "Example Lender <care@lender.example>"
REPORTS = MailReports(SENDER, SECRET)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[exim.Exim]:
    """One server for all of these; each test looks for its own mails."""
    if why := exim.unpack():
        pytest.skip(why)
    with exim.running(make_certificate(tmp_path_factory.mktemp("exim"))) as running:
        yield running


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[DkimKey, bytes]:
    """A DKIM key, and what the DNS would say of it."""
    key = tmp_path_factory.mktemp("dkim") / "dkim.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    import base64

    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    return DkimKey("lender.example", "s2026", SecretStr(key.read_text())), record


def adapter(server: exim.Exim, **more: Any) -> MailAdapter:
    given = {
        "security": "starttls", "ca_file": str(server.certificate), "bounce_address": "bounces@lender.example",
        "id_secret": SECRET, "timeout_seconds": 10, "from_address": SENDER, **more,
    }  # fmt: skip
    return MailAdapter(MailSettings("localhost", server.port, given.pop("from_address"), **given), lambda: SENT_AT)


def message(to: str, contact_id: str, **more: Any) -> Message:
    given = {"subject": "还款提醒", "text": "您好。\n.\nYour payment is due.\n", **more}
    return Message(contact_id, "email", to, **given)


def of_contact(server: exim.Exim, contact_id: str) -> bytes:
    for count in range(1, 100):
        for content in server.arrived(count):
            if f"<{contact_id}.".encode() in content:
                return content
    raise AssertionError("never")


def test_a_signed_mail_is_delivered_as_it_was_sent(server: exim.Exim, signing: tuple[DkimKey, bytes]):
    """
    Through STARTTLS into the mailbox of a real server: text first, the ways to unsubscribe, our envelope sender; and the
    signature over all of it holds on what arrived, and no longer when any of it is changed.
    """
    import dkim

    key, record = signing
    given = message(
        "borrower@inbox.example", "1-1-0", html="<p>您好</p>", language="zh",
        unsubscribe_url="https://lender.example/u/" + "a1B2" * 40, unsubscribe_mailto="mailto:stop@lender.example?subject=1-1-0",
    )  # fmt: skip
    (receipt,) = send_all(adapter(server, dkim=key), given)
    assert (receipt.status, receipt.provider_ref.startswith("<1-1-0.")) == ("sent", True)
    content = of_contact(server, "1-1-0")
    mail = exim.contact_mail(content)
    assert (mail["Return-Path"], mail["Envelope-To"]) == ("<bounces@lender.example>", "borrower@inbox.example")
    assert (mail["Subject"], mail["Auto-Submitted"], mail["Message-ID"]) == (
        "还款提醒", "auto-generated", receipt.provider_ref,
    )  # fmt: skip
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"] == f"<{given.unsubscribe_url}>, <{given.unsubscribe_mailto}>"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == given.text

    def look_up(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"s2026._domainkey.lender.example."
        return record

    assert dkim.verify(content, dnsfunc=look_up)
    signed = str(mail["DKIM-Signature"]).replace("\n", "").replace(" ", "")
    assert {"list-unsubscribe", "list-unsubscribe-post", "message-id"} <= set(
        signed.split("h=")[1].split(";")[0].split(":")
    )
    for old, new in (
        (b"lender.example/u/", b"elsewhere.example/"),
        (b"auto-generated", b"no"),
        (b"Subject:", b"From: x@y\nSubject:"),
    ):
        assert old in content
        assert not dkim.verify(content.replace(old, new), dnsfunc=look_up)


def test_a_login_is_asked_for_and_given(server: exim.Exim):
    """With the right login mail goes where only known senders may send; without one, or with a wrong one, it is our fault."""
    to = "borrower@login.example"
    user, password = exim.LOGIN
    (good,) = send_all(adapter(server, username=user, password=SecretStr(password)), message(to, "2-1-0"))
    (none,) = send_all(adapter(server), message(to, "2-2-0"))
    (wrong,) = send_all(adapter(server, username=user, password=SecretStr("wr" + "ong")), message(to, "2-3-0"))
    assert (good.status, none.meaning, wrong.meaning) == ("sent", "misconfigured", "misconfigured")
    assert (none.code, wrong.code) == ("530 5.7.0", "535")
    assert b"esmtpsa" in of_contact(server, "2-1-0")


@pytest.mark.parametrize(
    ("to", "more", "expected"),
    [
        ("nobody@inbox.example", {}, ("failed", "550 5.1.1", "bad_address")),
        ("busy@inbox.example", {}, ("retry", "451 4.7.1", "try_later")),
        ("before@inbox.example", {}, ("failed", "554 5.7.1", "blocked")),
        ("a@inbox.example", {"text": "forbidden words"}, ("failed", "554 5.6.0", "blocked")),
        ("a@inbox.example", {"text": "slow words"}, ("retry", "451 4.3.0", "try_later")),
    ],
)
def test_a_refusal_at_every_step_says_what_it_means(
    server: exim.Exim, to: str, more: dict[str, str], expected: tuple[str, str, str]
):
    """At RCPT, at DATA and after the text, for good or for now: what a real server says is what the receipt says."""
    (receipt,) = send_all(adapter(server), message(to, "3-1-0", **more))
    assert (receipt.status, receipt.code, receipt.meaning) == expected


@pytest.mark.parametrize(
    ("sender", "expected"),
    [("refused@lender.example", ("retry", "550 5.7.1", "misconfigured")), ("busy@lender.example", ("retry", "452 4.3.1", "try_later"))],
)  # fmt: skip
def test_a_sender_that_is_refused_is_our_matter(server: exim.Exim, sender: str, expected: tuple[str, str, str]):
    """A refusal at MAIL costs no borrower their address."""
    (receipt,) = send_all(adapter(server, bounce_address=sender), message("a@inbox.example", "3-2-0"))
    assert (receipt.status, receipt.code, receipt.meaning) == expected


def test_a_refusal_leaves_the_connection_to_the_next(server: exim.Exim):
    """Eight mails over two connections, every second one refused: the others arrive."""
    people = [f"{'nobody' if n % 2 else 'somebody'}@inbox.example" for n in range(8)]
    receipts = send_all(adapter(server, connections=2), *(message(to, f"4-{n}-0") for n, to in enumerate(people)))
    assert [r.status for r in receipts] == ["sent", "failed"] * 4
    for number in range(0, 8, 2):
        of_contact(server, f"4-{number}-0")


def test_what_comes_back_late_is_known_to_be_ours(server: exim.Exim):
    """
    A mail that was taken and could not be delivered comes back into the mailbox for reports, is matched to its contact,
    and is read once; a forged report beside it is refused.
    """
    (receipt,) = send_all(adapter(server), message("gone@bounce.example", "5-1-0", html="<p>a</p>"))
    assert receipt.status == "sent"
    (report,) = server.arrived(box="bounces")
    box = Maildir(server.bounces)
    forged = report.replace(b"<5-1-0.", b"<5-9-0.")
    (server.bounces / "new" / "0.forged").write_bytes(forged)
    (server.bounces / "new" / "1.noise").write_bytes(b"From: a@b.example\n\nI am away.\n")
    letters = box.waiting(10)
    assert len(letters) == 3
    read = [one for letter in letters for one in REPORTS.read(letter.content)]
    (report_id,) = {one.report_id for one in read if isinstance(one, MailReport)}
    assert sorted(read, key=str) == [
        MailReport("5-1-0", "gone@bounce.example", "failed", "550 5.1.1", "bad_address", report_id),
        Refused("forged", "it is about a mail that we did not send"),
        Refused("unexpected", "there is no delivery report in it"),
    ]
    box.done(letter.key for letter in letters)
    assert box.waiting(10) == []
    assert len(list((Path(server.bounces) / "cur").iterdir())) == 3
