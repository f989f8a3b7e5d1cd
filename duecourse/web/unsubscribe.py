"""The page behind a message's unsubscribe link: looking at it changes nothing, the button and RFC 8058's post end the messages."""

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Final

from duecourse.compose import UNSUBSCRIBE_PATH
from duecourse.web.desk import Desk
from engine.errors import DataError
from workflows.desk.sayings import given_to
from workflows.inbox.unsubscribe import read_token, take_unsubscribe

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import HTMLResponse

_SAID: Final = {
    "en": {
        "ask": "Stop these messages from {lender}?",
        "button": "Stop them",
        "done": "Done. {lender} will send no more of these messages to this address.",
        "wrong": "This link is not one of ours. Use the link of the message, whole, or call {phone}.",
    },
    "zh": {
        "ask": "停止接收{lender}的此类信息？",
        "button": "停止接收",
        "done": "已停止。{lender}不会再向此地址发送此类信息。",
        "wrong": "该链接不是我们的链接。请使用信息中的完整链接，或致电{phone}。",
    },
}
_PAGE: Final = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{lender}</title>
<body style="font-family: sans-serif; max-width: 32em; margin: 3em auto; padding: 0 1em">
<p>{text}</p>
{form}</body></html>
"""
_FORM: Final = (
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<button type="submit">{button}</button></form>\n'
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


def add_unsubscribe(app: "FastAPI", desk: Desk) -> None:
    """Add the page."""
    from fastapi import Request
    from fastapi.responses import HTMLResponse

    async def look(token: str, request: Request) -> HTMLResponse:
        ours = await desk.at(partial(_is_ours, desk, token))
        return _page(desk, request, "ask", 200) if ours else _page(desk, request, "wrong", 404)

    async def stop(token: str, request: Request) -> HTMLResponse:
        # Whatever is in the body: mail programs differ, and the token alone says who may.
        to = given_to(desk.settings.actor)
        try:
            await desk.at(partial(take_unsubscribe, desk.database, token, now=desk.clock(), given_to=to))
        except DataError:
            return _page(desk, request, "wrong", 404)
        return _page(desk, request, "done", 200)

    app.get(UNSUBSCRIBE_PATH + "/{token}", include_in_schema=False)(look)
    app.post(UNSUBSCRIBE_PATH + "/{token}", include_in_schema=False)(stop)


def _is_ours(desk: Desk, token: str) -> bool:
    try:
        with desk.database.session() as session:
            read_token(session, token)
    except DataError:
        return False
    return True


def _page(desk: Desk, request: "Request", what: str, status: int) -> "HTMLResponse":
    from fastapi.responses import HTMLResponse

    wanted = request.headers.get("accept-language", desk.settings.language).strip().lower()
    language = "zh" if wanted.startswith("zh") else "en"
    said = _SAID[language]
    lender = desk.settings.lender
    text = escape(said[what].format(lender=lender.name, phone=lender.phone))
    form = _FORM.format(button=said["button"]) if what == "ask" else ""
    page = _PAGE.format(language=language, lender=escape(lender.name), text=text, form=form)
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
