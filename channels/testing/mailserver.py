"""A mail server on loopback: takes mail, refuses it or breaks off at any step, and keeps what it took."""

import asyncio
import re
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, Literal, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Step = Literal["sender", "recipient", "data", "body", "taken"]
"""
Where a fault strikes: at MAIL, at RCPT, at DATA before the text, after the text and before it is kept, or
after it is kept and before the server says so.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a step: `reply` is sent (`550 5.1.1 no such user`), or else the line is `cut` or goes `silent`."""

    step: Step
    does: str


_CONTACT: Final = re.compile(rb"^Message-ID: <([^@>.]*)[^@>]*@", re.MULTILINE | re.IGNORECASE)
CUT: Final = "cut"
SILENT: Final = "silent"


@dataclass(frozen=True, slots=True)
class Taken:
    """One mail the server took; `contact` is the id our Message-ID carried."""

    contact: str
    sender: str
    to: str
    content: bytes
    encrypted: bool
    connection: int

    @property
    def mail(self) -> EmailMessage:
        """The mail as a program reads it."""
        return message_from_bytes(self.content, policy=policy.default)


class FakeMailServer:
    """
    The stand-in. `with FakeMailServer() as server: ... server.port`; it runs in a thread of its own.

    Args:
        tls: offers STARTTLS, and nothing but STARTTLS, with this context.
        login: name and password it asks for; only with `tls`.
        sends_per_connection: refuses MAIL with 452 after so many on one connection.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        sends_per_connection: int | None = None,
    ) -> None:
        self.port = 0
        self.connections = 0
        self._taken: list[Taken] = []
        self._of_contact: dict[str, list[Taken]] = defaultdict(list)
        self._faults: dict[str, Fault] = {}
        self._limit = sends_per_connection
        self._lock = threading.Lock()
        self._silence = asyncio.Event()
        options: dict[str, Any] = {}
        if tls is not None:
            options |= {"tls_context": tls, "require_starttls": True}
        if login is not None:
            options |= {"auth_required": True, "authenticator": _authenticator(*login)}
        self._options = options
        self._controller: _Controller

    @property
    def taken(self) -> list[Taken]:
        """Every mail taken, in order."""
        with self._lock:
            return list(self._taken)

    def of_contact(self, contact_id: str) -> list[Taken]:
        """The mails taken for one contact of ours, by Message-ID; more than one is a mail sent twice."""
        with self._lock:
            return list(self._of_contact.get(contact_id, ()))

    def fault(self, to: str, step: Step, does: str) -> None:
        """Let every mail to an address end at a step; `*` is every address (the only way to refuse a sender)."""
        self._faults[to] = Fault(step, does)

    def mend(self) -> None:
        """Forget every fault."""
        self._faults.clear()

    def __enter__(self) -> Self:
        self._controller = _Controller(self, self._options)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    # What follows is called by aiosmtpd, by name, in the server's thread.

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A sender is named."""
        session_sends = getattr(session, "sends", 0)
        if self._limit is not None and session_sends >= self._limit:
            return "452 4.5.3 too many messages on this connection"
        session.sends = session_sends + 1  # type: ignore[attr-defined]
        envelope.mail_from, envelope.mail_options = address, options
        return await self.strike(server, "sender", "*") or "250 2.1.0 sender ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """An addressee is named."""
        del session, options
        if reply := await self.strike(server, "recipient", address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The whole text is here."""
        to = envelope.rcpt_tos[0]
        if reply := await self.strike(server, "body", to):
            return reply
        content = cast(bytes, envelope.content)
        named = _CONTACT.search(content)
        contact = named[1].decode() if named else ""
        number, encrypted = getattr(server, "number", 0), session.ssl is not None
        taken = Taken(contact, envelope.mail_from or "", to, content, encrypted, number)
        with self._lock:
            self._taken.append(taken)
            self._of_contact[contact].append(taken)
        return await self.strike(server, "taken", to) or "250 2.0.0 taken"

    async def strike(self, server: SMTP, step: Step, to: str) -> str:
        """The reply of the fault that stands at this step, or nothing; a cut or silent line never comes back."""
        fault = self._faults.get(to) or self._faults.get("*")
        if fault is None or fault.step != step:
            return ""
        if fault.does == CUT and server.transport is not None:
            cast(asyncio.Transport, server.transport).abort()
        if fault.does in (CUT, SILENT):
            # Losing the connection cancels this task.
            await self._silence.wait()
        return fault.does


class _Server(SMTP):
    number = 0

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  aiosmtpd finds it by this name
        server = cast(FakeMailServer, self.event_handler)
        to = self.envelope.rcpt_tos[0] if self.envelope and self.envelope.rcpt_tos else "*"
        if reply := await server.strike(self, "data", to):
            await self.push(reply)
        else:
            await super().smtp_DATA(arg)


class _Controller(Controller):
    """aiosmtpd's own wants to know the port beforehand; this one takes a free one and says which."""

    def __init__(self, server: FakeMailServer, options: Mapping[str, Any]) -> None:
        self._socket = socket.create_server((server.host, 0))
        server.port = self._socket.getsockname()[1]
        self._server = server
        super().__init__(server, hostname=server.host, port=server.port, server_hostname="localhost", **options)

    def factory(self) -> SMTP:
        smtp = _Server(self.handler, **self.SMTP_kwargs)
        self._server.connections += 1
        smtp.number = self._server.connections
        return smtp

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._socket)


def _authenticator(name: str, password: str) -> Callable[..., AuthResult]:
    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
        del server, session, envelope, mechanism
        good = (data.login, data.password) == (name.encode(), password.encode())
        return AuthResult(success=good, handled=False)

    return check
