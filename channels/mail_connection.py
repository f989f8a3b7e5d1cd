"""One connection to the outgoing mail server: opened, encrypted, logged in, cleared for the next mail, left."""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from channels.mail_settings import MailSettings
from channels.message import Receipt
from channels.refusals import MailStep, mail_refusal

if TYPE_CHECKING:
    from aiosmtplib import SMTP

NAME: Final = "smtp"


async def connect(s: MailSettings, tls: Callable[[], ssl.SSLContext]) -> "SMTP | Receipt":
    """
    A connection that is encrypted and logged in as the settings ask, or why there is none.

    Args:
        tls: gives what certificates are checked with; not asked for a plain connection.
    """
    from aiosmtplib import (
        SMTP,
        SMTPAuthenticationError,
        SMTPConnectError,
        SMTPException,
        SMTPResponseException,
        SMTPServerDisconnected,
        SMTPTimeoutError,
    )

    try:
        client = SMTP(
            hostname=s.host,
            port=s.port,
            timeout=s.timeout_seconds,
            use_tls=s.security == "tls",
            # Never None, which goes on in clear where a server does not offer STARTTLS.
            start_tls=s.security == "starttls",
            tls_context=tls() if s.security != "plain" else None,
        )
        await client.connect()
        if s.username:
            try:
                await client.login(s.username, s.password.get_secret_value() if s.password else "")
            except SMTPException:
                # The library would hang up; a server that is told so closes its side at once.
                await leave(client)
                raise
            except asyncio.CancelledError:
                drop(client)
                raise
    except SMTPResponseException as e:
        return refused("auth" if isinstance(e, SMTPAuthenticationError) else "connect", e.code, e.message)
    except (SMTPConnectError, SMTPServerDisconnected, SMTPTimeoutError) as e:
        if isinstance(e.__cause__, ssl.SSLError):
            return _ours("tls", "the mail server's certificate or encryption is not accepted")
        return later("unreachable", "the mail server cannot be reached")
    except SMTPException:
        return _ours("not_offered", "the mail server offers no STARTTLS or no login of a kind we know")
    except ssl.SSLError:
        return _ours("tls", "the mail server's certificate or encryption is not accepted")
    except FileNotFoundError:
        return _ours("ca_file", "the file of `mail.ca_file` is not there")
    except (OSError, ValueError):
        return later("unreachable", "the mail server cannot be reached")
    return client


def refused(step: MailStep, code: int, text: str) -> Receipt:
    """What a refusal at a step means."""
    status, meaning, words = mail_refusal(step, code, text)
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", text)
    return Receipt(status, NAME, "", f"{code} {enhanced[0]}" if enhanced else str(code), meaning, words)


def later(code: str, words: str) -> Receipt:
    """Nothing was sent, and later it may be."""
    return Receipt("retry", NAME, "", code, "try_later", words)


def _ours(code: str, words: str) -> Receipt:
    return Receipt("retry", NAME, "", code, "misconfigured", words)


async def cleared(client: "SMTP", receipt: Receipt) -> bool:
    """Whether a connection can carry another message after a refusal."""
    if not client.is_connected:
        return False
    if receipt.code.startswith(("421", "452")):
        # Too many messages on this connection, or the server is closing: a new one may pass.
        await leave(client)
        return False
    with suppress(Exception):
        await client.rset()
        return True
    return False


async def leave(client: "SMTP") -> None:
    """Take leave of the server."""
    transport = client.transport
    with suppress(Exception):
        await client.quit(timeout=1)
    client.close()
    _abort(transport)


def drop(client: "SMTP") -> None:
    """Break a connection off."""
    transport = client.transport
    client.close()
    _abort(transport)


def _abort(transport: asyncio.BaseTransport | None) -> None:
    # An encrypted connection waits for the other side's goodbye, for longer than our event loop may live.
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
