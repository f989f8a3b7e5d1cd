"""
Several accounts for one channel: the next is asked only when it is sure that the one before sent nothing.

Sure is a refusal that is about our account or the way to it. After `unknown` nobody is asked: that would be the same
reminder twice. A refusal that is about the person, their number or the text would be the same elsewhere, and is not
gone round.
"""

import logging
from collections.abc import Sequence
from typing import Final

from channels.faults import no_list
from channels.message import Adapter, Finder, Message, Receipt, Sought

log = logging.getLogger(__name__)

_OURS: Final = ("misconfigured", "slow_down")


def may_go_elsewhere(receipt: Receipt) -> bool:
    """Whether a receipt promises that nothing was sent, for a reason that another account need not have."""
    sure = receipt.status in ("failed", "retry")
    return sure and (receipt.meaning in _OURS or receipt.code == "unreachable")


class Failover:
    """
    Accounts in the order in which they are asked.

    Receipts carry the name of the account that gave them. It has none of its own: what no account answered may have left
    by any of them, and each is to be asked about it.
    """

    name = ""

    def __init__(self, accounts: Sequence[Adapter]) -> None:
        self._accounts = tuple(accounts)

    async def send(self, message: Message) -> Receipt:
        """Send once, by the first of the message's accounts that does not surely refuse for reasons of its own."""
        refused: list[Receipt] = []
        for account in self._accounts:
            if message.accounts and account.name not in message.accounts:
                continue
            receipt = await account.send(message)
            if not may_go_elsewhere(receipt):
                return receipt
            refused.append(receipt)
            # The next account's success must not hide that this one stands still.
            extra = {
                "action": "alert",
                "contact": message.contact_id,
                "where": receipt.provider,
                "code": receipt.code,
            }
            log.warning("an account refused, the next is asked", extra=extra)
        return next((receipt for receipt in refused if receipt.status == "retry"), refused[-1])

    async def find(self, sought: Sought) -> Receipt | None:
        """
        Look a message up at the account that was asked to send it; where nobody knows which, at each that keeps a list.

        An account that keeps none, or cannot be asked now, leaves it in doubt.
        """
        accounts = [account for account in self._accounts if sought.provider in ("", account.name)]
        doubt: Receipt | None = None
        for account in accounts:
            found = await account.find(sought) if isinstance(account, Finder) else no_list(account.name)
            if found is not None and found.status != "unknown":
                return found
            doubt = doubt or found
        return doubt

    async def close(self) -> None:
        """Close every account's connections."""
        for account in self._accounts:
            await account.close()
