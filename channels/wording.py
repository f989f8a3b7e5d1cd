"""
How amounts, days and products are said to a borrower: one place, whole minor units, no floats.

Languages are `en` and `zh`; a text never mixes them.
"""

import json
from datetime import date
from functools import cache
from typing import Final

from engine.content import Language
from engine.errors import DataError, Problem
from engine.gate import Channel

_SIGN_EN: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_UNIT_ZH: Final = {
    "CNY": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "HKD": "港元", "JPY": "日元", "SGD": "新加坡元",
}  # fmt: skip
_MONTH_EN: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_PRODUCT: Final[dict[str, dict[Language, str]]] = {
    "personal": {"en": "personal loan", "zh": "个人贷款"},
    "consumer_finance": {"en": "consumer loan", "zh": "消费贷款"},
    "card": {"en": "credit card", "zh": "信用卡"},
}


def amount(minor: int, currency: str, language: Language) -> str:
    """
    An amount with its currency: `$1,234.50`, `CNY 1,234.50`, `1,234.50元`.

    Raises:
        DataError: a currency ISO 4217 does not know, or one without minor units.
    """
    digits = _digits(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    number = f"{'-' if minor < 0 else ''}{whole:,}" + (f".{rest:0{digits}d}" if digits else "")
    if language == "zh":
        return number + _UNIT_ZH.get(currency, f" {currency}")
    return _SIGN_EN.get(currency, f"{currency} ") + number


@cache
def _digits(currency: str) -> int:
    from iso4217 import Currency

    try:
        digits = Currency(currency).exponent
    except ValueError:
        digits = None
    if digits is None:
        raise DataError(Problem(f"`{currency}` is no currency of ISO 4217", "write a code like `CNY`"))
    return int(digits)


def day(on: date, language: Language) -> str:
    """A date nobody can misread: `March 5, 2026`, `2026年3月5日`."""
    if language == "zh":
        return f"{on.year}年{on.month}月{on.day}日"
    return f"{_MONTH_EN[on.month - 1]} {on.day}, {on.year}"


def product(code: str, language: Language) -> str:
    """What a borrower calls the product; a code we have no word for is said as it is written."""
    words = _PRODUCT.get(code)
    return words[language] if words else code.replace("_", " ")


def masked(ref: str) -> str:
    """Enough of a loan's reference to recognise it, too little to use it: its last four characters, at most half."""
    shown = min(4, len(ref) // 2)
    return "****" + (ref[-shown:] if shown else "")


def plain(text: str) -> str:
    """A value on one line without control characters: a name cannot start a new header or a new sentence."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def address_text(value: str) -> str:
    """A postal address on one line; a number or mail address as it is."""
    return str(json.loads(value)["text"]) if value.startswith("{") else value


def address_lines(value: str) -> tuple[str, ...]:
    """The same as it stands on an envelope."""
    return tuple(part.strip() for part in address_text(value).split(", ") if part.strip())


def opt_out(channel: Channel, language: Language, unsubscribe_url: str = "") -> str:
    """
    How to end these messages, said the way that works on the channel.

    A text is answered with STOP, which providers themselves obey in every language. Channels that carry
    no such line (letters, scripts) get an empty text.
    """
    if channel == "sms":
        return "Reply STOP to opt out." if language == "en" else "回复STOP退订。"
    if channel != "email":
        return ""
    if not unsubscribe_url or unsubscribe_url.startswith("mailto:"):
        to = unsubscribe_url.removeprefix("mailto:").partition("?")[0]
        if language == "en":
            return f"To stop these emails, write STOP to {to}." if to else "To stop these emails, reply with STOP."
        return f"如不愿再收到此类邮件，请发送STOP至{to}。" if to else "如不愿再收到此类邮件，请回复STOP。"
    return f"To stop these emails: {unsubscribe_url}" if language == "en" else f"退订此类邮件：{unsubscribe_url}"


_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE: Final = frozenset("^{}\\[~]|€\f")


def sms_segments(text: str) -> int:
    """
    How many text messages a carrier makes of a text, and charges for. Source: 3GPP TS 23.038, 23.040.

    One character outside the GSM alphabet, such as a typographic quote, more than halves what fits.
    """
    if all(c in _GSM or c in _GSM_TWICE for c in text):
        units, single, each = sum(2 if c in _GSM_TWICE else 1 for c in text), 160, 153
    else:
        units, single, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if units <= single else -(-units // each)
