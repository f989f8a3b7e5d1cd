"""What a provider's refusal means to us: Twilio's codes (data beside this file) and a mail server's replies."""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Final, Literal, cast

from channels.message import MEANINGS, Meaning, Status
from engine.errors import Problem, RuleError
from engine.source import Node, Table, Text, read_yaml

Refusal = tuple[Status, Meaning, str]
"""Status and meaning of a refusal that is certain, and in words what it says."""

MailStep = Literal["connect", "auth", "sender", "recipient", "data"]

_TWILIO: Final = Path(__file__).with_name("errors_twilio.yaml")
_UNKNOWN_CODE: Final[Refusal] = ("failed", "unclear", "refused with a code we have no name for")


def twilio_refusal(code: int | None, http_status: int = 400) -> Refusal:
    """
    What one of Twilio's error codes means.

    Args:
        code: from the answer to a send or from a callback's `ErrorCode`. Below 1000 it is no code of
            theirs: their client falls back to the HTTP status where the body had none.
        http_status: 429 tells us to slow down whatever the code; 401 and 403 are about our account.
    """
    if code is not None and (known := _twilio_codes().get(code)):
        return known
    if http_status == 429:
        return "retry", "slow_down", "too many requests"
    if http_status in (401, 403, 404):
        return "retry", "misconfigured", "the account or address we use is refused"
    return _UNKNOWN_CODE


@cache
def _twilio_codes() -> dict[int, Refusal]:
    return read_codes(_TWILIO.read_text(encoding="utf-8"), _TWILIO.name)


def read_codes(text: str, file: str) -> dict[int, Refusal]:
    """
    Read a table of error codes that are numbers.

    Raises:
        RuleError: an unknown status or meaning, a code that is no number, a code given twice.
    """
    root = read_yaml(text, file)
    problems: list[Problem] = []
    codes = codes_of(root, problems, leave_out=("checked_on",), numbers=True)
    if problems:
        raise RuleError(problems)
    return {int(code): refusal for code, refusal in codes.items()}


def codes_of(
    root: Node, problems: list[Problem], *, leave_out: Collection[str] = (), numbers: bool = False
) -> dict[str, Refusal]:
    """The codes of a table: status, then meaning, then `code: words`; what is wrong with it goes to `problems`."""
    if not isinstance(root, Table):
        problems.append(Problem("the codes are not a table", "write `failed: {meaning: {code: words}}`", root.at))
        return {}
    codes: dict[str, Refusal] = {}
    for status, meanings in root.items.items():
        if status in leave_out:
            continue
        if status not in ("failed", "retry") or not isinstance(meanings, Table):
            problems.append(Problem(f"unknown status `{status}`", "write `failed` or `retry`", root.key_at[status]))
            continue
        for meaning, words_of in meanings.items.items():
            at = meanings.key_at[meaning]
            if meaning not in MEANINGS or not isinstance(words_of, Table):
                problems.append(Problem(f"unknown meaning `{meaning}`", f"write one of {', '.join(MEANINGS)}", at))
                continue
            for code, words in words_of.items.items():
                at = words_of.key_at[code]
                wrong = not isinstance(words, Text) or not isinstance(words.value, str)
                if wrong or (numbers and not code.isdecimal()):
                    problems.append(Problem(f"`{code}` is no line of this table", "write `21610: words`", at))
                elif code in codes:
                    problems.append(Problem(f"code `{code}` has two meanings", "keep one of them", at))
                else:
                    codes[code] = (cast(Status, status), meaning, cast(Text, words).raw)
    return codes


_ENHANCED: Final = re.compile(r"[\s#(]*([245])\.(\d{1,3})\.(\d{1,3})\b(?!\.\d)")
"""In front of the words alone: what looks like one further back may be part of somebody's IP address."""
_NO_MAILBOX: Final = (1, 2, 3, 4, 6, 10)
"""Details of 5.1.x that are about the addressee: 5.1.0 says nothing, 5.1.5 that it is valid, 5.1.7 to 5.1.9 blame the sender."""
_ADDRESSES: Final = re.compile(r"<[^>]*>|\S+@\S+")
_WHO: Final = r"(?:users?|mailbox|recipients?|address(?:ee)?|account)"
_GONE: Final = re.compile(
    rf"no such (?:\w+ )?{_WHO}\b|no (?:mailbox|user|account) (?:here|by|with|named)\b|not a (?:valid|known) {_WHO}\b"
    rf"|\b(?:unknown|invalid|non-?existent|bad|unrouteable) (?:\w+ )?{_WHO}\b"
    rf"|\b{_WHO}\b[^.:;,]{{0,40}}?(?:\bunknown|\bnot (?:found|known|exist)|\binvalid|n't exist|\bnon-?existent|\bno longer exists)"
)
"""Words that name the mailbox as not there, in a reply without a code that does."""
_NOT_THEIRS: Final = re.compile(
    r"\b(?:sender|from|helo|ehlo|host|ip|dns|ptr|spf|dkim|dmarc|spam\w*|(?:un)?block\w*|\w*blacklist\w*|policy|reputation|denied)\b"
)
"""Words by which a reply is about us, whatever else it names."""
_FULL: Final = re.compile(r"\b(?:quota|full|storage|space)\b")


def mail_refusal(step: MailStep, code: int, text: str) -> Refusal:
    """
    What a mail server's refusal means, by where it stood in the conversation.

    A refusal of the connection, the login or the sender is about us, never about the addressee.

    Args:
        code: the three-digit reply, 400 to 599.
        text: its words; an enhanced status code (RFC 3463) in front of them decides where there is one. Without one an
            address is lost only where they name it as not there: servers refuse at this step for reasons of ours as well.
    """
    if code < 500:
        if step == "auth":
            return "retry", "try_later", "the mail server cannot check our login now"
        slow = (code, _enhanced(text)) in ((452, (5, 3)), (450, (2, 1))) or code == 421
        return "retry", "slow_down" if slow else "try_later", "the mail server asks us to come back later"
    if step in ("connect", "auth", "sender"):
        return "retry", "misconfigured", f"the mail server refuses our {_OURS[step]}"
    if code in (530, 535, 538) or "relay" in text.lower():
        return "retry", "misconfigured", "the mail server does not accept mail from us without more"
    subject, detail = _enhanced(text)
    if _is_full(step, code, (subject, detail), text):
        return "retry", "try_later", "the mailbox is full"
    if step == "data" or subject == 7:
        return "failed", "blocked", "the mail server's policy refuses the message"
    if subject in (3, 4):
        return "retry", "try_later", "the addressee's mail system is out of order"
    if (subject == 1 and detail in _NO_MAILBOX) or ((subject, detail) in ((0, 0), (1, 0)) and _is_gone(code, text)):
        return "failed", "bad_address", "the mail server knows no such mailbox"
    return "failed", "unclear", "the mail server refuses it, and does not say that the mailbox is the reason"


def _is_full(step: MailStep, code: int, enhanced: tuple[int, int], text: str) -> bool:
    if enhanced != (0, 0):
        return enhanced == (2, 2)
    # After the text, 552 may as well be about its size.
    return code == 552 and (step == "recipient" or _FULL.search(text.lower()) is not None)


def _is_gone(code: int, text: str) -> bool:
    # Whatever an address is called says nothing.
    words = _ADDRESSES.sub(" ", text.lower())
    return code in (550, 551, 553) and _GONE.search(words) is not None and _NOT_THEIRS.search(words) is None


_OURS: Final = {"connect": "connection", "auth": "login", "sender": "sender address"}


def _enhanced(text: str) -> tuple[int, int]:
    found = _ENHANCED.match(text)
    return (int(found[2]), int(found[3])) if found else (0, 0)
