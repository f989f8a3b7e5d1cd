"""Whatever several accounts answer, nobody gets the same message from two of them."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.failover import Failover
from channels.message import MEANINGS, Message, Receipt, Sought

NOW = datetime(2026, 3, 2, tzinfo=UTC)
MESSAGE = Message("1-2-0", "sms", "+12025550123", "", "Hello")
ABOUT_THEM = ("opted_out", "bad_address", "blocked", "expired", "unclear", "try_later", "ok")

receipts = st.builds(
    Receipt,
    status=st.sampled_from(["sent", "failed", "unknown", "retry"]),
    provider=st.sampled_from(["a", "b", "c"]),
    code=st.sampled_from(["", "unreachable", "timeout", "21610"]),
    meaning=st.sampled_from(MEANINGS),
)


@dataclass
class Account:
    """Answers as it is told, and remembers who it may have sent to."""

    receipt: Receipt
    name: str = "account"
    asked: list[str] = field(default_factory=list)

    async def send(self, message: Message) -> Receipt:
        self.asked.append(message.contact_id)
        return self.receipt

    async def close(self) -> None:
        self.asked.append("closed")


@given(said=st.lists(receipts, min_size=1, max_size=4))
def test_nothing_is_sent_twice_and_no_refusal_of_a_person_is_gone_round(said: list[Receipt]):
    """
    Each account is asked at most once, one after another; after anything that may have gone out, and after any refusal
    that is not about our account, nobody is asked any more, and that receipt is the answer.
    """
    accounts = [Account(receipt) for receipt in said]
    answer = asyncio.run(Failover(accounts).send(MESSAGE))
    asked = [len(account.asked) for account in accounts]
    last = sum(asked)
    assert asked == [1] * last + [0] * (len(said) - last)
    for earlier in said[: last - 1]:
        assert earlier.status in ("failed", "retry")
        assert earlier.meaning not in ABOUT_THEM or earlier.code == "unreachable"
    if said[last - 1].status in ("sent", "unknown"):
        assert answer is said[last - 1]
    if last < len(said):
        assert answer is said[last - 1]
    assert answer in said[:last]
    assert answer.status == "unknown" or not any(r.status == "unknown" for r in said[:last])


def test_an_account_that_stands_still_is_heard_of(caplog: pytest.LogCaptureFixture):
    """The other account's success does not hide it, and the line has nothing of the message."""
    refused, sent = Receipt("retry", "a", "", "20003", "misconfigured"), Receipt("sent", "b", "SM1")
    assert asyncio.run(Failover([Account(refused), Account(sent)]).send(MESSAGE)) == sent
    (line,) = caplog.records
    assert {name: getattr(line, name) for name in ("action", "contact", "where", "code")} == {
        "action": "alert", "contact": "1-2-0", "where": "a", "code": "20003",
    }  # fmt: skip


def test_when_every_account_refuses_the_message_may_be_tried_again():
    """One account that only asks us to wait keeps the contact alive, whatever the others say of themselves."""
    no_route = Receipt("failed", "a", "", "no_route", "misconfigured")
    busy = Receipt("retry", "b", "", "20429", "slow_down")
    for order in ([no_route, busy], [busy, no_route]):
        assert asyncio.run(Failover([Account(receipt) for receipt in order]).send(MESSAGE)) == busy
    assert asyncio.run(Failover([Account(no_route)]).send(MESSAGE)) == no_route


def test_what_no_account_answered_may_be_with_any_of_them():
    """It has no name to give to such a message, so that each account's word about it is heard and each is asked."""

    @dataclass
    class Lister(Account):
        async def find(self, sought: Sought) -> Receipt | None:
            self.asked.append(sought.contact_id)
            return None

    accounts = [Lister(Receipt("unknown", name), name) for name in ("a", "b")]
    both = Failover(accounts)
    sought = Sought("sms", MESSAGE.to, lambda _: True, NOW, NOW, provider=both.name, contact_id=MESSAGE.contact_id)
    assert asyncio.run(both.find(sought)) is None
    assert [account.asked for account in accounts] == [[MESSAGE.contact_id]] * 2
