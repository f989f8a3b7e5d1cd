"""What a broken HTTP exchange says for certain: surely nothing was sent, or nobody can tell."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from channels.message import Receipt

if TYPE_CHECKING:
    from aiohttp import ClientResponse, TraceConfig

NO_LIST: Final = "no_list"
"""The code of a message in doubt that nobody can be asked about."""

MOVED: Final = (301, 307, 308)
"""Redirects that promise that nothing was done yet. The others, 302 and 303 before all, may follow work done."""


class NotHandedOver(Exception):  # noqa: N818 - it says what is certain
    """A request was broken off before any of it was written."""


@dataclass(slots=True)
class _Request:
    handed_over: bool = False


def noticing() -> "TraceConfig":
    """Lets a session notice when a request that `ask` makes has its connection: from then on it is being written."""
    from aiohttp import TraceConfig

    async def has_connection(_session: object, context: Any, _about: object) -> None:
        context.trace_request_ctx.handed_over = True

    traced = TraceConfig()
    traced.on_connection_create_end.append(has_connection)
    traced.on_connection_reuseconn.append(has_connection)
    return traced


async def ask(session: Any, **given: Any) -> "ClientResponse":
    """
    Make a request by a session that has `noticing` among its traces.

    Raises:
        NotHandedOver: cancelled while it looked the name up, waited for a connection or opened one.
    """
    request = _Request()
    try:
        answer: ClientResponse = await session.request(**given, trace_request_ctx=request)
    except asyncio.CancelledError:
        if request.handed_over:
            raise
        raise NotHandedOver from None
    return answer


def broken_off(provider: str) -> Receipt:
    """A receipt for a message that was cancelled before the provider had any of it."""
    words = "it was broken off before the provider had any of it; nothing was sent"
    return Receipt("retry", provider, "", "broken_off", "try_later", words)


def receipt_of_fault(error: Exception, provider: str, setting: str) -> Receipt:
    """
    A receipt for an exchange that ended without an answer.

    Args:
        setting: where the provider's address stands, for whoever has to mend it.
    """
    import aiohttp

    if isinstance(error, NotHandedOver):
        return broken_off(provider)
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return Receipt("retry", provider, "", "tls", "misconfigured", "the provider's certificate is not trusted")
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return Receipt("retry", provider, "", "url", "misconfigured", f"`{setting}` is no address")
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Receipt("retry", provider, "", "unreachable", "try_later", "the provider cannot be reached")
    if isinstance(error, TimeoutError):
        return in_doubt(provider, "timeout", "the provider did not answer in time")
    if isinstance(error, aiohttp.ClientError):
        return in_doubt(provider, "cut", "the connection broke while the provider had the message")
    return in_doubt(provider, "unreadable", f"the provider's answer cannot be read ({type(error).__name__})")


def in_doubt(provider: str, code: str, detail: str) -> Receipt:
    """A receipt for what may have gone out."""
    return Receipt("unknown", provider, "", code, "unclear", detail)


def no_list(provider: str) -> Receipt:
    """What is known of a message in doubt where its provider cannot be asked about it at all."""
    return in_doubt(provider, NO_LIST, "the provider keeps no list of messages that could be asked")
