"""The mailbox for reports on a real IMAP server: what Dovecot answers is read as our stand-in's answers are."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from channels.bounces import READ_MAX
from channels.mailbox import Imap, Letter, Maildir
from engine.errors import SettingsError
from tests import dovecot
from tests.tls import make_certificate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dovecot.Dovecot]:
    """One server for all of these."""
    if why := dovecot.unpack():
        pytest.skip(why)
    with dovecot.running(make_certificate(tmp_path_factory.mktemp("imap"))) as running:
        yield running


def box(server: dovecot.Dovecot, **more: Any) -> Imap:
    name, password = dovecot.LOGIN
    given = {"port": server.plain, "security": "plain", "password": password, **more}
    return Imap("localhost", name, SecretStr(given.pop("password")), timeout_seconds=10, **given)


def test_mails_are_read_once_in_order_and_bounded(server: dovecot.Dovecot) -> None:
    """Reading marks nothing, `done` does, so that who reads the same mailbox as a Maildir sees it too; who is gone is no loss."""
    server.put("1.a", b"Subject: one\r\n\r\na\r\n")
    server.put("2.b", b"Subject: two\r\n\r\n" + (b"b" * 70 + b"\r\n") * (READ_MAX // 60))
    server.put("3.c", b"Subject: three\n\nbare newlines\n")
    inbox = box(server)
    first = inbox.waiting(1)
    assert [letter.content for letter in first] == [b"Subject: one\r\n\r\na\r\n"]
    assert inbox.waiting(1) == first
    inbox.done(letter.key for letter in first)
    second, third = inbox.waiting(10)
    assert len(second.content) == READ_MAX
    assert third.content == b"Subject: three\r\n\r\nbare newlines\r\n"
    inbox.done([second.key, third.key, "999999"])
    assert inbox.waiting(10) == []
    assert Maildir(server.maildir).waiting(10) == []


def test_it_is_reached_encrypted_or_not_at_all(server: dovecot.Dovecot) -> None:
    """From the first byte or by STARTTLS; a certificate that nobody vouches for ends it."""
    trusted = str(server.certificate)
    server.put("4.d", b"Subject: four\r\n\r\nd\r\n")
    found: list[list[Letter]] = []
    for security, port in (("starttls", server.plain), ("tls", server.tls)):
        found.append(box(server, security=security, port=port, ca_file=trusted).waiting(10))
        with pytest.raises(SettingsError, match=r"certificate or encryption .* is not accepted"):
            box(server, security=security, port=port).waiting(10)
    assert [[letter.content for letter in letters] for letters in found] == [[b"Subject: four\r\n\r\nd\r\n"]] * 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"password": "wr" + "ong"}, "the mailbox for reports does not let us in"),
        ({"mailbox": "Bounces"}, "there is no mailbox `Bounces` for reports of our mails"),
        ({"mailbox": "No such & place"}, "there is no mailbox `No such & place` for reports of our mails"),
    ],
)
def test_what_it_refuses_is_said_in_our_words(server: dovecot.Dovecot, more: dict[str, str], said: str) -> None:
    """A login that is wrong is told from a mailbox that is not there."""
    with pytest.raises(SettingsError) as refused:
        box(server, **more).waiting(1)
    assert refused.value.problems[0].what == said
