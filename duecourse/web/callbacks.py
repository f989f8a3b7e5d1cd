"""What providers post: read and believed by `channels`, written down, answered, and handled afterwards."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from channels.message import Message
from channels.posted import Posted
from channels.reports import InboundText, KeyPressed, Refused, StatusReport
from channels.twilio_callbacks import TwilioCallbacks
from channels.voice import after_key
from duecourse.providers import TWILIO_PATH
from duecourse.web.desk import Desk
from store.tables import Contact, Person
from workflows.inbox.arriving import Received

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

log = logging.getLogger(__name__)

_STATUS: Final[Mapping[str, int]] = {"unsigned": 403, "forged": 403, "oversized": 413, "malformed": 400}
"""How it is refused. What is genuine and means nothing here is taken, so that it does not come again and again."""
_XML: Final = "text/xml"
_NOTHING: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


def add_callbacks(app: "FastAPI", desk: Desk) -> None:
    """Add an endpoint for each provider that is set up to report."""
    if desk.inward.twilio is not None:
        app.post(TWILIO_PATH, include_in_schema=False)(_twilio(desk, desk.inward.twilio))
    gateway = desk.inward.gateway
    if gateway is not None and gateway.receipts_answer is not None:
        take = _gateway(desk, "gateway receipts", gateway.receipts, gateway.receipts_answer)
        app.post("/callbacks/gateway/receipts", include_in_schema=False)(take)
    if gateway is not None and gateway.replies_answer is not None:
        take = _gateway(desk, "gateway replies", gateway.replies, gateway.replies_answer)
        app.post("/callbacks/gateway/replies", include_in_schema=False)(take)


def _twilio(desk: Desk, callbacks: TwilioCallbacks) -> "Callable[..., object]":
    from fastapi import Request, Response

    async def take(request: Request) -> Response:
        posted = await posted_of(request)
        # In a thread: the provider's library is loaded at its first use.
        read = await desk.at(partial(callbacks.read, posted))
        if isinstance(read, Refused):
            return Response(status_code=_refuse("twilio", [read]))
        await desk.at(partial(desk.keep, [read]))
        if isinstance(read, KeyPressed):
            return Response(await desk.at(partial(_next_in_call, desk, read)), media_type=_XML)
        # An empty document to a text says that we have no answer in the same breath.
        return Response(_NOTHING, media_type=_XML) if isinstance(read, InboundText) else Response(status_code=204)

    return take


def _gateway(
    desk: Desk, source: str, read: Callable[[Posted], Sequence[StatusReport | InboundText | Refused]], answer: str
) -> "Callable[..., object]":
    from fastapi import Request, Response

    async def take(request: Request) -> Response:
        found = read(await posted_of(request))
        refused = [one for one in found if isinstance(one, Refused)]
        taken: list[Received] = [one for one in found if not isinstance(one, Refused)]
        status = _refuse(source, refused) if refused else 200
        if taken:
            await desk.at(partial(desk.keep, taken))
        return Response(answer, media_type="text/plain") if taken or status < 300 else Response(status_code=status)

    return take


async def posted_of(request: "Request") -> Posted:
    """A request as adapters read it: the bytes as they came."""
    query = request.scope["query_string"].decode("latin-1")
    return Posted(await request.body(), query, {name.lower(): value for name, value in request.headers.items()})


def _refuse(source: str, refused: Sequence[Refused]) -> int:
    """Tell why in the log, by reason only; returns the status to answer with."""
    for one in refused:
        extra = {"action": "refused", "source": source, "reason": one.reason, "what": one.detail}
        log.warning("something from outside is not believed", extra=extra)
    return max((_STATUS.get(one.reason, 204) for one in refused), default=204)


def _next_in_call(desk: Desk, pressed: KeyPressed) -> str:
    """What a call does after a key: it says who calls, for what it said first is not kept."""
    lender = desk.settings.lender
    with desk.database.session() as session:
        contact = session.get(Contact, pressed.contact_id)
        person = session.get(Person, contact.person_id) if contact is not None else None
    text = f"{lender.name}. {lender.phone}."
    call = Message(pressed.contact_id or "0", "call", "", "", text, language=person.language if person else "en")
    wish = pressed.wish if contact is not None else ""
    keys = f"{desk.inward.twilio.url}?contact={pressed.contact_id}" if desk.inward.twilio is not None else ""
    return after_key(wish, call, keys, "".join(lender.phone.split()))
