"""What the door does before and instead of reading: too long, too slow, gone, and a book that is away."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from channels.posted import BODY_MAX
from config.settings import Listen, Settings
from duecourse.figures import Figures
from duecourse.providers import Inward
from duecourse.web.bounds import Bounded
from duecourse.web.desk import Desk
from duecourse.web.server import application
from tests.opening import open_database
from workflows.scheduling.status import status

Part = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def ask(
    app: App, path: str, parts: Iterable[Part], *, method: str = "POST", headers: Iterable[tuple[bytes, bytes]] = ()
) -> tuple[int, str, dict[bytes, bytes]] | None:
    """One request, whose body comes in these parts; a part that is missing never comes. None: nothing was answered."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": list(headers),
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    coming, said = iter(parts), list[Part]()

    async def receive() -> Part:
        for part in coming:
            return part
        await asyncio.Event().wait()
        raise AssertionError

    async def send(part: Part) -> None:
        said.append(part)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type] # an app is a coroutine function
    if not said:
        return None
    text = b"".join(part.get("body", b"") for part in said[1:]).decode()
    return said[0]["status"], text, dict(said[0]["headers"])


def part(body: bytes, *, more: bool = False) -> Part:
    return {"type": "http.request", "body": body, "more_body": more}


async def counts(scope: Any, receive: Any, send: Any) -> None:
    """An application that says how much it was given, in how many parts."""
    body = await receive()
    assert not body["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(body["body"])).encode()})


def test_a_body_is_read_to_its_bound_and_no_further() -> None:
    """As long as it may be it is handed on whole; a byte more is refused, however it is cut, and whatever it announced."""
    door = Bounded(counts)
    half = part(b"x" * (BODY_MAX // 2), more=True)
    assert ask(door, "/", [half, half, part(b"")]) == (200, str(BODY_MAX), {})
    refused = ask(door, "/", [half, half, part(b"x", more=True)])
    assert refused is not None
    assert refused[:2] == (413, f"the body is longer than {BODY_MAX} bytes\n")
    assert refused[2][b"connection"] == b"close"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """Half of it and then nothing: refused when its time is over. Whoever is gone is not answered."""
    refused = ask(Bounded(counts, seconds_max=0.05), "/", [part(b"half", more=True)])
    assert refused is not None
    assert refused[:2] == (408, "the body did not come in time\n")
    assert ask(Bounded(counts), "/", [part(b"half", more=True), {"type": "http.disconnect"}]) is None


def test_a_book_that_is_away_takes_nothing() -> None:
    """The sender is told to come again, and not where the book would be; it is alive and not ready."""
    away = open_database("sqlite:////nowhere/book.db")
    secret = "t" * 32
    desk = Desk(
        Settings(listen=Listen(token=secret)), away, Inward(), lambda: datetime(2026, 3, 2, tzinfo=UTC), lambda: None,  # type: ignore[arg-type] # as a file says it
        lambda: False, Figures(lambda: status(away, {}, owner="operations", now=datetime(2026, 3, 2, tzinfo=UTC))),
    )  # fmt: skip
    app = application(desk)
    payment = {"event": "payment", "ref": "P-1", "loan": "L-1", "amount": "5", "effective_on": "2026-03-02"}
    headers = [
        (b"authorization", f"Bearer {secret}".encode()), (b"idempotency-key", b"k"), (b"content-type", b"application/json")
    ]  # fmt: skip
    answered = ask(app, "/events", [part(json.dumps(payment).encode())], headers=headers)
    assert answered is not None
    assert (answered[0], json.loads(answered[1])) == (
        503,
        {
            "problems": [
                {"where": "", "what": "the book cannot be written now", "mend": "send the same again in a minute"}
            ]
        },
    )
    assert answered[2][b"retry-after"] == b"60"
    alive, ready = (ask(app, path, [part(b"")], method="GET") for path in ("/health", "/ready"))
    assert alive is not None
    assert ready is not None
    assert alive[0] == 200
    assert (ready[0], json.loads(ready[1])["problems"]) == (
        503, ["whoever handles the inbox has stopped", "the book cannot be read"],
    )  # fmt: skip
    desk.close()
    away.close()
