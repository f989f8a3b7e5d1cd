"""
A text-message gateway on loopback: the invented one of `gateway_example.yaml`, with state, refusals and faults.

It checks signatures by itself, so that a mistake in ours does not cancel out.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from channels.testing.served import Served

if TYPE_CHECKING:
    from aiohttp import web

ACCOUNT: Final = "lender-7"
SECRET: Final = "freedonian-secret"  # noqa: S105  the stand-in's own

Fault = str | int
"""
What happens instead of a plain yes: a number is an HTTP status; hang, drop, redirect, or one of `_TAKEN`; any other text is
one of the gateway's codes, said with HTTP 200. drip: an answer that comes a byte at a time for ever. done_elsewhere:
taken, and redirected.
"""
_TAKEN: Final = ("drop_after_accept", "html", "nothing", "done_elsewhere", "drip", "oversized", "no_id")


@dataclass(frozen=True, slots=True)
class Taken:
    """One message the gateway took."""

    ref: str
    contact: str
    fields: dict[str, Any]


class FakeGateway(Served):
    """The stand-in. `with FakeGateway() as gateway: ... gateway.base_url`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.requests = 0
        self.taken: list[Taken] = []
        self._faults: dict[str, Fault] = {}
        self._nonces: set[str] = set()
        self._of_contact: dict[str, list[Taken]] = defaultdict(list)
        self._ended: dict[str, tuple[str, str]] = {}
        self.queries: Fault | None = None
        """What happens instead of an answer to a question about a message, as with `fault`."""

    def end(self, ref: str, stat: str, err: str = "") -> None:
        """Let a message end with a word and a code in its own records."""
        self._ended[ref] = (stat, err)

    def fault(self, phone: str, fault: Fault) -> None:
        """Let sends to a number (as the gateway writes it) end otherwise; `*` is every number."""
        self._faults[phone] = fault

    def of_contact(self, contact_id: str) -> list[Taken]:
        """The messages taken for one contact of ours; more than one is a message sent twice."""
        return list(self._of_contact.get(contact_id, ()))

    def report(self, url: str, *reports: dict[str, str], secret: str = SECRET) -> tuple[int, str]:
        """Post receipts, signed; returns the HTTP status and what was answered."""
        body = json.dumps({"reports": reports}).encode()
        headers = {"Content-Type": "application/json", "X-Sign": _hmac(body.decode(), secret)}
        return self.run(_post(url, body, headers))

    def reply(self, url: str, mobile: str, content: str, *, secret: str = SECRET) -> tuple[int, str]:
        """Post what somebody wrote, signed; returns the HTTP status and what was answered."""
        from urllib.parse import urlencode

        signed = f"77{mobile}{content}{secret}".encode()
        sign = hashlib.md5(signed, usedforsecurity=False).hexdigest().upper()
        form = {"mobile": mobile, "destcode": "106900", "content": content, "id": "77", "sign": sign}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.run(_post(url, urlencode(form).encode(), headers))

    def application(self) -> "web.Application":
        """One address, and one next door that must never be asked."""
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/v2/send", self._send)
        app.router.add_route("*", "/elsewhere", self._send)
        app.router.add_route("*", "/v2/query", self._query)
        return app

    async def _send(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        self.requests += 1
        fields = json.loads(await request.text())
        if refused := self._refused(request, fields):
            return web.json_response({"code": refused, "msg": "refused"})
        fault = self._faults.get(fields["phone"]) or self._faults.get("*")
        if fault == "hang":
            await self.stopping.wait()
        if fault == "drop":
            return _cut(request)
        if fault == "redirect":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        if isinstance(fault, int):
            return web.json_response({"msg": "refused"}, status=fault)
        if fault is not None and fault not in _TAKEN:
            return web.json_response({"code": fault, "msg": "refused"})
        taken = Taken(f"F{len(self.taken)}", fields["outId"], fields)
        self.taken.append(taken)
        self._of_contact[taken.contact].append(taken)
        return await self._answer(request, fault, taken)

    async def _query(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        self.requests += 1
        fields = json.loads(await request.text())
        if not self._is_signed(request, fields):
            return web.json_response({"code": "1001", "msg": "refused"})
        if self.queries == "hang":
            await self.stopping.wait()
        if self.queries == "html":
            return web.Response(text="<html>OK</html>", content_type="text/html")
        if self.queries is not None:
            return web.json_response({"code": str(self.queries), "msg": "refused"})
        # As some do, it answers with everything that went to the number.
        listed = [one for one in self.taken if one.fields["phone"] == fields["phone"]]
        messages = []
        for one in listed:
            stat, err = self._ended.get(one.ref, ("ENROUTE", ""))
            messages.append({"outId": one.contact, "msgId": one.ref, "stat": stat, "err": err})
        return web.json_response({"code": 0, "data": {"messages": messages}})

    async def _answer(self, request: "web.Request", fault: Fault | None, taken: Taken) -> "web.StreamResponse":
        from aiohttp import web

        if fault == "drop_after_accept":
            return _cut(request)
        if fault == "html":
            return web.Response(text="<html>OK</html>", content_type="text/html")
        if fault == "nothing":
            return web.Response()
        if fault == "done_elsewhere":
            raise web.HTTPSeeOther("/elsewhere")
        if fault == "oversized":
            return web.json_response({"code": "0", "data": {"msgId": taken.ref}, "pad": "x" * 200_000})
        if fault == "drip":
            drip = web.StreamResponse()
            await drip.prepare(request)
            while not self.stopping.is_set():
                await drip.write(b" ")
                await asyncio.sleep(0.05)
            return drip
        # A number, as some write their codes.
        return web.json_response({"code": 0, "data": {} if fault == "no_id" else {"msgId": taken.ref}})

    def _refused(self, request: "web.Request", fields: dict[str, Any]) -> str:
        if not self._is_signed(request, fields):
            return "1001"
        return "" if fields["template"] in ("SMS_1001", "SMS_1002") else "1003"

    def _is_signed(self, request: "web.Request", fields: dict[str, Any]) -> bool:
        nonce = fields["nonce"]
        text = "&".join(
            f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
            for name, value in sorted(fields.items())
            if name != "sign"
        )
        signed = hmac.compare_digest(_hmac(ACCOUNT + text, SECRET), fields["sign"])
        if not signed or request.headers.get("X-Account") != ACCOUNT or nonce in self._nonces:
            return False
        self._nonces.add(nonce)
        return True


def _hmac(text: str, secret: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


async def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    from aiohttp import ClientSession, ClientTimeout

    async with (
        ClientSession(timeout=ClientTimeout(total=10)) as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def _cut(request: "web.Request") -> "web.StreamResponse":
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut by the stand-in")
