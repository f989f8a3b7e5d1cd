"""
Mail over SMTP, by `aiosmtplib`, on a few kept connections.

The conversation is driven step by step, because only one moment is in doubt: between the final dot and the
server's answer. Whatever fails before it surely sent nothing; SMTP has no key that would make a resend safe.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final, Literal

from channels.mail_message import NotMailable, compose, is_address, message_id
from channels.message import Message, Receipt, Secret
from channels.refusals import MailStep, mail_refusal
from engine.errors import Problem, SettingsError

if TYPE_CHECKING:
    from aiosmtplib import SMTP

Security = Literal["starttls", "tls", "plain"]

_SENDS_PER_CONNECTION: Final = 50
"""After so many a connection is renewed; servers limit them (OpenSMTPD: 100)."""
_IDLE_SECONDS_MAX: Final = 30
"""A connection idle for longer is taken for dead; servers close theirs after a minute or so."""
_DOT: Final = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True)
class MailSettings:
    """
    The outgoing mail server.

    Attributes:
        security: starttls: upgrade or do not send; tls: from the first byte; plain: only where an operator says so.
        from_address: `Name <address>` or the bare address.
        connections: how many are kept, and how many messages go at once.
        ca_file: certificates to trust besides the machine's own, for a server inside the house.
    Raises:
        SettingsError: a sender that is no address, or a password that would travel in clear.
    """

    host: str
    port: int
    from_address: str
    security: Security = "starttls"
    username: str | None = None
    password: Secret | None = field(default=None, repr=False)
    timeout_seconds: float = 20
    connections: int = 4
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if not is_address(parseaddr(self.from_address)[1]) or not self.from_address.isprintable():
            what = f"mail cannot be sent from `{self.from_address}`"
            raise SettingsError(Problem(what, "set `mail.from_address` to `Name <name@lender.example>`"))
        if self.username and self.security == "plain":
            what = "the mail password would travel in clear"
            raise SettingsError(Problem(what, "set `mail.security` to `starttls` or `tls`"))


@dataclass(slots=True)
class _Line:
    """One kept connection: how many messages it has carried, and since when (loop time) it is idle."""

    client: "SMTP"
    sends: int = 0
    idle_since: float = 0


class MailAdapter:
    """
    Sends mail. One object serves many sends at once; it opens its connections as it needs them.

    Args:
        clock: tells the time that stands in `Date`; aware.
    """

    name = "smtp"

    def __init__(self, settings: MailSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._sender = parseaddr(settings.from_address)[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[_Line] = []
        self._tls: ssl.SSLContext | None = None

    async def send(self, message: Message) -> Receipt:
        """Hand one mail to the server, once."""
        try:
            body = compose(message, from_address=self._settings.from_address, sent_at=self._clock())
        except NotMailable as e:
            return Receipt("failed", self.name, "", "", e.meaning, e.detail)
        self._enter_loop()
        async with self._slots:
            receipt = await self._send(message.to, body)
        if receipt.status not in ("sent", "unknown"):
            return receipt
        ref = message_id(message.contact_id, self._settings.from_address)
        return Receipt(receipt.status, self.name, ref, receipt.code, receipt.meaning, receipt.detail)

    async def close(self) -> None:
        """Take leave of the server on every kept connection; the next send opens new ones."""
        lines, self._idle = self._idle, []
        await asyncio.gather(*(_quit(line.client) for line in lines))

    def _enter_loop(self) -> None:
        # Connections belong to the loop they were opened in; in another one they are dead.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._idle, self._slots = loop, [], asyncio.Semaphore(self._settings.connections)

    async def _send(self, to: str, body: bytes) -> Receipt:
        while line := await self._kept():
            receipt, step = await self._deliver(line, to, body)
            # A kept connection may have died or been used up unseen. At the first step that is certain and says
            # nothing about this message; every such line is dropped, so this ends.
            if step != "sender" or receipt.status != "retry" or line.client.is_connected:
                return receipt
        connected = await self._connect()
        if isinstance(connected, Receipt):
            return connected
        return (await self._deliver(_Line(connected), to, body))[0]

    async def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            fresh = asyncio.get_running_loop().time() - line.idle_since < _IDLE_SECONDS_MAX
            if fresh and line.sends < _SENDS_PER_CONNECTION and line.client.is_connected:
                return line
            await _quit(line.client)
        return None

    async def _deliver(self, line: _Line, to: str, body: bytes) -> tuple[Receipt, MailStep]:
        """One message on one connection, which is kept afterwards if the conversation ended in good order."""
        whole = False
        try:
            receipt, step = await self._converse(line.client, to, body)
            line.sends += 1
            whole = receipt.status == "sent" or await _cleared(line.client, receipt)
        finally:
            # Also when cancelled: a conversation broken off in the middle must never carry another message.
            if whole:
                line.idle_since = asyncio.get_running_loop().time()
                self._idle.append(line)
            else:
                line.client.close()
        return receipt, step

    async def _converse(self, client: "SMTP", to: str, body: bytes) -> tuple[Receipt, MailStep]:
        from aiosmtplib import SMTPException, SMTPResponseException, SMTPTimeoutError

        step: MailStep = "sender"
        try:
            await client.mail(self._sender)
            step = "recipient"
            await client.rcpt(to)
            step = "data"
            answer = await client.execute_command(b"DATA")
            if answer.code != 354:
                return self._refused(step, answer.code, answer.message), step
        except SMTPResponseException as e:
            return self._refused(step, e.code, e.message), step
        except SMTPTimeoutError:
            return self._later("timeout", "the mail server did not answer in time; nothing was sent"), step
        except (SMTPException, OSError):
            return self._later("cut", "the mail server broke off the conversation; nothing was sent"), step
        protocol = client.protocol
        if protocol is None:
            return self._later("cut", "the mail server broke off the conversation; nothing was sent"), step
        try:
            # `client.data()` would hide whether the connection broke before or after the final dot.
            protocol.write(_DOT.sub(b"..", body) + b".\r\n")
            answer = await protocol.read_response(timeout=self._settings.timeout_seconds)
        except Exception as e:  # noqa: BLE001  the message may be out, so whatever went wrong, it is in doubt
            client.close()
            code = "timeout" if isinstance(e, TimeoutError) else "cut"
            words = "the mail server had the whole message and did not say whether it took it"
            return Receipt("unknown", self.name, "", code, "unclear", words), step
        if 200 <= answer.code < 300:
            return Receipt("sent", self.name), step
        return self._refused(step, answer.code, answer.message), step

    async def _connect(self) -> "SMTP | Receipt":
        from aiosmtplib import (
            SMTP,
            SMTPAuthenticationError,
            SMTPConnectError,
            SMTPException,
            SMTPResponseException,
            SMTPServerDisconnected,
            SMTPTimeoutError,
        )

        s = self._settings
        try:
            if self._tls is None and s.security != "plain":
                self._tls = ssl.create_default_context(cafile=s.ca_file)
            client = SMTP(
                hostname=s.host,
                port=s.port,
                username=s.username,
                password=s.password.get_secret_value() if s.password else None,
                timeout=s.timeout_seconds,
                use_tls=s.security == "tls",
                # Never None, which goes on in clear where a server does not offer STARTTLS.
                start_tls=s.security == "starttls",
                tls_context=self._tls,
            )
            await client.connect()
        except SMTPResponseException as e:
            return self._refused("auth" if isinstance(e, SMTPAuthenticationError) else "connect", e.code, e.message)
        except (SMTPConnectError, SMTPServerDisconnected, SMTPTimeoutError) as e:
            if isinstance(e.__cause__, ssl.SSLError):
                return self._ours("tls", "the mail server's certificate or encryption is not accepted")
            return self._later("unreachable", "the mail server cannot be reached")
        except SMTPException:
            return self._ours("not_offered", "the mail server offers no STARTTLS or no login of a kind we know")
        except ssl.SSLError:
            return self._ours("tls", "the mail server's certificate or encryption is not accepted")
        except FileNotFoundError:
            return self._ours("ca_file", "the file of `mail.ca_file` is not there")
        except (OSError, ValueError):
            return self._later("unreachable", "the mail server cannot be reached")
        return client

    def _refused(self, step: MailStep, code: int, text: str) -> Receipt:
        status, meaning, words = mail_refusal(step, code, text)
        enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", text)
        return Receipt(status, self.name, "", f"{code} {enhanced[0]}" if enhanced else str(code), meaning, words)

    def _later(self, code: str, words: str) -> Receipt:
        return Receipt("retry", self.name, "", code, "try_later", words)

    def _ours(self, code: str, words: str) -> Receipt:
        return Receipt("retry", self.name, "", code, "misconfigured", words)


async def _cleared(client: "SMTP", receipt: Receipt) -> bool:
    """Whether a connection can carry another message after a refusal."""
    if not client.is_connected:
        return False
    if receipt.code.startswith(("421", "452")):
        # Too many messages on this connection, or the server is closing: a new one may pass.
        await _quit(client)
        return False
    with suppress(Exception):
        await client.rset()
        return True
    return False


async def _quit(client: "SMTP") -> None:
    with suppress(Exception):
        await client.quit(timeout=1)
    client.close()
