"""Sends that are cancelled, by a time-out or a stop: sure before anything was handed over, in doubt afterwards."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from channels.gateway import GatewayAdapter
from channels.gateway_file import read_gateway
from channels.mail import MailAdapter, MailSettings
from channels.message import Adapter, Message, Receipt
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.gateway import ACCOUNT, SECRET, FakeGateway
from channels.testing.mailserver import SILENT, FakeMailServer, Step
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from store.db import Database
from tests.outgoing import NOW, book, contact_of, counts, door_of, go, plan, statuses
from workflows.sending.door import Lane

SECONDS = 1.0
"""Enough for a request to be written on a busy machine."""
EXAMPLE = Path(__file__).parents[2] / "channels/gateway_example.yaml"
SAID = {"addressee.name": "王芳", "loan.overdue": "1,234.50元", "lender.phone": "+1 555 0100"}
CHINA = "+8613800138000"


def text(contact_id: str = "1-2-0") -> Message:
    return Message(contact_id, "sms", CHINA, "", "请还款", language="zh", template="friendly-reminder", values=SAID)


def mail(contact_id: str = "1-2-0") -> Message:
    return Message(contact_id, "email", "a@b.example", "Hello", "Text")


def twilio(base_url: str, **more: object) -> SmsAdapter:
    given = {"timeout_seconds": 30, "base_url": base_url} | more
    return SmsAdapter(SmsSettings(ACCOUNT_SID, SecretStr(AUTH_TOKEN), from_number=FROM_NUMBER, **given))  # type: ignore[arg-type]


def gateway(base_url: str, **more: object) -> GatewayAdapter:
    described = EXAMPLE.read_text(encoding="utf-8").replace("https://sms.freedonia.example", base_url)
    given = {"timeout_seconds": 30} | more
    return GatewayAdapter(
        read_gateway(described, EXAMPLE.name), ACCOUNT, SecretStr(SECRET), clock=lambda: NOW, nonce=lambda: "n", **given  # type: ignore[arg-type]
    )  # fmt: skip


def server_of(port: int, **more: object) -> MailAdapter:
    given = {"security": "plain", "timeout_seconds": 30} | more
    settings = MailSettings("127.0.0.1", port, "care@lender.example", **given)  # type: ignore[arg-type]
    return MailAdapter(settings, lambda: datetime(2026, 3, 5, tzinfo=UTC))


def broken_off(adapter: Adapter, *messages: Message) -> list[Receipt | None]:
    """
    Send them at once, cancel each as dispatch does, and say what they answer; None: it is in doubt.

    The later ones are cancelled sooner, so that none gets the connection of one that was cancelled before it.
    """

    async def one(place: int, message: Message) -> Receipt | None:
        try:
            async with asyncio.timeout(SECONDS / (place + 1)):
                return await adapter.send(message)
        except TimeoutError:
            return None

    async def work() -> list[Receipt | None]:
        try:
            return list(await asyncio.gather(*(one(*each) for each in enumerate(messages))))
        finally:
            await adapter.close()

    return asyncio.run(work())


def sure(provider: str) -> Receipt:
    words = "it was broken off before the provider had any of it; nothing was sent"
    return Receipt("retry", provider, "", "broken_off", "try_later", words)


@contextmanager
def saying(answer: Callable[[bytes], bytes | None], greeting: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each line as told, None: not at all; its port, and the lines that it heard."""
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", 0) as lines:
            try:
                lines.write(greeting)
                for line in lines:
                    heard.append(line)
                    if (said := answer(line)) is not None:
                        lines.write(said)
            except OSError:
                return

    def accept(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, args=(listening,), daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("adapter", "name"), [(twilio, "twilio"), (gateway, "freedonia")])
def test_a_text_that_waits_for_a_connection_is_sure(adapter: Callable[..., Adapter], name: str) -> None:
    """No handshake, and nothing else: the provider has nothing of it. Without a connection of its own the next has not either."""
    with saying(lambda _: None) as (port, heard):
        # Nobody answers the handshake.
        made = adapter(f"https://127.0.0.1:{port}", connections=1)
        assert broken_off(made, text("1-1-0"), text("1-2-0")) == [sure(name), sure(name)]
    assert not any(b"HTTP/" in line for line in heard)


def test_a_text_whose_request_is_written_is_in_doubt() -> None:
    """Twilio had the first request and was silent; the second waited for its connection, and is sure."""
    with FakeProvider() as provider:
        provider.fault(CHINA, "hang", always=True)
        answers = broken_off(twilio(provider.base_url, connections=1), text("1-1-0"), text("1-2-0"))
        assert (answers, provider.requests) == ([None, sure("twilio")], 1)


def test_a_text_on_a_kept_connection_is_in_doubt_too() -> None:
    """No connection is opened for it, and its request is written all the same."""
    with FakeProvider() as provider:
        adapter = twilio(provider.base_url, connections=1)

        async def work() -> None:
            await adapter.send(text("1-1-0"))
            provider.fault(CHINA, "hang", always=True)
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(SECONDS):
                        await adapter.send(text("1-2-0"))
            finally:
                await adapter.close()

        asyncio.run(work())
        assert provider.requests == 2


def test_the_same_of_a_gateway() -> None:
    """The first is in doubt, the second is sure."""
    with FakeGateway() as fake:
        fake.fault("13800138000", "hang")
        answers = broken_off(gateway(fake.base_url, connections=1), text("1-1-0"), text("1-2-0"))
        assert answers == [None, sure("freedonia")]


def test_a_text_that_waits_for_its_sender_is_sure() -> None:
    """Whose number is busy has not been offered to anybody."""
    with FakeProvider() as provider:
        adapter = twilio(provider.base_url, sends_per_second_per_number=0.2)
        first, second = broken_off(adapter, text("1-1-0"), text("1-2-0"))
        assert (first.status if first else None, second) == ("sent", sure("twilio"))
        assert provider.requests == 1


@pytest.mark.parametrize("silent_at", [b"", b"EHLO", b"MAIL", b"RCPT", b"DATA"])
def test_a_mail_is_sure_up_to_the_final_dot(silent_at: bytes) -> None:
    """A server that falls silent before it asks for the text has none of it."""

    def answer(line: bytes) -> bytes | None:
        return None if line.upper().startswith(silent_at) else b"250 ok\r\n"

    with saying(answer, greeting=b"220 here\r\n" if silent_at else b"") as (port, heard):
        assert broken_off(server_of(port), mail()) == [sure("smtp")]
    assert (heard[-1] if heard else b"").upper().startswith(silent_at)
    assert not any(line.startswith(b".") for line in heard)


@pytest.mark.parametrize(("step", "taken"), [("body", 0), ("taken", 1)])
def test_a_mail_is_in_doubt_from_the_final_dot_on(step: Step, taken: int) -> None:
    """Whether the server kept it nobody can tell; one that waits for the connection meanwhile is sure."""
    with FakeMailServer() as server:
        server.fault("*", step, SILENT)
        assert broken_off(server_of(server.port, connections=1), mail("1-1-0"), mail("1-2-0")) == [None, sure("smtp")]
        assert len(server.taken) == taken


def test_a_mail_on_its_second_connection_is_in_doubt() -> None:
    """What the kept one said, that nothing was sent by it, says nothing of what the new one has."""
    with FakeMailServer(sends_per_connection=1) as server:
        adapter = server_of(server.port, connections=1)

        async def work() -> None:
            await adapter.send(mail("1-1-0"))
            server.fault("*", "taken", SILENT)
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(SECONDS):
                        await adapter.send(mail("1-2-0"))
            finally:
                await adapter.close()

        asyncio.run(work())
        assert [one.contact for one in server.taken] == ["1-1-0", "1-2-0"]


def test_a_refusal_stays_one_when_the_server_will_not_be_cleared() -> None:
    """Cancelled while the connection is put in order after a refusal, the refusal is what is known."""

    def answer(line: bytes) -> bytes | None:
        if line.startswith(b"RSET"):
            return None
        return b"550 5.1.1 no such user\r\n" if line.startswith(b"RCPT") else b"250 ok\r\n"

    with saying(answer, greeting=b"220 here\r\n") as (port, _):
        (receipt,) = broken_off(server_of(port), mail())
    assert receipt is not None
    assert (receipt.status, receipt.meaning) == ("failed", "bad_address")


def test_a_slow_mail_server_leaves_nothing_in_doubt(sqlite_database: Database) -> None:
    """Dispatch runs out of time before the server has anything: the mail is tried again, and is nobody's work."""

    def slowly(line: bytes) -> bytes:
        time.sleep(0.3)
        return b"250 ok\r\n"

    (loan,) = book(sqlite_database)
    contact = plan(sqlite_database, loan, "mail")
    with saying(slowly, greeting=b"220 here\r\n") as (port, heard):
        door = door_of(sqlite_database, {"email": server_of(port)}, send_seconds_max=0.7)
        assert counts(go(door)) == {"retry": 1}
    assert not any(line.startswith(b"DATA") for line in heard)
    assert statuses(sqlite_database, contact) == ["planned", "sending", "planned"]
    assert contact_of(sqlite_database, contact).error == "broken_off"


def test_a_stop_leaves_what_waits_for_its_sender_to_the_next_dispatch(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last seconds cut off before it was offered is tried again."""
    monkeypatch.setattr("workflows.sending.dispatch._LAST_SECONDS", 0.3)
    for loan in book(sqlite_database, 2):
        plan(sqlite_database, loan)
    with FakeProvider() as provider:
        adapter = twilio(provider.base_url, sends_per_second_per_number=0.15)
        door = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(2)})
        done = go(door, stop=lambda: bool(provider.accepted))
    assert counts(done) == {"sent": 1, "retry": 1}
    # Before its six seconds were over, and five minutes later it goes.
    with FakeProvider() as provider:
        door = door_of(sqlite_database, {"sms": twilio(provider.base_url)})
        assert counts(go(door, NOW + timedelta(minutes=5))) == {"sent": 1}
