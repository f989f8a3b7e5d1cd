"""The port's values, what refusals mean, and mails as bytes."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail_message import NotMailable, compose, is_address
from channels.mail_signing import message_id
from channels.message import MEANINGS, Message
from channels.refusals import mail_refusal, read_codes, twilio_refusal
from engine.errors import RuleError

SENT_AT = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("contact_id", ["", "1 2", "1-2-0\r\nBcc: x", "<1>", "-1", "1" * 61])
def test_a_contact_id_can_stand_in_an_address_and_a_url(contact_id: str):
    """Whatever could break a Message-ID or a callback URL is no contact id."""
    with pytest.raises(ValueError, match=r"must be letters, digits and hyphens, at most 60"):
        Message(contact_id, "sms", "+12025550123", "", "Hello")


@pytest.mark.parametrize(
    ("code", "http_status", "expected"),
    [
        (21610, 400, ("failed", "opted_out", "addressee has opted out")),
        (30006, 400, ("failed", "bad_address", "landline or unreachable carrier")),
        (30003, 400, ("retry", "try_later", "handset unreachable")),
        (20429, 429, ("retry", "slow_down", "too many requests")),
        (429, 429, ("retry", "slow_down", "too many requests")),
        (401, 401, ("retry", "misconfigured", "the account or address we use is refused")),
        (99999, 400, ("failed", "unclear", "refused with a code we have no name for")),
        (None, 400, ("failed", "unclear", "refused with a code we have no name for")),
    ],
)
def test_a_providers_code_has_a_meaning_and_an_unknown_one_a_default(
    code: int | None, http_status: int, expected: tuple[str, str, str]
):
    """Codes are data; one nobody listed is still a sure refusal."""
    assert twilio_refusal(code, http_status) == expected


STOPS = frozenset({
    10001, 10002, 20003, 20005, 20403, 20404, 21205, 21210, 21212, 21213, 21601, 21603, 21607, 21609, 21660, 21661, 21701,
    21703, 21704, 30002, 30035, 30037, 63007,
})  # fmt: skip
"""Codes about our account, our senders or our addresses: whatever goes next would be refused alike."""
OF_ONE_TEXT = frozenset({21201, 21602, 21604, 21605, 21617, 21619, 21620})
"""Refused before the text is taken, so no callback brings them; as `failed` they stop nothing."""


@pytest.mark.parametrize("code", [21203, 21215, 21219, 21408, 21606, 21608, 30012, 30018, 30019, 30024])
def test_a_code_about_one_destination_or_text_fails_that_contact_alone(code: int):
    """A region that is not enabled, or a number that a trial account may not write to, stops nobody else's messages."""
    assert twilio_refusal(code)[:2] in (("failed", "unclear"), ("failed", "blocked"))


def test_only_codes_about_our_account_stop_a_channel():
    """Whoever adds one says here on which side it stands."""
    stops = {code for code in range(10_000, 70_000) if twilio_refusal(code)[1] == "misconfigured"}
    assert stops == STOPS | OF_ONE_TEXT
    assert {twilio_refusal(code)[0] for code in OF_ONE_TEXT} == {"failed"}
    assert {twilio_refusal(code)[0] for code in STOPS} == {"retry"}


LOSES_THE_NUMBER = frozenset({21211, 21217, 21614, 21635, 30005, 30006, 63003, 63024})
"""Codes by which the provider says that this number is none, or none that takes texts."""


def test_only_codes_about_the_number_itself_lose_it():
    """
    No route from our sender, no carrier at this moment, no pictures: the number is as good as before.

    Neither is it lost by what the provider says of the number that a recorded call connects to, which is ours (132xx).
    """
    lost = {code for code in range(10_000, 70_000) if twilio_refusal(code)[1] == "bad_address"}
    assert lost == LOSES_THE_NUMBER
    assert {twilio_refusal(code)[:2] for code in (13223, 13224, 21214, 21612, 30011, 63036)} == {("failed", "unclear")}


def test_a_table_of_codes_is_checked_whole():
    """Every mistake of the table is named with its place and mend."""
    text = "failed:\n  opted_uot:\n    1: x\n  blocked:\n    2: a\n    2x: b\nretry:\n  blocked:\n    2: c\nsent: {}\nx: {}\n"
    with pytest.raises(RuleError) as refused:
        read_codes(text, "codes.yaml")
    names = ", ".join(MEANINGS)
    assert str(refused.value) == (
        f"codes.yaml:2:3: unknown meaning `opted_uot`\n  mend: write one of {names}\n"
        "codes.yaml:6:5: `2x` is no line of this table\n  mend: write `21610: words`\n"
        "codes.yaml:9:5: code `2` has two meanings\n  mend: keep one of them\n"
        "codes.yaml:10:1: unknown status `sent`\n  mend: write `failed` or `retry`\n"
        "codes.yaml:11:1: unknown status `x`\n  mend: write `failed` or `retry`"
    )


@given(
    step=st.sampled_from(["connect", "auth", "sender", "recipient", "data"]),
    code=st.integers(400, 599),
    text=st.text(max_size=40) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3} \w*", fullmatch=True),
)
def test_a_mail_refusal_is_sure_and_blames_the_address_only_for_the_recipient(step: str, code: int, text: str):
    """No reply to our connection, login, sender or text ever costs a borrower their address."""
    status, meaning, words = mail_refusal(step, code, text)
    assert status in ("failed", "retry")
    assert meaning in MEANINGS
    assert words
    assert code >= 500 or status == "retry"
    if meaning == "bad_address":
        assert step == "recipient"
        assert status == "failed"


GONE = ("failed", "bad_address")
UNCLEAR = ("failed", "unclear")
FULL = ("retry", "try_later")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 The email account that you tried to reach does not exist", GONE),
        (550, "5.1.1 <bob@b.example>: Recipient address rejected: User unknown in virtual mailbox table", GONE),
        (550, "5.1.10 Null MX", GONE),
        (554, "5.1.2 no such domain", GONE),
        (550, "#5.1.0 Address rejected.", UNCLEAR),
        (550, "5.1.0 <bob@b.example>: user unknown", GONE),
        (550, "5.1.0 <us@lender.example> Sender rejected, user unknown", UNCLEAR),
        (550, "5.1.8 <us@lender.example>: Sender address rejected: Domain not found", UNCLEAR),
        (550, "No such user here", GONE),
        (550, "no such recipient <blocked@spam.example>", GONE),
        (550, "Unknown user", GONE),
        (550, "User bob@b.example does not exist", GONE),
        (550, "<bob@b.example>: Recipient address rejected: User unknown in local recipient table", GONE),
        (550, "Mailbox not found", GONE),
        (550, "Invalid recipient <bob@b.example>", GONE),
        (550, "That address doesn't exist.", GONE),
        (551, "bob@b.example is not a known user", GONE),
        (553, "invalid mailbox", GONE),
        (550, "unrouteable address", GONE),
        (550, "no mailbox here by that name", GONE),
        (554, "Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org", UNCLEAR),
        (550, "blocked using zen.spamhaus.org; mailbox not found in our list", UNCLEAR),
        (550, "Client host [5.1.1.7] refused", UNCLEAR),
        (550, "5.1.1.7 is listed", UNCLEAR),
        (550, "Sender verify failed", UNCLEAR),
        (550, "Sender verify failed: no such user here", UNCLEAR),
        (550, "SPF check failed for lender.example", UNCLEAR),
        (550, "SPF: address not found in the record", UNCLEAR),
        (550, "Reverse DNS invalid for your address", UNCLEAR),
        (550, "Recipient address rejected: Access denied", UNCLEAR),
        (550, "Requested action not taken: mailbox unavailable", UNCLEAR),
        (550, "no-such-user@b.example refuses mail", UNCLEAR),
        (550, "", UNCLEAR),
        (554, "transaction failed: no such user", UNCLEAR),
        (550, "5.2.1 mailbox disabled", UNCLEAR),
        (550, "5.7.1 no such user, says our policy", ("failed", "blocked")),
        (552, "quota exceeded", FULL),
        (552, "Requested mail action aborted: exceeded storage allocation", FULL),
        (552, "5.2.2 over quota", FULL),
        (550, "5.2.2 user unknown to have room", FULL),
        (550, "5.4.4 no route", ("retry", "try_later")),
    ],
)  # fmt: skip
def test_only_words_about_the_mailbox_cost_an_address(code: int, text: str, expected: tuple[str, str]):
    """A server that blames us, our address, a list or nothing when the addressee is named loses nobody's address."""
    assert mail_refusal("recipient", code, text)[:2] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5.2.2 over quota", FULL), ("mailbox full", FULL), ("message too big", ("failed", "blocked")),
     ("5.3.4 no space for a message of this size", ("failed", "blocked"))],
)  # fmt: skip
def test_a_mailbox_may_be_full_only_after_the_text(text: str, expected: tuple[str, str]):
    """552 then means that, or that the message is too long; only words tell."""
    assert mail_refusal("data", 552, text)[:2] == expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@", "@b", "a b@c.example", "a@b.example,c@d.example", "A <a@b.example>", "a@b..example", "a\n@b.example",
     "ä@b.example", "a@bücher.example", '"a b"@c.example', "a" * 65 + "@b.example", "a@" + "b." * 130 + "example"],
)  # fmt: skip
def test_what_is_no_plain_address(text: str):
    """Only one bare ASCII address is handed to a server."""
    assert not is_address(text)


def test_the_message_id_is_the_same_for_every_attempt():
    """It comes from the contact and the sender's domain alone."""
    assert message_id("7-4-1", "Example Lender <care@lender.example>") == "<7-4-1@lender.example>"


@given(subject=st.text(min_size=1, max_size=200), text=st.text(min_size=1, max_size=2000), html=st.text(max_size=200))
def test_a_mail_is_what_was_said_or_nothing(subject: str, text: str, html: str):
    """Any text arrives as it was, in lines that no server can take for the end; what cannot is refused."""
    given_message = Message("1-2-0", "email", "a@b.example", subject, text, html)
    try:
        wire = compose(given_message, from_address="c@d.example", sent_at=SENT_AT)
    except NotMailable:
        return
    assert b"\r" not in wire.replace(b"\r\n", b"")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    mail = message_from_bytes(wire, policy=policy.default)
    assert mail.get_all("To") == ["a@b.example"]
    assert mail.get_all("Bcc") is None
    body = mail.get_body(("plain",))
    assert body is not None
    assert unix(body.get_content()) in (unix(text), unix(text) + "\n")


def unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
