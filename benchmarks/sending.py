"""
How many texts and mails a second one process hands to servers on this machine, next to bare loops of the same libraries.

    python -m benchmarks.sending [--messages N] [--at-once N] [--rounds N]

The servers are the stand-ins of `channels.testing`, each in a process of its own, so that they cost the sender nothing
but the machine's cores. Bare: the same requests through one `aiohttp` session, or `aiosmtplib` on as many kept connections,
with nothing checked, composed or read. Of several rounds the best counts. Targets: 300 texts and 100 mails a second.
Needs `openssl` for the signed mails. Prints a table.
"""

import argparse
import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode

from pydantic import SecretStr

from channels import gateway_file
from channels.gateway import GatewayAdapter
from channels.mail import MailAdapter, MailSettings
from channels.mail_signing import DkimKey
from channels.message import Adapter, Message
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.gateway import ACCOUNT, SECRET, FakeGateway
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider

MESSAGES = 1000
AT_ONCE = 64
ROUNDS = 3
CONNECTIONS = 8
TEXT = "Your payment of $125.00 was due on March 1, 2026. Pay at https://pay.lender.example or call +1 555 0100."
NUMBER = "+8613800138000"
SAID = {"addressee.name": "A", "loan.overdue": "$125.00", "lender.phone": "+1 555 0100"}
_NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
_RUNS = itertools.count(1)

Send = Callable[[int], Awaitable[None]]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", choices=("provider", "gateway", "mail"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    print("| what | a second | bare, a second | share of bare |")
    print("| --- | --: | --: | --: |")
    for name, server, ours, bare in ROWS:
        with serving(server) as address:
            rates = [
                max(rate(way(address), given.messages, given.at_once) for _ in range(given.rounds))
                for way in (ours, bare)
            ]
        print(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[0] / rates[1]:.0%} |")
        sys.stdout.flush()


def rate(way: "Way", messages: int, at_once: int) -> float:
    """Messages a second, so many at once."""
    first = next(_RUNS) * 10_000_000

    async def work() -> float:
        busy = asyncio.Semaphore(at_once)
        async with way as send:

            async def one(number: int) -> None:
                async with busy:
                    await send(first + number)

            await one(messages)  # opens the first connection
            began = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(messages)))
            return messages / (time.perf_counter() - began)

    return asyncio.run(work())


class Way:
    """Sends one message at a time, as often at once as it is asked."""

    async def __aenter__(self) -> Send:
        """Open what is needed."""
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        """Close it."""


class Ours(Way):
    """An adapter."""

    def __init__(self, adapter: Adapter, message: Callable[[str], Message]) -> None:
        self._adapter = adapter
        self._message = message

    async def __aenter__(self) -> Send:
        async def send(number: int) -> None:
            receipt = await self._adapter.send(self._message(f"9-{number}-0"))
            if receipt.status != "sent":
                raise SystemExit(f"the stand-in did not take a message: {receipt}")

        return send

    async def __aexit__(self, *_: object) -> None:
        await self._adapter.close()


class BarePosts(Way):
    """Requests of the same kind, ready made, and nothing else."""

    def __init__(self, url: str, headers: dict[str, str], body: Callable[[int], str]) -> None:
        self._url, self._headers, self._body = url, headers, body

    async def __aenter__(self) -> Send:
        import aiohttp

        self._session = aiohttp.ClientSession(headers=self._headers)

        async def send(number: int) -> None:
            async with self._session.post(self._url, data=self._body(number)) as answer:
                await answer.read()

        return send

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


class BareMails(Way):
    """The same text in one ready mail, over kept connections."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Send:
        import aiosmtplib

        self._free: asyncio.Queue[aiosmtplib.SMTP] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self._port, start_tls=False)
            await client.connect()
            self._free.put_nowait(client)

        async def send(number: int) -> None:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "care@lender.example", "b@c.example", "Your payment"
            mail["Message-ID"] = f"<{number}@lender.example>"
            mail.set_content(TEXT)
            client = await self._free.get()
            try:
                await client.send_message(mail)
            finally:
                self._free.put_nowait(client)

        return send

    async def __aexit__(self, *_: object) -> None:
        while not self._free.empty():
            await self._free.get_nowait().quit()


def _twilio(address: str) -> Way:
    settings = SmsSettings(
        ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=address, callback_url="http://127.0.0.1:9/hook"
    )
    return Ours(SmsAdapter(settings), lambda contact: Message(contact, "sms", NUMBER, "", TEXT))


def _bare_twilio(address: str) -> Way:
    login = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    url = f"{address}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"}
    fields = {"To": NUMBER, "From": FROM_NUMBER, "Body": TEXT}
    return BarePosts(
        url, headers, lambda number: urlencode({**fields, "StatusCallback": f"http://x/?contact={number}"})
    )


def _gateway(address: str) -> Way:
    example = Path(gateway_file.__file__).with_name("gateway_example.yaml").read_text(encoding="utf-8")
    described = gateway_file.read_gateway(example.replace("https://sms.freedonia.example", address), "gateway.yaml")
    nonces = itertools.count(next(_RUNS) * 10_000_000)
    adapter = GatewayAdapter(
        described, ACCOUNT, SecretStr(SECRET), clock=lambda: _NOW, nonce=lambda: str(next(nonces)), connections=AT_ONCE
    )
    return Ours(
        adapter,
        lambda contact: Message(
            contact, "sms", NUMBER, "", TEXT, language="zh", template="friendly-reminder", values=SAID
        ),
    )


def _bare_gateway(address: str) -> Way:
    # Refused for its signature, which costs the stand-in as much as a yes.
    fields = {"phone": NUMBER, "template": "SMS_1001", "params": SAID, "timestamp": "1772703000000", "sign": "0" * 64}
    return BarePosts(
        f"{address}/v2/send",
        {"X-Account": ACCOUNT, "Content-Type": "application/json"},
        lambda number: json.dumps({**fields, "outId": str(number), "nonce": str(number)}),
    )


def _mail(address: str, dkim: DkimKey | None = None) -> Way:
    settings = MailSettings(
        "127.0.0.1", int(address), "Example Lender <care@lender.example>", "plain", connections=CONNECTIONS,
        id_secret=SecretStr(SECRET), dkim=dkim,
    )  # fmt: skip
    return Ours(
        MailAdapter(settings, lambda: _NOW),
        lambda contact: Message(contact, "email", "b@c.example", "Your payment", TEXT, f"<p>{TEXT}</p>"),
    )


def _signed_mail(address: str) -> Way:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise SystemExit("openssl is needed to make a key for the signed mails")
    made = subprocess.run([openssl, "genrsa", "2048"], check=True, capture_output=True, text=True)
    return _mail(address, DkimKey("lender.example", "s1", SecretStr(made.stdout)))


def _bare_mail(address: str) -> Way:
    return BareMails(int(address))


ROWS: tuple[tuple[str, str, Callable[[str], Way], Callable[[str], Way]], ...] = (
    ("texts through Twilio's client", "provider", _twilio, _bare_twilio),
    ("texts through a signed gateway", "gateway", _gateway, _bare_gateway),
    ("mails", "mail", _mail, _bare_mail),
    ("mails signed with DKIM", "mail", _signed_mail, _bare_mail),
)


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """A stand-in in a process of its own; yields its address, or its port."""
    command = [sys.executable, "-m", "benchmarks.sending", "--serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip() if process.stdout is not None else ""
        # It ends when nobody holds its input any more.


def serve(kind: str) -> None:
    """Be a stand-in until whoever started this ends."""
    if kind == "mail":
        with FakeMailServer() as mails:
            print(mails.port, flush=True)
            sys.stdin.read()
        return
    with FakeProvider() if kind == "provider" else FakeGateway() as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
