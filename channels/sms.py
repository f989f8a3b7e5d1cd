"""
Text messages through Twilio's REST API, by their own asynchronous client.

The interface has no idempotency key, so a send happens once: a refusal (4xx) is sure, a connection that
was never made is sure, and everything else that is not a plain yes is `unknown`.
"""

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from channels.message import Meaning, Message, Receipt, Secret, Status
from channels.refusals import twilio_refusal
from engine.errors import Problem, SettingsError

TEXT_MAX: Final = 1600
"""Characters the provider takes; beyond that it refuses the message (code 21617)."""
VALID_SECONDS_MAX: Final = 36_000
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")

# The client logs request lines; a list request has the addressee's number in it.
_SILENT: Final = logging.getLogger("channels.sms.client")
_SILENT.disabled = True


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """
    The provider account.

    Attributes:
        from_number: sender in E.164, or use a messaging service; exactly one of the two.
        base_url: another address than the provider's own, for a stand-in.
        timeout_seconds: for the whole exchange; at most half of it to get a connection.
        callback_url: where the provider reports what became of a message; our contact id is added
            as `?contact=`, so that the report settles a send whose answer was lost. Empty: no reports.
    Raises:
        SettingsError: no sender, or two.
    """

    account_sid: str
    auth_token: Secret = field(repr=False)
    from_number: str | None = None
    messaging_service_sid: str | None = None
    base_url: str | None = None
    timeout_seconds: float = 10
    callback_url: str = ""

    def __post_init__(self) -> None:
        if bool(self.from_number) == bool(self.messaging_service_sid):
            what = "text messages have no sender" if not self.from_number else "text messages have two senders"
            mend = "set either `sms.from_number` or `sms.messaging_service_sid`"
            raise SettingsError(Problem(what, mend))


class SmsAdapter:
    """Sends text messages. One object serves many sends at once; it opens its connections at the first."""

    name = "twilio"

    def __init__(self, settings: SmsSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: Any = None
        self._client: Any = None

    async def send(self, message: Message) -> Receipt:
        """Hand one text message to the provider, once."""
        if not _E164.fullmatch(message.to):
            return self._refused("failed", "bad_address", "", "the number is not in international form (E.164)")
        if not message.text.strip():
            return self._refused("failed", "misconfigured", "", "the message has no text")
        if len(message.text) > TEXT_MAX:
            return self._refused("failed", "misconfigured", "", f"the text is longer than {TEXT_MAX} characters")
        from twilio.base.exceptions import TwilioRestException, TwilioServiceException

        try:
            answer = await self._open().messages.create_async(**self._parameters(message))
            if not (answer.sid and answer.sid.startswith(("SM", "MM"))):
                return self._unknown("no_sid", "the provider's answer has no message id")
            if answer.error_code:
                status, meaning, words = twilio_refusal(int(answer.error_code))
                return Receipt(status, self.name, answer.sid, str(answer.error_code), meaning, words)
        except (TwilioRestException, TwilioServiceException) as e:
            return self._answered(int(e.status), e.code)
        except Exception as e:  # noqa: BLE001  the request may be out, so whatever went wrong, it is in doubt
            return self._broken(e)
        return Receipt("sent", self.name, answer.sid)

    async def close(self) -> None:
        """Close every connection; the next send opens new ones, in its own event loop."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.close()

    def _open(self) -> Any:
        # The client's session belongs to the loop it is made in; in another one it is dead.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            from twilio.rest import Client

            self._loop, self._http = loop, _http_client(self._settings.timeout_seconds)
            self._client = Client(
                self._settings.account_sid,
                self._settings.auth_token.get_secret_value(),
                http_client=self._http,
                # An empty mapping would let TWILIO_REGION and TWILIO_EDGE of the process rewrite the host.
                environment={"DUECOURSE": "1"},
            )
            if self._settings.base_url:
                self._client.api.base_url = self._settings.base_url.rstrip("/")
        return self._client

    def _parameters(self, message: Message) -> dict[str, Any]:
        settings = self._settings
        parameters: dict[str, Any] = {"to": message.to, "body": message.text}
        if settings.messaging_service_sid:
            parameters["messaging_service_sid"] = settings.messaging_service_sid
        else:
            parameters["from_"] = settings.from_number
        if settings.callback_url:
            sign = "&" if urlsplit(settings.callback_url).query else "?"
            parameters["status_callback"] = f"{settings.callback_url}{sign}contact={message.contact_id}"
        if message.valid_seconds is not None:
            # A text that waits in a queue past its hour would arrive when nobody may be disturbed.
            parameters["validity_period"] = max(1, min(message.valid_seconds, VALID_SECONDS_MAX))
        return parameters

    def _answered(self, http_status: int, code: int | None) -> Receipt:
        if http_status >= 500:
            return self._unknown(str(http_status), "the provider broke while it had the message")
        if http_status < 400:
            words = "the provider's address answers with something else; see `sms.base_url`"
            return self._refused("retry", "misconfigured", str(http_status), words)
        status, meaning, words = twilio_refusal(code, http_status)
        return self._refused(status, meaning, str(code or http_status), words)

    def _broken(self, error: Exception) -> Receipt:
        import aiohttp

        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
            words = "the provider's certificate is not trusted"
            return self._refused("retry", "misconfigured", "tls", words)
        if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
            return self._refused("retry", "misconfigured", "url", "`sms.base_url` is no address")
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return self._refused("retry", "try_later", "unreachable", "the provider cannot be reached")
        if isinstance(error, TimeoutError):
            return self._unknown("timeout", "the provider did not answer in time")
        if isinstance(error, aiohttp.ClientError):
            return self._unknown("cut", "the connection broke while the provider had the message")
        return self._unknown("unreadable", f"the provider's answer cannot be read ({type(error).__name__})")

    def _refused(self, status: Status, meaning: Meaning, code: str, detail: str) -> Receipt:
        return Receipt(status, self.name, "", code, meaning, detail)

    def _unknown(self, code: str, detail: str) -> Receipt:
        return Receipt("unknown", self.name, "", code, "unclear", detail)


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
        return await self._session.request(**{**given, "headers": headers | login, "timeout": self._limit})

    async def close(self) -> None:
        await self._session.close()


def _http_client(timeout_seconds: float) -> Any:
    from aiohttp import ClientSession, ClientTimeout
    from twilio.http.async_http_client import AsyncTwilioHttpClient

    # max_retries stays None: it would send an accepted message again after a 503.
    http = AsyncTwilioHttpClient(pool_connections=False, logger=_SILENT, max_retries=None)
    limit = ClientTimeout(total=timeout_seconds, connect=timeout_seconds / 2)
    http.session = _TimedSession(ClientSession(), limit)
    return http
