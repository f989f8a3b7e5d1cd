"""How the listening process ends: what it took is kept, by a signal in peace and by a kill."""

import json
import signal
from pathlib import Path

from sqlmodel import col

from store.lock import sole
from store.tables import Consent, Movement
from tests.callers import ENV, PAYMENT, TOKEN, opened, text, twilio
from tests.e2e.command import duecourse
from tests.listening import Listener, listening, until
from tests.outgoing import rows


def test_a_request_under_way_is_answered_before_it_ends(sqlite_place: Path) -> None:
    """Half a body is there when SIGTERM comes: the rest is heard, booked and answered, and the process ends in peace."""
    body = json.dumps({**PAYMENT, "ref": "API-LAST", "amount": "1.00"}).encode()
    head = (
        f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nIdempotency-Key: last\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with listening(sqlite_place, **ENV) as listener:
        assert listener.ask("GET", "/health").status == 200
        with listener.raw() as connection:
            connection.sendall(head.encode() + body[:10])
            # It has begun to be read: a request after it on another connection was.
            assert listener.ask("GET", "/health").status == 200
            listener.process.send_signal(signal.SIGTERM)
            until(lambda: _refuses(listener))
            connection.sendall(body[10:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert listener.process.wait(60) == 0
        until(lambda: listener.lines[-1:] == ["stopped; whatever was taken is kept"])
    with opened(sqlite_place) as book:
        assert len(rows(book, Movement, col(Movement.ref) == "API-LAST")) == 1


def test_what_was_taken_survives_a_kill(sqlite_place: Path) -> None:
    """Killed after its yes and before anybody heard the stop: the inbox has it, and whoever comes next hears it."""
    workspace = sqlite_place
    with opened(sqlite_place) as book:
        before = [one.source for one in rows(book, Consent)].count("twilio")
        with sole(book, "inbox", what="the inbox"), listening(workspace, **ENV) as listener:
            assert twilio(listener, text("stop", "SMkill")).status == 200
            listener.process.kill()
            listener.process.wait(30)
        said = duecourse("-w", str(workspace), "inbox", "run", cwd=workspace, env=ENV)
        assert said.out == "1 done, 0 parked, 0 early\n"
        assert [one.source for one in rows(book, Consent)].count("twilio") == before + 1


def _refuses(listener: Listener) -> bool:
    try:
        listener.raw().close()
    except ConnectionRefusedError:
        return True
    return False
