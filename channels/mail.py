"""
Mail over SMTP, by `aiosmtplib`, on a few kept connections.

The conversation is driven step by step, because only one moment is in doubt: between the final dot and the
server's answer. Whatever fails before it surely sent nothing; SMTP has no key that would make a resend safe.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final

from channels.faults import broken_off
from channels.mail_connection import NAME, cleared, connect, drop, later, leave, refused
from channels.mail_message import NotMailable, compose
from channels.mail_settings import MailSettings
from channels.mail_signing import message_id
from channels.message import Message, Receipt
from channels.refusals import MailStep

if TYPE_CHECKING:
    from aiosmtplib import SMTP

__all__ = ["MailAdapter", "MailSettings"]

_SENDS_PER_CONNECTION: Final = 50
"""After so many a connection is renewed; servers limit them (OpenSMTPD: 100)."""
_IDLE_SECONDS_MAX: Final = 30
"""A connection idle for longer is taken for dead; servers close theirs after a minute or so."""
_DOT: Final = re.compile(rb"(?m)^\.")


@dataclass(slots=True)
class _Line:
    """One kept connection: how many messages it has carried, and since when (loop time) it is idle."""

    client: "SMTP"
    sends: int = 0
    idle_since: float = 0


@dataclass(slots=True)
class _Sending:
    """
    One mail on its way, as far as it is certain.

    Attributes:
        dotted: the final dot is written: from now on the server may take it.
        said: what came of it, where the conversation has come to an end.
    """

    to: str
    body: bytes = field(repr=False)
    dotted: bool = False
    said: Receipt | None = None


class MailAdapter:
    """
    Sends mail. One object serves many sends at once; it opens its connections as it needs them.

    Args:
        clock: tells the time that stands in `Date`; aware.
    """

    name = NAME

    def __init__(self, settings: MailSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._sender = settings.bounce_address or parseaddr(settings.from_address)[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[_Line] = []
        self._tls: ssl.SSLContext | None = None

    async def send(self, message: Message) -> Receipt:
        """Hand one mail to the server, once."""
        s = self._settings
        try:
            body = compose(message, from_address=s.from_address, sent_at=self._clock(), id_secret=s.id_secret)
        except NotMailable as e:
            return Receipt("failed", self.name, "", "", e.meaning, e.detail)
        if s.dkim is not None:
            body = s.dkim.signed(body)
        self._enter_loop()
        sending = _Sending(message.to, body)
        try:
            async with self._slots:
                receipt = await self._send(sending)
        except asyncio.CancelledError:
            if sending.said is None and sending.dotted:
                raise
            receipt = sending.said or broken_off(self.name)
        if receipt.status not in ("sent", "unknown"):
            return receipt
        ref = message_id(message.contact_id, s.from_address, s.id_secret)
        return Receipt(receipt.status, self.name, ref, receipt.code, receipt.meaning, receipt.detail)

    async def close(self) -> None:
        """Take leave of the server on every kept connection; the next send opens new ones."""
        lines, self._idle = self._idle, []
        await asyncio.gather(*(leave(line.client) for line in lines))

    def _enter_loop(self) -> None:
        # Connections belong to the loop they were opened in; in another one they are dead.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._idle, self._slots = loop, [], asyncio.Semaphore(self._settings.connections)

    async def _send(self, sending: _Sending) -> Receipt:
        while line := await self._kept():
            receipt, step = await self._deliver(line, sending)
            # A kept connection may have died or been used up unseen. At the first step that is certain and says
            # nothing about this message; every such line is dropped, so this ends.
            if step != "sender" or receipt.status != "retry" or line.client.is_connected:
                return receipt
        connected = await connect(self._settings, self._context)
        if isinstance(connected, Receipt):
            return connected
        return (await self._deliver(_Line(connected), sending))[0]

    def _context(self) -> ssl.SSLContext:
        # Once: it reads every certificate of the machine.
        self._tls = self._tls or ssl.create_default_context(cafile=self._settings.ca_file)
        return self._tls

    async def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            fresh = asyncio.get_running_loop().time() - line.idle_since < _IDLE_SECONDS_MAX
            if fresh and line.sends < _SENDS_PER_CONNECTION and line.client.is_connected:
                return line
            await leave(line.client)
        return None

    async def _deliver(self, line: _Line, sending: _Sending) -> tuple[Receipt, MailStep]:
        """One message on one connection, which is kept afterwards if the conversation ended in good order."""
        whole = False
        try:
            receipt, step = await self._converse(line.client, sending)
            sending.said = receipt
            line.sends += 1
            whole = receipt.status == "sent" or await cleared(line.client, receipt)
        finally:
            # Also when cancelled: a conversation broken off in the middle must never carry another message.
            if whole:
                line.idle_since = asyncio.get_running_loop().time()
                self._idle.append(line)
            else:
                drop(line.client)
        return receipt, step

    async def _converse(self, client: "SMTP", sending: _Sending) -> tuple[Receipt, MailStep]:
        from aiosmtplib import SMTPException, SMTPResponseException, SMTPTimeoutError

        step: MailStep = "sender"
        try:
            await client.mail(self._sender)
            step = "recipient"
            await client.rcpt(sending.to)
            step = "data"
            answer = await client.execute_command(b"DATA")
            if answer.code != 354:
                return refused(step, answer.code, answer.message), step
        except SMTPResponseException as e:
            return refused(step, e.code, e.message), step
        except SMTPTimeoutError:
            return later("timeout", "the mail server did not answer in time; nothing was sent"), step
        except (SMTPException, OSError):
            return later("cut", "the mail server broke off the conversation; nothing was sent"), step
        protocol = client.protocol
        if protocol is None:
            return later("cut", "the mail server broke off the conversation; nothing was sent"), step
        try:
            # `client.data()` would hide whether the connection broke before or after the final dot.
            # What an earlier connection said is over.
            sending.dotted, sending.said = True, None
            protocol.write(_DOT.sub(b"..", sending.body) + b".\r\n")
            answer = await protocol.read_response(timeout=self._settings.timeout_seconds)
        except Exception as e:  # noqa: BLE001  the message may be out, so whatever went wrong, it is in doubt
            drop(client)
            code = "timeout" if isinstance(e, TimeoutError) else "cut"
            words = "the mail server had the whole message and did not say whether it took it"
            return Receipt("unknown", self.name, "", code, "unclear", words), step
        if 200 <= answer.code < 300:
            return Receipt("sent", self.name), step
        return refused(step, answer.code, answer.message), step
