"""
A text-message and call provider on loopback: Twilio's endpoints with state, refusals and faults.

Speaks the real protocol (form-encoded requests, JSON answers, basic authentication, signed callbacks), so that the
adapter runs the very code it runs in production. Ids follow from a seed and a counter: the same run gives the same ids.
"""

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

from channels.testing.served import Served
from channels.testing.twilio_wire import answer, cut, page, post_signed, refusal

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware


ACCOUNT_SID: Final = "AC" + "d0" * 16
AUTH_TOKEN: Final = "not-a-secret"  # noqa: S105  the stand-in's own
FROM_NUMBER: Final = "+15005550006"

Fault = int | Literal["hang", "drop", "drop_after_accept", "html", "no_json"]
"""
What happens instead of a plain yes: an error code below 1000 is an HTTP status, any other a refusal with
that provider code. drop: the connection is cut before the message is taken; drop_after_accept: after.
hang: no answer. html: a gateway's error page with 502. no_json: taken, answered with something unreadable.
"""
Judge = Callable[[str, int], Fault | None]
"""(number, how many sends to it so far, from 1) -> a fault, or None; for seeded simulations."""

# The provider's own magic numbers for tests.
_MAGIC_TO: Final[Mapping[str, Fault]] = {
    "+15005550001": 21211, "+15005550002": 21612, "+15005550003": 21408, "+15005550004": 21610, "+15005550009": 21614,
}  # fmt: skip
_MAGIC_FROM: Final[Mapping[str, Fault]] = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
_FINAL: Final = ("delivered", "undelivered", "failed", "canceled", "completed", "busy", "no-answer")
_STOP: Final = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT")
_START: Final = ("START", "YES", "UNSTOP")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request the provider got: what it names in its form, or for a list in its address."""

    method: str
    path: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    One message or call the provider took.

    Attributes:
        contact: the id our callback URL carried.
        body: the text, or what the call does (TwiML).
        created_at: seconds since 1970.
    """

    sid: str
    to: str
    sender: str
    body: str
    contact: str
    callback: str
    status: str = "queued"
    error_code: int | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0

    @property
    def is_call(self) -> bool:
        """Whether it is a call."""
        return self.sid.startswith("CA")


class FakeProvider(Served):
    """
    The stand-in. `with FakeProvider() as provider: ... provider.base_url`; it runs in a thread of its own.

    Args:
        seed: names the run; ids follow from it.
        judge: decides faults beyond those of `fault` and the magic numbers.
        latency_seconds: how long every answer takes.
        clock: seconds since 1970, for the times it writes into lists.
    """

    def __init__(
        self,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        *,
        seed: int = 0,
        judge: Judge | None = None,
        latency_seconds: float = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.opted_out: set[str] = set()
        self.requests = 0
        self.asked: list[Asked] = []
        self._seed = seed
        self._judge = judge
        self._latency = latency_seconds
        self._clock = clock
        self._faults: dict[str, deque[Fault] | Fault] = {}
        self._tries: dict[str, int] = defaultdict(int)
        self._taken: dict[str, Accepted] = {}
        self._lock = threading.Lock()
        self._of_contact: dict[str, list[str]] = defaultdict(list)

    @property
    def accepted(self) -> list[Accepted]:
        """Every message taken, in order."""
        with self._lock:
            return [taken for taken in self._taken.values() if not taken.is_call]

    @property
    def calls(self) -> list[Accepted]:
        """Every call taken, in order."""
        with self._lock:
            return [taken for taken in self._taken.values() if taken.is_call]

    def of_contact(self, contact_id: str) -> list[Accepted]:
        """The messages and calls taken for one contact of ours; more than one is a contact made twice."""
        with self._lock:
            return [self._taken[sid] for sid in self._of_contact.get(contact_id, ())]

    def fault(self, to: str, *faults: Fault, always: bool = False) -> None:
        """Let sends to a number fail: with each fault once, in order, or `always` with the one given."""
        with self._lock:
            self._faults[to] = faults[0] if always else deque(faults)

    def report(
        self, sid: str, status: str = "delivered", error_code: int | None = None, *, answered_by: str = ""
    ) -> int | None:
        """
        Move a message or call on and post the status callback, if its sender asked for one.

        Returns:
            the HTTP status our side answered with; None when no callback was asked for.
        """
        with self._lock:
            taken = self._taken[sid]
            if taken.status in _FINAL:
                raise ValueError(f"{sid} is already {taken.status}")
            taken = self._taken[sid] = replace(taken, status=status, error_code=error_code)
        if not taken.callback:
            return None
        form = self._call_form(taken) if taken.is_call else self._message_form(taken)
        more = {"ErrorCode": str(error_code or ""), "AnsweredBy": answered_by}
        return self._post(taken.callback, form | {name: value for name, value in more.items() if value})[0]

    def press(self, sid: str, key: str) -> tuple[int, str]:
        """
        Press a key in a call, where it asks for one.

        Returns:
            the HTTP status our side answered with, and what the call does next.
        """
        with self._lock:
            taken = self._taken[sid]
        gather = ET.fromstring(taken.body).find("Gather")  # noqa: S314  our own TwiML
        assert gather is not None, "the call asks for no key"
        return self._post(
            gather.get("action", ""), {**self._call_form(taken), "CallStatus": "in-progress", "Digits": key}
        )

    def text_in(self, url: str, sender: str, body: str, *, to: str = FROM_NUMBER) -> int:
        """
        Let somebody write to us: the provider obeys STOP and START itself, and posts what was written.

        Returns:
            the HTTP status our side answered with.
        """
        word = body.strip().upper()
        form = {
            "MessageSid": self._sid("SM", f"in:{sender}:{body}"), "SmsStatus": "received", "From": sender, "To": to,
            "Body": body, "NumMedia": "0", "NumSegments": "1", "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
        }  # fmt: skip
        if word in _STOP:
            self.opted_out.add(sender)
            form["OptOutType"] = "STOP"
        elif word in _START:
            self.opted_out.discard(sender)
            form["OptOutType"] = "START"
        elif word in ("HELP", "INFO"):
            form["OptOutType"] = "HELP"
        return self._post(url, form)[0]

    def _post(self, url: str, form: Mapping[str, str]) -> tuple[int, str]:
        return self.run(post_signed(self.auth_token, url, form))

    def application(self) -> "web.Application":
        """The provider's endpoints."""
        from aiohttp import web

        app = web.Application(middlewares=[self._admit])
        root = f"/2010-04-01/Accounts/{self.account_sid}"
        for kind in ("Messages", "Calls"):
            app.router.add_post(f"{root}/{kind}.json", self._create)
            app.router.add_get(f"{root}/{kind}.json", self._list)
            app.router.add_get(f"{root}/{kind}/{{sid}}.json", self._fetch)
        return app

    @property
    def _admit(self) -> "Middleware":
        from aiohttp import web

        @web.middleware
        async def admit(request: web.Request, handler: "Handler") -> web.StreamResponse:
            fields = (await request.post()) if request.method == "POST" else request.query
            self.asked.append(Asked(request.method, request.path, tuple((k, str(v)) for k, v in fields.items())))
            return self._unauthorised(request) or await handler(request)

        return admit

    async def _create(self, request: "web.Request") -> "web.StreamResponse":
        self.requests += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self._latency:
            await asyncio.sleep(self._latency)
        fault = self._verdict(form)
        if fault == "hang":
            await self.stopping.wait()
        if fault == "drop":
            cut(request)
        elif fault == "html":
            return answer(502, text="<html><body>502 Bad Gateway</body></html>", content_type="text/html")
        elif isinstance(fault, int):
            return refusal(fault)
        taken = self._take(form)
        if fault == "drop_after_accept":
            cut(request)
        if fault == "no_json":
            return answer(201, text="taken", content_type="text/plain")
        return answer(201, self._public(taken))

    async def _list(self, request: "web.Request") -> "web.StreamResponse":
        to, sender = request.query.get("To"), request.query.get("From")
        is_call = request.path.endswith("/Calls.json")
        found = reversed(self.calls if is_call else self.accepted)
        shown = [self._public(m) for m in found if to in (None, m.to) and sender in (None, m.sender)]
        return page(request, "calls" if is_call else "messages", shown)

    async def _fetch(self, request: "web.Request") -> "web.StreamResponse":
        with self._lock:
            taken = self._taken.get(request.match_info["sid"])
        return answer(200, self._public(taken)) if taken else refusal(20404)

    def _unauthorised(self, request: "web.Request") -> "web.Response | None":
        told = request.headers.get("Authorization", "").removeprefix("Basic ")
        known = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        return None if hmac.compare_digest(told, known) else refusal(20003)

    def _verdict(self, form: Mapping[str, str]) -> Fault | None:
        to, sender = form.get("To", ""), form.get("From", "")
        if not form.get("Body") and "Twiml" not in form:
            return 21602
        if len(form.get("Body", "")) > 1600:
            return 21617
        if not sender and not form.get("MessagingServiceSid"):
            return 21603
        with self._lock:
            self._tries[to] += 1
            told = self._faults.get(to)
            if isinstance(told, deque):
                told = told.popleft() if told else None
            nth = self._tries[to]
        if told is None:
            told = _MAGIC_FROM.get(sender) or _MAGIC_TO.get(to) or (21610 if to in self.opted_out else None)
        if told is None and not (to.startswith("+") and to[1:].isdecimal()):
            told = 21211
        return told if told is not None or self._judge is None else self._judge(to, nth)

    def _take(self, form: Mapping[str, str]) -> Accepted:
        callback, is_call = form.get("StatusCallback", ""), "Twiml" in form
        contact = parse_qs(urlsplit(callback).query).get("contact", [""])[0]
        with self._lock:
            sid = self._sid("CA" if is_call else "SM", str(len(self._taken)))
            taken = self._taken[sid] = Accepted(
                sid, form["To"], form.get("From", ""), form["Twiml" if is_call else "Body"], contact, callback,
                "accepted" if form.get("MessagingServiceSid") else "queued", form=form, created_at=self._clock(),
            )  # fmt: skip
            self._of_contact[contact].append(sid)
        return taken

    def _sid(self, kind: str, name: str) -> str:
        return kind + hashlib.sha256(f"{self._seed}:{name}".encode()).hexdigest()[:32]

    def _public(self, taken: Accepted) -> dict[str, Any]:
        now = formatdate(taken.created_at)
        kind = "Calls" if taken.is_call else "Messages"
        uri = f"/2010-04-01/Accounts/{self.account_sid}/{kind}/{taken.sid}"
        said = {
            "sid": taken.sid, "account_sid": self.account_sid, "api_version": "2010-04-01", "to": taken.to,
            "from": taken.sender or None, "direction": "outbound-api", "status": taken.status, "price": None,
            "price_unit": "USD", "date_created": now, "date_updated": now, "uri": f"{uri}.json",
        }  # fmt: skip
        if taken.is_call:
            return said | {"start_time": None, "end_time": None, "duration": None, "answered_by": None}
        return said | {
            "body": taken.body, "messaging_service_sid": taken.form.get("MessagingServiceSid"),
            "error_code": taken.error_code, "error_message": None, "num_media": "0", "num_segments": "1",
            "date_sent": None if taken.status == "queued" else now, "subresource_uris": {"media": f"{uri}/Media.json"},
        }  # fmt: skip

    def _message_form(self, taken: Accepted) -> dict[str, str]:
        return {
            "MessageSid": taken.sid, "SmsSid": taken.sid, "MessageStatus": taken.status,
            "To": taken.to, "From": taken.sender, "AccountSid": self.account_sid, "ApiVersion": "2010-04-01",
        }  # fmt: skip

    def _call_form(self, taken: Accepted) -> dict[str, str]:
        return {
            "CallSid": taken.sid, "CallStatus": taken.status, "Direction": "outbound-api", "To": taken.to,
            "From": taken.sender, "AccountSid": self.account_sid, "ApiVersion": "2010-04-01",
            "CallbackSource": "call-progress-events", "SequenceNumber": "0",
            "Timestamp": formatdate(self._clock(), usegmt=True),
        }  # fmt: skip
