"""
Personal data at rest: sealed by keys that the database does not hold, and found again by a keyed hash.

A sealed value is text: `KEY.BODY`, the id of the key and in Base64 a random nonce of 96 bits, the AES-256-GCM ciphertext and
its tag. The table and column are authenticated along with it, so that what was sealed for one column opens in no other.
An empty text stays empty. One key seals fewer than 2 ** 32 values, so that no nonce is likely to come twice.

The hash is HMAC-SHA-256 cut to 128 bits. Its secret belongs to the database, stands there sealed, and stays when keys
change: it is also what shows, before anything else is read or written, that the keys at hand are this database's.
"""

import hmac
import os
import re
import secrets
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from engine.errors import Problem, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from sqlalchemy.engine import Dialect
    from sqlmodel import Session

SETTING: Final = "seal"
"""The setting that holds the secret of the hashes."""
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HASH_BYTES: Final = 16
_ID_LETTERS: Final = 8
_LOOKS: Final = re.compile(rf"[0-9a-f]{{{_ID_LETTERS}}}\.[A-Za-z0-9+/]+=*")
_KEEPING: Final = "docs/operator.md says where keys are kept, and what to do when one is lost"


def setting_place(name: str) -> str:
    """What a setting that is sealed is sealed for."""
    return f"setting.{name}"


class Unopened(StoreError):  # noqa: N818 - says what is wrong, as the others do
    """One value cannot be opened: it is not as it was sealed, or its key is not at hand. The others may be whole."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. Its id names it in what it sealed, and gives nothing of it away."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Eight letters from the key itself: the same key has the same id everywhere."""
        return sha256(b"duecourse seal key id " + self.secret).hexdigest()[:_ID_LETTERS]


def new_key() -> Key:
    """A key that nobody can guess."""
    return Key(secrets.token_bytes(KEY_BYTES))


def looks_sealed(text: str) -> bool:
    """Whether it has the form of a sealed value, `KEY.BODY`."""
    return _LOOKS.fullmatch(text) is not None


class Keyring:
    """
    The keys at hand: the first seals, all of them open.

    Args:
        read: reads them from where they are kept.
        stamp: a value that changes when they do. It is asked for before each sealing, so that a process that is running
            seals with a new key from the moment there is one.
        place: where they are kept, for messages.
    """

    def __init__(
        self,
        read: Callable[[], tuple[Key, ...]],
        *,
        stamp: Callable[[], object] = lambda: None,
        place: str = "the keys",
    ) -> None:
        self._read, self._stamp = read, stamp
        self.place = place
        self._stamped = stamp()
        self.keys = read()

    def first(self) -> Key:
        """The key that seals now."""
        if (stamped := self._stamp()) != self._stamped:
            self.keys = self._read()
            self._stamped = stamped
        return self.keys[0]

    def find(self, key_id: str) -> Key | None:
        """The key of that id; one that is not known is looked for where keys are kept, once more."""
        found = self._among(key_id)
        if found is None:
            self.keys = self._read()
            found = self._among(key_id)
        return found

    def _among(self, key_id: str) -> Key | None:
        return next((key for key in self.keys if key.id == key_id), None)


class Sealing:
    """
    Seals, opens and hashes for one database.

    Args:
        keys: None: whoever opened it reads and writes nothing personal.
        stored: the setting `seal` as it stands in the database.
        place: the database, for messages.
    Raises:
        StoreError: from everything it does, where the keys are not this database's. Nothing is sealed with a wrong key.
    """

    def __init__(self, keys: Keyring | None, stored: Callable[[], str | None], *, place: str) -> None:
        self._keys, self._stored, self._place = keys, stored, place
        self._ciphers: dict[str, AESGCM] = {}

    def begin(self) -> str:
        """Make the secret of the hashes of a database that has none; what to keep as its setting `seal`."""
        secret = secrets.token_hex(KEY_BYTES)
        self.__dict__["_secret"] = bytes.fromhex(secret)
        self.__dict__.pop("_mac", None)
        return self._sealed(setting_place(SETTING), (secret,))[0] or ""

    def check(self) -> None:
        """Make sure that the keys are this database's."""
        _ = self._secret

    @property
    def at_hand(self) -> tuple[Key, ...]:
        """The keys that there are now, for another process that opens the same database; none: it was opened without."""
        return self._keys.keys if self._keys is not None else ()

    @property
    def sealing_key(self) -> str:
        """The id of the key that seals now."""
        return self._ring.first().id

    def seal(self, place: str, text: str) -> str:
        """Seal one text for a place: `table.column`."""
        return self.seal_all(place, (text,))[0] or ""

    def seal_all(self, place: str, texts: Sequence[str | None]) -> list[str | None]:
        """Seal many texts for one place, in their order; nothing stays nothing."""
        self.check()
        return self._sealed(place, texts)

    def unseal(self, place: str, sealed: str) -> str:
        """
        What was sealed for that place.

        Raises:
            Unopened: its key is not at hand, or it is not what was sealed there.
            StoreError: the keys are not this database's.
        """
        self.check()
        return self._opened(place, sealed)

    def unseal_all(self, place: str, sealed: Sequence[str | None]) -> list[str | None]:
        """The same of many."""
        self.check()
        return [None if one is None else self._opened(place, one) for one in sealed]

    def hashed(self, value: str) -> str:
        """What a value is found and compared by."""
        # A copy of one that has the secret in it already costs less than another.
        mac = self._mac.copy()
        mac.update(value.encode())
        return mac.hexdigest()[: _HASH_BYTES * 2]

    @property
    def _ring(self) -> Keyring:
        if self._keys is None:
            what = f"names and numbers in `{self._place}` are sealed, and it was opened without keys"
            raise StoreError(Problem(what, _KEEPING))
        return self._keys

    @cached_property
    def _secret(self) -> bytes:
        ring, sealed = self._ring, self._stored()
        if sealed is None:
            raise StoreError(Problem(f"`{self._place}` is not sealed yet", "run `duecourse db upgrade`"))
        key_id = sealed.partition(".")[0]
        if ring.find(key_id) is None:
            there = ", ".join(f"`{key.id}`" for key in ring.keys)
            what = f"`{self._place}` is sealed with key `{key_id}`, and {ring.place} holds {there}"
            raise StoreError(Problem(what, f"put that key there; {_KEEPING}"))
        return bytes.fromhex(self._opened(setting_place(SETTING), sealed))

    @cached_property
    def _mac(self) -> hmac.HMAC:
        return hmac.new(self._secret, digestmod=sha256)

    def _sealed(self, place: str, texts: Sequence[str | None]) -> list[str | None]:
        key, bound = self._ring.first(), place.encode()
        cipher = self._cipher(key)
        head, nonces = f"{key.id}.", os.urandom(_NONCE_BYTES * len(texts))
        sealed: list[str | None] = []
        for number, text in enumerate(texts):
            if not text:
                sealed.append(text)
                continue
            nonce = nonces[number * _NONCE_BYTES : (number + 1) * _NONCE_BYTES]
            body = nonce + cipher.encrypt(nonce, text.encode(), bound)
            sealed.append(head + b2a_base64(body, newline=False).decode())
        return sealed

    def _opened(self, place: str, sealed: str) -> str:
        if not sealed:
            return ""
        key_id, dot, body = sealed.partition(".")
        if not dot or len(key_id) != _ID_LETTERS:
            raise _altered(place)
        cipher = self._ciphers.get(key_id) or self._cipher(self._found(key_id, place))
        try:
            raw = a2b_base64(body, strict_mode=True)
            # Bits at the end that decode to nothing could be changed without a trace.
            if b2a_base64(raw, newline=False).decode() != body:
                raise _altered(place)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode()).decode()
        except (self._invalid_tag, ValueError):
            raise _altered(place) from None

    @cached_property
    def _invalid_tag(self) -> type[Exception]:
        from cryptography.exceptions import InvalidTag

        return InvalidTag

    def _found(self, key_id: str, place: str) -> Key:
        key = self._ring.find(key_id)
        if key is None:
            what = f"something in `{place}` is sealed with key `{key_id}`, which is not in {self._ring.place}"
            raise Unopened(Problem(what, f"put that key there; {_KEEPING}"))
        return key

    def _cipher(self, key: Key) -> "AESGCM":
        known = self._ciphers.get(key.id)
        if known is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            known = self._ciphers[key.id] = AESGCM(key.secret)
        return known


def _altered(place: str) -> Unopened:
    return Unopened(Problem(f"something in `{place}` is not as it was sealed", "restore it from a backup"))


_ATTRIBUTE: Final = "duecourse_sealing"


def bind(dialect: "Dialect", sealing: Sealing) -> None:
    """Have every sealed column that goes through this engine's dialect be sealed so; each engine has a dialect of its own."""
    setattr(dialect, _ATTRIBUTE, sealing)


def sealing_of(dialect: "Dialect") -> Sealing:
    """The sealing of whichever database a statement is for."""
    found: Sealing = getattr(dialect, _ATTRIBUTE)
    return found


def hashed(session: "Session", value: str) -> str:
    """What a row with this value, sealed, is found by in the session's database."""
    return sealing_of(session.get_bind().dialect).hashed(value)
