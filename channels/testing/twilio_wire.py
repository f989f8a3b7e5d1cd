"""How the text-message provider talks: answers, refusals, lists in pages, and callbacks signed as it signs them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from aiohttp import web


def signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """How the provider signs a callback: HMAC-SHA1 over the URL and the sorted form fields, in base64."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


async def post_signed(auth_token: str, url: str, form: Mapping[str, str]) -> tuple[int, str]:
    """Post a callback; returns the HTTP status and the text it was answered with."""
    from aiohttp import ClientSession, ClientTimeout

    headers = {"X-Twilio-Signature": signature(auth_token, url, form)}
    async with (
        ClientSession(timeout=ClientTimeout(total=10)) as session,
        session.post(url, data=form, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def refusal(fault: int) -> "web.Response":
    """An error in the provider's form: below 1000 an HTTP status, else one of its codes."""
    if fault < 1000:
        return answer(fault, {"code": 20429 if fault == 429 else 20500, "message": "refused", "status": fault})
    status = {20003: 401, 20404: 404, 20429: 429}.get(fault, 400)
    more = f"https://www.twilio.com/docs/errors/{fault}"
    return answer(status, {"code": fault, "message": "refused", "more_info": more, "status": status})


def answer(status: int, body: object = None, *, text: str = "", content_type: str = "") -> "web.Response":
    """JSON, or a text of any other kind."""
    from aiohttp import web

    if text:
        return web.Response(status=status, text=text, content_type=content_type)
    return web.json_response(body, status=status)


def page(request: "web.Request", name: str, found: Sequence[Mapping[str, Any]]) -> "web.Response":
    """One page of a list, with the address of the next."""
    size = min(1000, int(request.query.get("PageSize", "50")))
    number = int(request.query.get("Page", "0"))
    shown = found[number * size : (number + 1) * size]
    here = {key: value for key, value in request.query.items() if key != "Page"}
    following = f"{request.path}?{urlencode({**here, 'Page': str(number + 1)})}"
    more = len(found) > (number + 1) * size
    return answer(200, {
        name: shown, "page": number, "page_size": size, "start": number * size,
        "end": number * size + max(0, len(shown) - 1), "uri": request.path_qs, "previous_page_uri": None,
        "first_page_uri": f"{request.path}?{urlencode({**here, 'Page': '0'})}",
        "next_page_uri": following if more else None,
    })  # fmt: skip


def cut(request: "web.Request") -> None:
    """Break the connection off."""
    if request.transport is not None:
        request.transport.abort()
    # The connection is gone; nothing after this may answer.
    raise ConnectionResetError("cut by the stand-in")
