"""Twilio's own asynchronous client, bounded in time and connections, and what its errors say for certain."""

import asyncio
import logging
from typing import Any, Final

from channels.faults import MOVED, ask, in_doubt, noticing, receipt_of_fault
from channels.message import Receipt, Secret
from channels.refusals import twilio_refusal

NAME: Final = "twilio"

_UNSURE: Final = (408, 409)
"""
Refusals that are not sure without a code of theirs: whatever stands in between may say that it waited too long for an
answer, or that the same had come already.
"""

# The client logs request lines; a list request has the addressee's number in it.
_SILENT: Final = logging.getLogger("channels.twilio_client.library")
_SILENT.disabled = True


class TwilioClient:
    """
    Opens the client at its first use, in the event loop of that moment.

    Args:
        base_url: another address than the provider's own, for a stand-in.
        timeout_seconds: for a whole exchange; at most half of it to get a connection.
        connections: how many are open at once.
    """

    def __init__(
        self, account_sid: str, auth_token: Secret, *, base_url: str | None, timeout_seconds: float, connections: int
    ) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._connections = connections
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: Any = None
        self._client: Any = None

    def open(self) -> Any:
        """The client: `twilio.rest.Client`."""
        # The client's session belongs to the loop it is made in; in another one it is dead.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            from twilio.rest import Client

            self._loop, self._http = loop, _http_client(self._timeout_seconds, self._connections)
            self._client = Client(
                self._account_sid,
                self._auth_token.get_secret_value(),
                http_client=self._http,
                # An empty mapping would let TWILIO_REGION and TWILIO_EDGE of the process rewrite the host.
                environment={"DUECOURSE": "1"},
            )
            if self._base_url:
                self._client.api.base_url = self._base_url.rstrip("/")
        return self._client

    async def close(self) -> None:
        """Close every connection; the next use opens new ones, in its own event loop."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.close()


def receipt_of_error(error: Exception) -> Receipt:
    """What a failed request says: refused for sure, never made, or in doubt."""
    from twilio.base.exceptions import TwilioRestException, TwilioServiceException

    if isinstance(error, (TwilioRestException, TwilioServiceException)):
        return _answered(int(error.status), error.code)
    return receipt_of_fault(error, NAME, "sms.base_url")


def _answered(http_status: int, code: int | None) -> Receipt:
    if http_status >= 500:
        return in_doubt(NAME, str(http_status), "the provider broke while it had the message")
    if http_status in MOVED:
        words = "the provider's address answers with something else; see `sms.base_url`"
        return Receipt("retry", NAME, "", str(http_status), "misconfigured", words)
    if http_status < 400 or (http_status in _UNSURE and (code is None or code == http_status)):
        return in_doubt(NAME, str(http_status), "the provider's address did not say whether it took the message")
    status, meaning, words = twilio_refusal(code, http_status)
    return Receipt(status, NAME, "", str(code or http_status), meaning, words)


class _TimedSession:
    """
    An aiohttp session whose every request is bounded.

    Twilio's client accepts a timeout and then ignores it, and handing None on switches aiohttp's own off
    as well: a silent server would hang the task for ever. Connecting (and waiting for a free connection)
    has a bound of its own, because running out of time there is sure: nothing was sent.
    """

    def __init__(self, session: Any, limit: Any) -> None:
        self._session = session
        self._limit = limit

    async def request(self, *, auth: Any, headers: dict[str, str], **given: Any) -> Any:
        # aiohttp wants credentials as a header and warns about `auth`; Twilio's client still hands it `auth`.
        login = {"Authorization": auth.encode()} if auth else {}
        return await ask(self._session, **{**given, "headers": headers | login, "timeout": self._limit})

    async def close(self) -> None:
        await self._session.close()


def _http_client(timeout_seconds: float, connections: int) -> Any:
    from aiohttp import ClientSession, ClientTimeout, TCPConnector
    from twilio.http.async_http_client import AsyncTwilioHttpClient

    # max_retries stays None: it would send an accepted message again after a 503.
    http = AsyncTwilioHttpClient(pool_connections=False, logger=_SILENT, max_retries=None)
    limit = ClientTimeout(total=timeout_seconds, connect=timeout_seconds / 2)
    session = ClientSession(connector=TCPConnector(limit=connections), trace_configs=[noticing()])
    http.session = _TimedSession(session, limit)
    return http
