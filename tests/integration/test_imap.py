"""The mailbox for reports over IMAP, encrypted as the settings say, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from channels.bounces import READ_MAX
from channels.mailbox import Imap
from channels.testing.imapserver import FakeImapServer
from engine.errors import SettingsError
from tests.tls import make_certificate, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def mails() -> dict[str, list[bytes]]:
    return {"INBOX": [b"Subject: one\r\n\r\na", b"Subject: two\r\n\r\n" + b"b" * READ_MAX], "Reports": []}


@pytest.fixture
def server(mails: dict[str, list[bytes]]) -> Iterator[FakeImapServer]:
    with FakeImapServer(mails) as running:
        yield running


def box(server: FakeImapServer, **more: Any) -> Imap:
    given = {"security": "plain", "username": "reports", "password": SecretStr("right"), "host": "localhost", **more}
    return Imap(port=server.port, timeout_seconds=5, **given)


def test_mails_are_read_once_and_never_whole_where_they_are_long(server: FakeImapServer):
    """Unread mails come in order, bounded; reading marks nothing, `done` does."""
    inbox = box(server)
    first = inbox.waiting(1)
    assert [(letter.key, letter.content) for letter in first] == [("1", b"Subject: one\r\n\r\na")]
    assert inbox.waiting(1) == first
    inbox.done(letter.key for letter in first)
    (second,) = inbox.waiting(10)
    assert (second.key, len(second.content)) == ("2", READ_MAX)
    inbox.done([])
    assert server.seen["INBOX"] == {1}
    assert box(server, mailbox="Reports").waiting(10) == []


@pytest.mark.parametrize("starttls", [False, True])
def test_the_mailbox_is_reached_encrypted(
    mails: dict[str, list[bytes]], certificate: tuple[Path, Path], starttls: bool
):
    """From the first byte or by STARTTLS, with a certificate that somebody vouches for, or not at all."""
    security = "starttls" if starttls else "tls"
    with FakeImapServer(mails, tls=server_context(certificate), starttls=starttls) as server:
        assert len(box(server, security=security, ca_file=str(certificate[0])).waiting(10)) == 2
        with pytest.raises(SettingsError) as refused:
            box(server, security=security).waiting(10)
    assert str(refused.value) == (
        "the certificate or encryption of the mailbox for reports is not accepted\n"
        "  mend: set `mail.bounces.ca_file` to its certificate"
    )


def test_a_mailbox_that_cannot_be_had_is_said(server: FakeImapServer):
    """A wrong password, a mailbox that is not there, and a server that is not, each in its own words."""
    with pytest.raises(SettingsError) as refused:
        box(server, password=SecretStr("wr" + "ong")).waiting(1)
    words = "the mailbox for reports does not let us in\n  mend: see `mail.bounces.username` and `password`"
    assert str(refused.value) == words
    with pytest.raises(SettingsError) as refused:
        box(server, mailbox="Bounces").waiting(1)
    assert str(refused.value) == (
        "there is no mailbox `Bounces` for reports of our mails\n"
        "  mend: set `mail.bounces.mailbox` to one of the server's"
    )
    with pytest.raises(SettingsError) as refused:
        box(server, security="starttls").waiting(1)
    assert str(refused.value) == (
        "the mailbox for reports offers no encryption\n"
        "  mend: set `mail.bounces.security` to `tls`, usually on port 993"
    )
    server.__exit__()
    with pytest.raises(SettingsError) as refused:
        box(server).waiting(1)
    assert str(refused.value) == (
        f"the mailbox for reports cannot be reached at localhost:{server.port}\n"
        "  mend: see `mail.bounces.host` and `port`, and whether it is up"
    )
    server.__enter__()
