"""What mail servers report of our mails: many shapes, one meaning; and what anybody could have written, refused."""

import base64
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from channels.bounces import READ_MAX, MailReports
from channels.mail_signing import DkimKey, contact_of, message_id
from channels.mailbox import Maildir
from channels.reports import MailReport, Refused
from engine.errors import SettingsError

SENDER = "Example Lender <care@lender.example>"
SECRET = SecretStr("seals" + "-ids")
OURS = message_id("1-2-0", SENDER, SECRET)
REPORTS = MailReports(SENDER, SECRET)
ORIGINAL = f"From: {SENDER}\r\nTo: gone@b.example\r\nMessage-ID: {OURS}\r\nSubject: x\r\n\r\nYour payment is due.\r\n"
FAILED = {
    "Final-Recipient": "rfc822; gone@b.example", "Action": "failed", "Status": "5.1.1",
    "Diagnostic-Code": "smtp; 550 5.1.1 <gone@b.example>: no such user",
}  # fmt: skip


def report(
    fields: dict[str, str], *, said: str = "It could not be delivered.", kind: str = "report", original: str = ORIGINAL,
    headers_only: bool = False, reply_to: str = "",
) -> bytes:  # fmt: skip
    """A report in the shape of RFC 3464, or near it."""
    mail = MIMEMultipart(kind, **({"report_type": "delivery-status"} if kind == "report" else {}))
    mail["From"], mail["To"], mail["Message-ID"] = "Mailer <>", "bounces@lender.example", "<r1@mx.example>"
    if reply_to:
        mail["In-Reply-To"] = reply_to
    mail.attach(MIMEText(said))
    blocks = "Reporting-MTA: dns; mx.example\r\n\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
    status = BytesParser().parsebytes(b"Content-Type: message/delivery-status\r\n\r\n" + blocks.encode())
    mail.attach(status)
    if headers_only:
        mail.attach(MIMEText(original.partition("\r\n\r\n")[0], "rfc822-headers"))
    elif original:
        mail.attach(MIMEMessage(BytesParser().parsebytes(original.encode())))
    return mail.as_bytes()


def read(content: bytes) -> MailReport | Refused:
    (one,) = REPORTS.read(content)
    return one


GONE = MailReport("1-2-0", "gone@b.example", "failed", "550 5.1.1", "bad_address", "<r1@mx.example>")


@pytest.mark.parametrize(
    "content",
    [
        report(FAILED),
        report(FAILED, kind="mixed"),
        report(FAILED, headers_only=True),
        report(FAILED, original="", reply_to=OURS),
        # A server that knows the code only in its words, as Exim does for an address of its own.
        report({**FAILED, "Status": "5.0.0", "Diagnostic-Code": ""}, said="gone@b.example:\n  550 5.1.1 mailbox gone"),
        report({**FAILED, "Status": "5.0.0"}),
        report({**FAILED, "Diagnostic-Code": ""}),
        report({k.upper(): v for k, v in FAILED.items()}),
        report({**FAILED, "Diagnostic-Code": "smtp;550-5.1.1 no\r\n such user"}),
        b"Received: by mx\r\n" + report(FAILED).replace(b"\n", b"\r\n"),
    ],
)
def test_a_mailbox_that_is_gone_is_known_in_every_shape(content: bytes):
    """Whatever a server packs its report in, the contact, the address and the reason come out."""
    assert read(content) == GONE


@pytest.mark.parametrize(
    ("fields", "status", "code", "meaning"),
    [
        ({"Action": "delayed", "Status": "4.4.1"}, "sent", "", "ok"),
        ({"Action": "delivered", "Status": "2.0.0"}, "delivered", "", "ok"),
        ({"Action": "relayed", "Status": "2.0.0"}, "sent", "", "ok"),
        ({"Action": "Failed (gave up)", "Status": "4.4.7", "Diagnostic-Code": ""}, "failed", "450 4.4.7", "try_later"),
        ({"Status": "5.2.2", "Diagnostic-Code": "smtp; 552 5.2.2 full"}, "failed", "552 5.2.2", "try_later"),
        ({"Status": "5.7.1", "Diagnostic-Code": "smtp; 550 5.7.1 spam"}, "failed", "550 5.7.1", "blocked"),
        ({"Status": "5.0.0", "Diagnostic-Code": "smtp; 550 message looks like spam"}, "failed", "5.0.0", "unclear"),
        ({"Status": "5.1.8", "Diagnostic-Code": "smtp; 550 5.1.8 sender"}, "failed", "550 5.1.8", "unclear"),
        ({"Status": "5.2.1", "Diagnostic-Code": "smtp; 550 5.2.1 disabled"}, "failed", "550 5.2.1", "unclear"),
        ({"Status": "", "Diagnostic-Code": ""}, "failed", "", "unclear"),
    ],
)
def test_only_what_a_report_says_costs_an_address(fields: dict[str, str], status: str, code: str, meaning: str):
    """A delay is no failure, a full mailbox and a filter are no dead address, and a bare "5.0.0" is nothing at all."""
    found = read(report({**FAILED, **fields}))
    assert isinstance(found, MailReport)
    assert (found.status, found.code, found.meaning) == (status, code, meaning)


def test_a_delivery_status_that_is_encoded_is_read_all_the_same():
    """Some servers encode the part that must not be."""
    plain = "Reporting-MTA: dns; mx.example\r\n\r\n" + "".join(f"{k}: {v}\r\n" for k, v in FAILED.items())
    part = b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(
        plain.encode()
    )
    content = (
        b"Message-ID: <r1@mx.example>\nMIME-Version: 1.0\nContent-Type: multipart/report; boundary=b\n\n--b\n"
        + part + b"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: " + OURS.encode() + b"\n\n--b--\n"
    )  # fmt: skip
    assert read(content) == GONE


def away(sender: str) -> bytes:
    return f"From: {sender}\nAuto-Submitted: auto-replied\nIn-Reply-To: {OURS}\n\nI am away.\n".encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (report(FAILED, original=ORIGINAL.replace("<1-2-0.", "<1-3-0.")), "forged"),
        (report(FAILED, original=ORIGINAL.replace(OURS, "<1-2-0@lender.example>")), "forged"),
        (report(FAILED, original=ORIGINAL.replace("@lender.example>", "@other.example>")), "unmatched"),
        (report(FAILED, original=""), "unmatched"),
        (report({**FAILED, "Action": "vanished"}), "unexpected"),
        (away("gone@b.example"), "unexpected"),
        (b"", "unexpected"),
        (b"\x00\xff" * 500, "unexpected"),
        (report(FAILED, original="From: a@b.example\r\n\r\n" + report(FAILED).decode()), "unmatched"),
    ],
)
def test_what_is_not_about_a_mail_of_ours_is_refused_with_a_reason(content: bytes, reason: str):
    """Forged, about others' mails, out of office, or no report at all: nothing follows from it."""
    found = read(content)
    assert isinstance(found, Refused)
    assert found.reason == reason


def test_a_report_about_several_addresses_is_one_value_each():
    """Forwarded to two, arrived at one: both are told."""
    second = "Final-Recipient: rfc822; other@b.example\r\nAction: delivered\r\nStatus: 2.0.0"
    fields = {**FAILED, "Diagnostic-Code": "smtp; 550 5.1.1 no\r\n\r\n" + second}
    found = REPORTS.read(report(fields))
    assert [(one.recipient, one.status) for one in found if isinstance(one, MailReport)] == [
        ("gone@b.example", "failed"), ("other@b.example", "delivered"),
    ]  # fmt: skip


def test_a_report_too_long_to_read_whole_is_read_as_far_as_it_matters():
    """The server's words stand in front; of an endless original only the head is needed."""
    assert read(report(FAILED, original=ORIGINAL + "x" * 3 * READ_MAX)) == GONE


def test_lists_within_lists_do_not_exhaust_the_reader():
    """A mail that is all boundaries is refused like any other that is no report."""
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000))
    assert isinstance(read(nested), Refused)


HALF = report(FAILED)[:700]


@given(content=st.binary(max_size=400) | st.binary(max_size=200).map(lambda noise: HALF + noise))
def test_nothing_in_the_mailbox_breaks_the_reader(content: bytes):
    """Any bytes, also half a report, end in a value."""
    assert all(isinstance(one, MailReport | Refused) for one in REPORTS.read(content))


@given(
    contact_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}", fullmatch=True),
    other=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}", fullmatch=True),
)
def test_only_we_can_make_an_id_of_ours(contact_id: str, other: str):
    """A contact's id reads back; with any other contact, secret or domain in it, it does not."""
    made = message_id(contact_id, SENDER, SECRET)
    assert contact_of(made, SENDER, SECRET) == contact_id
    assert contact_of(made, "x@other.example", SECRET) is None
    with pytest.raises(ValueError, match="did not make"):
        contact_of(made, SENDER, SecretStr("another"))
    if other != contact_id:
        with pytest.raises(ValueError, match="did not make"):
            contact_of(made.replace(f"<{contact_id}.", f"<{other}."), SENDER, SECRET)


def test_a_dkim_key_that_is_none_is_said_at_once():
    """Neither a public key nor nonsense gets as far as a mail, and it is not printed."""
    for text in ("nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(SettingsError) as refused:
            DkimKey("lender.example", "s1", SecretStr(text))
        assert str(refused.value) == (
            "mail cannot be signed: the DKIM key is no RSA private key in PEM, or domain or selector is none\n"
            "  mend: make one with `openssl genrsa -out dkim.pem 2048`, and see `mail.dkim`"
        )


def maildir(folder: Path, **files: bytes) -> Maildir:
    for place in ("new", "cur", "tmp"):
        (folder / place).mkdir()
    for name, content in files.items():
        (folder / "new" / name).write_bytes(content)
    return Maildir(folder)


def test_a_maildir_is_read_once_and_the_oldest_first(tmp_path: Path):
    """What was taken is marked as read, also when somebody else had looked; what is gone meanwhile is no loss."""
    box = maildir(tmp_path, **{"1a": b"one", "2b": b"two" * READ_MAX})
    (tmp_path / "cur" / "0c:2,F").write_bytes(b"looked at")
    (tmp_path / "cur" / "0d:2,FS").write_bytes(b"read")
    (tmp_path / "new" / ".hidden").write_bytes(b"no mail")
    first = box.waiting(2)
    assert [(letter.key, letter.content) for letter in first] == [("cur/0c:2,F", b"looked at"), ("new/1a", b"one")]
    assert box.waiting(2) == first
    box.done([*(letter.key for letter in first), "new/vanished"])
    (rest,) = box.waiting(9)
    assert (rest.key, len(rest.content)) == ("new/2b", READ_MAX)
    assert sorted(path.name for path in (tmp_path / "cur").iterdir()) == ["0c:2,FS", "0d:2,FS", "1a:2,S"]


def test_a_maildir_that_is_not_there_is_said(tmp_path: Path):
    """A wrong folder is no empty mailbox."""
    with pytest.raises(SettingsError) as refused:
        Maildir(tmp_path / "nowhere").waiting(1)
    assert str(refused.value) == (
        f"there is no Maildir at `{tmp_path}/nowhere`\n"
        "  mend: set `mail.bounces.maildir` to the folder that holds `new` and `cur`"
    )
