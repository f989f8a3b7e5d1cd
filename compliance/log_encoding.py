"""
The one spelling of an entry of the log, to the byte: what is hashed, shown and proved. `docs/log-format.md` says the same.

Everything is made of elements: a letter for the type, the number of bytes in decimal, a colon, the bytes. What
identifies or could identify somebody is not written but committed to: only who is told its salt can check it.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

Value = int | bool | str | date | datetime | None
"""What a field can hold. An instant is aware; a date is not an instant."""

VERSION: Final = "1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens one withheld field: its salt, and the element of its value."""

    field: str
    salt: str
    element: bytes


def element(letter: str, data: bytes) -> bytes:
    """One element: its type, its length, its bytes."""
    return b"%s%d:%s" % (letter.encode(), len(data), data)


def value_element(value: Value) -> bytes:
    """
    A value as an element: null, flag, whole number, date, instant, text.

    Raises:
        TypeError: a value of another type.
        ValueError: an instant without a zone.
    """
    match value:
        case None:
            return element("n", b"")
        case bool():
            return element("b", b"1" if value else b"0")
        case int():
            return element("i", b"%d" % value)
        case str():
            return element("s", value.encode())
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"naive datetime {value.isoformat()}; attach a zone before it gets here")
            return element("t", b"%d" % ((value - _EPOCH) // _MICROSECOND))
        case date():
            return element("d", value.isoformat().encode())
    raise TypeError(f"no entry holds a {type(value).__name__}")


def entry_bytes(kind: str, key: str, fields: Mapping[str, Value], withheld: Collection[str], seal_key: bytes) -> bytes:
    """
    An entry as it is hashed.

    Args:
        kind, key: what it is called: `decision` and `12-345`.
        fields: every field, whatever its order.
        withheld: the fields of which only a commitment is written.
        seal_key: what their salts come from.
    """
    parts = [element("v", VERSION.encode()), element("k", kind.encode()), element("c", b"%d" % len(fields))]
    for name in sorted(fields):
        said = value_element(fields[name])
        if name in withheld:
            said = element("h", commitment(salt_of(kind, key, name, seal_key), said))
        parts += (element("f", name.encode()), said)
    return b"".join(parts)


def salt_of(kind: str, key: str, field: str, seal_key: bytes) -> str:
    """The salt of one withheld field of one entry, in hex: telling it opens nothing else."""
    about = element("k", kind.encode()) + element("s", key.encode()) + element("f", field.encode())
    return hmac.digest(seal_key, about, "sha256").hex()


def commitment(salt: str, said: bytes) -> bytes:
    """What stands for a withheld value, in hex."""
    return hashlib.sha256(salt.encode() + said).hexdigest().encode()


def elements(data: bytes) -> Iterator[tuple[str, bytes]]:
    """
    The elements of an entry, letter and bytes.

    Raises:
        ValueError: it does not consist of elements.
    """
    at = 0
    while at < len(data):
        colon = data.find(b":", at + 1)
        digits = data[at + 1 : max(colon, 0)]
        if colon < 0 or not digits.isdigit() or (digits != b"0" and digits.startswith(b"0")):
            raise ValueError(f"no element at byte {at}")
        end = colon + 1 + int(digits)
        if end > len(data):
            raise ValueError(f"the element at byte {at} is cut short")
        yield chr(data[at]), data[colon + 1 : end]
        at = end
