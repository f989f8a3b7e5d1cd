"""Sending in tests: through an adapter, in an event loop of its own, which is closed afterwards like any other."""

import asyncio

from channels.message import Adapter, Message, Receipt


def send_all(adapter: Adapter, *messages: Message) -> list[Receipt]:
    """Hand over all at once; the receipts in the order of the messages."""

    async def work() -> list[Receipt]:
        try:
            return list(await asyncio.gather(*(adapter.send(message) for message in messages)))
        finally:
            await adapter.close()

    return asyncio.run(work())


def send_one(adapter: Adapter, message: Message) -> Receipt:
    """Hand one over."""
    return send_all(adapter, message)[0]
