"""
Text messages through any gateway that takes signed HTTP requests, as its file describes it.

Only what the file lists as a refusal is one. An answer that is none of these, not readable, too long or missing leaves the
message in doubt.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from channels.faults import MOVED, ask, in_doubt, no_list, noticing, receipt_of_fault
from channels.gateway_lookup import found_in
from channels.gateway_sign import PLACE, compact, fill, fill_tree, number_for, sign, sorted_values, time_for
from channels.gateway_spec import Approved, Call, Gateway, Signature, Tree
from channels.message import E164, Message, Receipt, Secret, Sought
from channels.posted import CODE_MAX, REF_MAX, at_path, json_of
from channels.reports import Refused

ANSWER_MAX: Final = 65_536
"""Bytes of an answer that are read; what is longer is no answer to a text message."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out; the body is empty for GET."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class GatewayAdapter:
    """
    Sends text messages through one gateway. One object serves many at once.

    Args:
        clock: tells the time that requests are signed with; aware.
        nonce: a text that never comes twice.
        timeout_seconds: for the whole exchange; at most half of it to get a connection.
        ca_file: certificates to trust besides the machine's own.
    """

    def __init__(
        self,
        gateway: Gateway,
        account: str,
        secret: Secret,
        *,
        clock: Callable[[], datetime],
        nonce: Callable[[], str],
        timeout_seconds: float = 10,
        connections: int = 16,
        ca_file: str | None = None,
    ) -> None:
        self.name = gateway.name
        self._gateway = gateway
        self._account = account
        self._secret = secret
        self._clock = clock
        self._nonce = nonce
        self._timeout_seconds = timeout_seconds
        self._connections = connections
        self._ca_file = ca_file
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Any = None

    async def send(self, message: Message) -> Receipt:
        """Hand one text message to the gateway, once."""
        if not E164.fullmatch(message.to):
            words = "the number is not in international form (E.164)"
            return Receipt("failed", self.name, "", "", "bad_address", words)
        number = number_for(self._gateway, message.to)
        if number is None:
            return self._refused("no_route", "the gateway does not serve the number's country")
        approved = self._approved(message)
        if isinstance(approved, Receipt):
            return approved
        if not message.text.strip():
            return self._refused("", "the message has no text")
        try:
            request = self._offer(message, number, approved)
        except UnicodeError:
            return self._refused("", "the text is not text")
        try:
            session = self._open()
        except OSError:
            return Receipt(
                "retry", self.name, "", "ca_file", "misconfigured", "the gateway's `ca_file` holds no certificate"
            )
        try:
            status, body = await self._ask(session, request)
        except Exception as e:  # noqa: BLE001  the request may be out, so whatever went wrong, it is in doubt
            return receipt_of_fault(e, self.name, "send.url")
        return self._answered(status, body)

    async def find(self, sought: Sought) -> Receipt | None:
        """Look a message in doubt up in the gateway's own records, by the id that it was told; raises nothing."""
        lookup = self._gateway.lookup
        if lookup is None:
            return no_list(self.name)
        number = number_for(self._gateway, sought.to)
        if number is None:
            return None
        about = {"number": number, "contact_id": sought.contact_id}
        try:
            status, body = await self._ask(self._open(), self._request(lookup.call, lookup.signature, about, {}))
        except Exception as e:  # noqa: BLE001  nothing was sent by asking, so whatever went wrong, it is asked again
            return in_doubt(self.name, "no_answer", f"the gateway cannot be asked now ({type(e).__name__})")
        if len(body) > ANSWER_MAX:
            return in_doubt(self.name, "oversized", "the gateway's answer is too long to be read")
        return found_in(lookup, status, body, provider=self.name, contact_id=sought.contact_id, taken=sought.taken)

    async def close(self) -> None:
        """Close every connection; the next send opens new ones, in its own event loop."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _approved(self, message: Message) -> Approved | Receipt | None:
        if self._gateway.templates is None:
            return None
        approved = self._gateway.templates.get(message.template, {}).get(message.language)
        if approved is None:
            words = f"no text `{message.template}` is approved in `{message.language}` at this gateway"
            return self._refused("no_template", words)
        wanted = approved.values.values() if isinstance(approved.values, Mapping) else approved.values
        if missing := [name for name in wanted if name not in message.values]:
            return self._refused("no_value", f"the approved text says `{missing[0]}`, which this message does not")
        return approved

    def _offer(self, message: Message, number: str, approved: Approved | None) -> Request:
        said = _said(approved, message)
        values = {
            "number": number,
            "text": message.text,
            "template_id": approved.id if approved else "",
            "template_values": compact(said),
            "contact_id": message.contact_id,
        }
        call = self._gateway.send
        native = {"template_values": said} if call.encoding == "json" else {}
        return self._request(call, self._gateway.signature, values, native)

    def _request(
        self, call: Call, signature: Signature | None, about: Mapping[str, str], native: Mapping[str, Any]
    ) -> Request:
        now = time_for(self._gateway, self._clock())
        values = {**about, "account": self._account, "time": now, "nonce": self._nonce()}
        fields = {name: fill_tree(tree, values, native) for name, tree in call.fields.items() if not _signs(tree)}
        if signature is not None:
            path = urlsplit(call.url).path or "/"
            of_call = {"method": call.method, "path": path, "body": _encoded(call, fields)}
            secret = self._secret.get_secret_value()
            values["signature"] = sign(signature, values | sorted_values(fields) | of_call, secret)
            fields = {name: fill_tree(tree, values, native) for name, tree in call.fields.items()}
        headers = {name: fill(text, values) for name, text in call.headers.items()}
        if call.method == "GET":
            sign_of_query = "&" if urlsplit(call.url).query else "?"
            return Request("GET", f"{call.url}{sign_of_query}{_encoded(call, fields)}", headers, b"")
        kind = "application/json" if call.encoding == "json" else "application/x-www-form-urlencoded"
        return Request("POST", call.url, {**headers, "Content-Type": kind}, _encoded(call, fields).encode())

    async def _ask(self, session: Any, request: Request) -> tuple[int, bytes]:
        from yarl import URL

        # What was signed must go as it was signed: nothing is quoted anew.
        url = URL(request.url, encoded=True)
        given = {"method": request.method, "url": url, "headers": request.headers, "data": request.body or None}
        async with await ask(session, **given, allow_redirects=False) as answer:
            body = b""
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > ANSWER_MAX:
                    answer.close()
                    break
            return answer.status, body

    def _open(self) -> Any:
        # A session belongs to the loop it is made in; in another one it is dead.
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            from aiohttp import ClientSession, ClientTimeout, TCPConnector

            limit = ClientTimeout(total=self._timeout_seconds, connect=self._timeout_seconds / 2)
            tls = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
            connector = TCPConnector(limit=self._connections, ssl=tls)
            self._session = ClientSession(
                connector=connector, timeout=limit, middlewares=(_once,), trace_configs=[noticing()]
            )
            self._loop = loop
        return self._session

    def _answered(self, status: int, body: bytes) -> Receipt:
        answer = self._gateway.answer
        if refusal := answer.http.get(str(status)):
            return Receipt(refusal[0], self.name, "", str(status), refusal[1], refusal[2])
        if status in MOVED:
            words = "the gateway's address answers with something else; see `send.url`"
            return Receipt("retry", self.name, "", str(status), "misconfigured", words)
        if len(body) > ANSWER_MAX:
            return in_doubt(self.name, "oversized", "the gateway's answer is too long to be read")
        if 300 <= status < 400 or status >= 500:
            return in_doubt(self.name, str(status), "the gateway did not say whether it took the message")
        read = json_of(body)
        code = None if isinstance(read, Refused) else at_path(read, answer.code)
        if code is None:
            return in_doubt(self.name, "unreadable", "the gateway's answer cannot be read")
        if refusal := answer.codes.get(code):
            return Receipt(refusal[0], self.name, "", code, refusal[1], refusal[2])
        if code not in answer.sent or status >= 300:
            return in_doubt(self.name, code[:CODE_MAX], "the gateway answers with a code that its file does not list")
        ref = at_path(read, answer.ref) if answer.ref else ""
        if ref is None or (answer.ref and not ref) or len(ref) > REF_MAX:
            return in_doubt(self.name, "no_ref", "the gateway's answer has no message id")
        return Receipt("sent", self.name, ref)

    def _refused(self, code: str, detail: str) -> Receipt:
        return Receipt("failed", self.name, "", code, "misconfigured", detail)


async def _once(request: Any, handler: Any) -> Any:
    """
    aiohttp asks again by itself when a kept connection dies under a GET; a gateway would send a second text.

    It does so on two kinds of error, before they get to us; they leave here as another kind.
    """
    import aiohttp

    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as e:
        raise aiohttp.ClientError("cut") from e


def _encoded(call: Call, fields: Mapping[str, Any]) -> str:
    if call.encoding == "json":
        return compact(fields)
    return urlencode({name: compact(value) for name, value in fields.items()})


def _said(approved: Approved | None, message: Message) -> Any:
    if approved is None:
        return []
    if isinstance(approved.values, Mapping):
        return {theirs: message.values[ours] for theirs, ours in approved.values.items()}
    return [message.values[ours] for ours in approved.values]


def _signs(tree: Tree) -> bool:
    if isinstance(tree, str):
        return "signature" in PLACE.findall(tree)
    if isinstance(tree, list | dict):
        return any(_signs(part) for part in (tree.values() if isinstance(tree, dict) else tree))
    return False
