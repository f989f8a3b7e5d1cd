"""
A text-message provider on loopback: Twilio's message endpoints with state, refusals and faults.

Speaks the real protocol (form-encoded requests, JSON answers, basic authentication), so that the adapter
runs the very code it runs in production. Ids follow from a seed and a counter: the same run gives the same ids.
"""

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import parse_qs, urlencode, urlsplit

if TYPE_CHECKING:
    from aiohttp import web

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
_FINAL: Final = ("delivered", "undelivered", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message the provider took; `contact` is the id our callback URL carried."""

    sid: str
    to: str
    sender: str
    body: str
    contact: str
    callback: str
    status: str = "queued"
    error_code: int | None = None
    form: Mapping[str, str] = field(default_factory=dict)


class FakeProvider:
    """
    The stand-in. `with FakeProvider() as provider: ... provider.base_url`; it runs in a thread of its own.

    Args:
        seed: names the run; ids follow from it.
        judge: decides faults beyond those of `fault` and the magic numbers.
        latency_seconds: how long every answer takes.
    """

    def __init__(
        self,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        *,
        seed: int = 0,
        judge: Judge | None = None,
        latency_seconds: float = 0,
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.base_url = ""
        self.opted_out: set[str] = set()
        self.requests = 0
        self._seed = seed
        self._judge = judge
        self._latency = latency_seconds
        self._faults: dict[str, deque[Fault] | Fault] = {}
        self._tries: dict[str, int] = defaultdict(int)
        self._messages: dict[str, Accepted] = {}
        self._lock = threading.Lock()
        self._of_contact: dict[str, list[str]] = defaultdict(list)
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread: threading.Thread

    @property
    def accepted(self) -> list[Accepted]:
        """Every message taken, in order."""
        with self._lock:
            return list(self._messages.values())

    def of_contact(self, contact_id: str) -> list[Accepted]:
        """The messages taken for one contact of ours; more than one is a message sent twice."""
        with self._lock:
            return [self._messages[sid] for sid in self._of_contact.get(contact_id, ())]

    def fault(self, to: str, *faults: Fault, always: bool = False) -> None:
        """Let sends to a number fail: with each fault once, in order, or `always` with the one given."""
        with self._lock:
            self._faults[to] = faults[0] if always else deque(faults)

    def report(self, sid: str, status: str = "delivered", error_code: int | None = None) -> int | None:
        """
        Move a message on and post the status callback, if its sender asked for one.

        Returns:
            the HTTP status our side answered with; None when no callback was asked for.
        """
        with self._lock:
            message = self._messages[sid]
            if message.status in _FINAL:
                raise ValueError(f"{sid} is already {message.status}")
            message = self._messages[sid] = replace(message, status=status, error_code=error_code)
        return self._run(self._post_callback(message)) if message.callback else None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="fake-provider", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the provider stand-in did not start within 10 seconds")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, work: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(15)

    def _serve(self, ready: threading.Event) -> None:
        from aiohttp import web

        async def life() -> None:
            app = web.Application()
            root = f"/2010-04-01/Accounts/{self.account_sid}/Messages"
            app.router.add_post(f"{root}.json", self._create)
            app.router.add_get(f"{root}.json", self._list)
            app.router.add_get(root + "/{sid}.json", self._fetch)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await self._stop.wait()
            await runner.cleanup()

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(life())
        self._loop.close()

    async def _create(self, request: "web.Request") -> "web.StreamResponse":
        self.requests += 1
        if refusal := self._unauthorised(request):
            return refusal
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self._latency:
            await asyncio.sleep(self._latency)
        fault = self._verdict(form)
        if fault == "hang":
            await self._stop.wait()
        if fault == "drop":
            _cut(request)
        elif fault == "html":
            return _answer(502, text="<html><body>502 Bad Gateway</body></html>", content_type="text/html")
        elif isinstance(fault, int):
            return _refusal(fault)
        message = self._take(form)
        if fault == "drop_after_accept":
            _cut(request)
        if fault == "no_json":
            return _answer(201, text="taken", content_type="text/plain")
        return _answer(201, self._public(message))

    async def _list(self, request: "web.Request") -> "web.StreamResponse":
        if refusal := self._unauthorised(request):
            return refusal
        to, sender = request.query.get("To"), request.query.get("From")
        size = min(1000, int(request.query.get("PageSize", "50")))
        page = int(request.query.get("Page", "0"))
        found = [m for m in reversed(self.accepted) if to in (None, m.to) and sender in (None, m.sender)]
        shown = found[page * size : (page + 1) * size]
        here = {name: value for name, value in request.query.items() if name != "Page"}
        following = f"{request.path}?{urlencode({**here, 'Page': str(page + 1)})}"
        more = len(found) > (page + 1) * size
        return _answer(200, {
            "messages": [self._public(m) for m in shown], "page": page, "page_size": size, "start": page * size,
            "end": page * size + max(0, len(shown) - 1), "uri": request.path_qs, "previous_page_uri": None,
            "first_page_uri": f"{request.path}?{urlencode({**here, 'Page': '0'})}",
            "next_page_uri": following if more else None,
        })  # fmt: skip

    async def _fetch(self, request: "web.Request") -> "web.StreamResponse":
        if refusal := self._unauthorised(request):
            return refusal
        with self._lock:
            message = self._messages.get(request.match_info["sid"])
        return _answer(200, self._public(message)) if message else _refusal(20404)

    def _unauthorised(self, request: "web.Request") -> "web.Response | None":
        told = request.headers.get("Authorization", "").removeprefix("Basic ")
        known = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        return None if hmac.compare_digest(told, known) else _refusal(20003)

    def _verdict(self, form: Mapping[str, str]) -> Fault | None:
        to, sender = form.get("To", ""), form.get("From", "")
        if not form.get("Body"):
            return 21602
        if len(form["Body"]) > 1600:
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
        callback = form.get("StatusCallback", "")
        contact = parse_qs(urlsplit(callback).query).get("contact", [""])[0]
        with self._lock:
            name = f"{self._seed}:{len(self._messages)}"
            sid = "SM" + hashlib.sha256(name.encode()).hexdigest()[:32]
            message = Accepted(
                sid, form["To"], form.get("From", ""), form["Body"], contact, callback,
                "accepted" if form.get("MessagingServiceSid") else "queued", form=form,
            )  # fmt: skip
            self._messages[sid] = message
            self._of_contact[contact].append(sid)
        return message

    def _public(self, message: Accepted) -> dict[str, Any]:
        now = formatdate(time.time())
        uri = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message.sid}"
        return {
            "sid": message.sid, "account_sid": self.account_sid, "api_version": "2010-04-01", "body": message.body,
            "to": message.to, "from": message.sender or None, "direction": "outbound-api", "status": message.status,
            "messaging_service_sid": message.form.get("MessagingServiceSid"), "error_code": message.error_code,
            "error_message": None, "num_media": "0", "num_segments": "1", "price": None, "price_unit": "USD",
            "date_created": now, "date_updated": now, "date_sent": None if message.status == "queued" else now,
            "uri": f"{uri}.json", "subresource_uris": {"media": f"{uri}/Media.json"},
        }  # fmt: skip

    async def _post_callback(self, message: Accepted) -> int:
        from aiohttp import ClientSession, ClientTimeout

        form = {
            "MessageSid": message.sid, "SmsSid": message.sid, "MessageStatus": message.status,
            "To": message.to, "From": message.sender, "AccountSid": self.account_sid, "ApiVersion": "2010-04-01",
        }  # fmt: skip
        if message.error_code:
            form["ErrorCode"] = str(message.error_code)
        headers = {"X-Twilio-Signature": signature(self.auth_token, message.callback, form)}
        async with (
            ClientSession(timeout=ClientTimeout(total=10)) as session,
            session.post(message.callback, data=form, headers=headers) as answer,
        ):
            return answer.status


def signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """How the provider signs a callback: HMAC-SHA1 over the URL and the sorted form fields, in base64."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def _refusal(fault: int) -> "web.Response":
    if fault < 1000:
        return _answer(fault, {"code": 20429 if fault == 429 else 20500, "message": "refused", "status": fault})
    status = {20003: 401, 20404: 404, 20429: 429}.get(fault, 400)
    more = f"https://www.twilio.com/docs/errors/{fault}"
    return _answer(status, {"code": fault, "message": "refused", "more_info": more, "status": status})


def _answer(status: int, body: object = None, *, text: str = "", content_type: str = "") -> "web.Response":
    from aiohttp import web

    if text:
        return web.Response(status=status, text=text, content_type=content_type)
    return web.json_response(body, status=status)


def _cut(request: "web.Request") -> None:
    if request.transport is not None:
        request.transport.abort()
    # The connection is gone; nothing after this may answer.
    raise ConnectionResetError("cut by the stand-in")
