"""
Signed checkpoints: so many entries, and what their tree hashes to, as a text that anybody can check.

The text is a C2SP `tlog-checkpoint` in a `signed-note`, signed with Ed25519. Beside origin, size and root it carries
one line of its own, `at` and the instant, so that the key that was valid then is the one that counts.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from engine.errors import Place, Problem, SettingsError

_ED25519: Final = b"\x01"
_NAME: Final = re.compile(r"[^\s+]+")
_AT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_NUMBER: Final = re.compile("0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the log, how many entries, what they hash to, and when that was so."""

    origin: str
    size: int
    root: bytes
    at: datetime

    def body(self) -> str:
        """The text that is signed."""
        return (
            f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\nat {self.at.astimezone(UTC).strftime(_AT)}\n"
        )


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    A key that checkpoints are believed by, for the time that it was in use.

    Attributes:
        until_at: when it was replaced; None: it is in use.
    """

    name: str
    public: bytes
    from_at: datetime
    until_at: datetime | None = None

    @property
    def id(self) -> bytes:
        """Its short name in a signature."""
        return _key_id(self.name, self.public)

    @property
    def text(self) -> str:
        """As `signed-note` writes it."""
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    @property
    def line(self) -> str:
        """As a file of keys writes it."""
        until = f" {self.until_at.strftime(_AT)}" if self.until_at is not None else ""
        return f"{self.text} {self.from_at.astimezone(UTC).strftime(_AT)}{until}"

    def held(self, at: datetime) -> bool:
        """Whether it was in use at that instant."""
        return self.from_at <= at and (self.until_at is None or at <= self.until_at)


class NotVouched(Exception):  # noqa: N818 - an answer, not an error
    """
    Why a text is no checkpoint of ours.

    Attributes:
        unknown: it may be one, but no key is at hand by which to tell.
    """

    def __init__(self, why: str, *, unknown: bool = False) -> None:
        self.why, self.unknown = why, unknown
        super().__init__(why)


class Signer:
    """
    Signs checkpoints.

    Args:
        text: the private key as `signed-note` writes it, `PRIVATE+KEY+name+id+key`.
    Raises:
        SettingsError: it is no such text; never says what it is instead.
    """

    def __init__(self, text: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            head, word, name, key_id, key = text.strip().split("+", 4)
            raw = _canonical(key)
            if (head, word) != ("PRIVATE", "KEY") or raw[:1] != _ED25519 or _NAME.fullmatch(name) is None:
                raise ValueError  # noqa: TRY301 - one answer for whatever is wrong with it
            self._key = Ed25519PrivateKey.from_private_bytes(raw[1:])
            self.name, self.public = name, self._key.public_key().public_bytes_raw()
            if key_id != _key_id(name, self.public).hex():
                raise ValueError  # noqa: TRY301 - the same
        except ValueError:
            what = "the log's private key is not one of `duecourse audit keygen`"
            raise SettingsError(Problem(what, "hand in the whole line, `PRIVATE+KEY+...`")) from None

    def sign(self, checkpoint: Checkpoint) -> str:
        """The checkpoint with its signature."""
        body = checkpoint.body()
        signed = b64encode(_key_id(self.name, self.public) + self._key.sign(body.encode())).decode()
        return f"{body}\n— {self.name} {signed}\n"


def new_key(name: str) -> str:
    """A new private key, by the machine's own chance."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    key_id = _key_id(name, key.public_key().public_bytes_raw()).hex()
    return f"PRIVATE+KEY+{name}+{key_id}+{b64encode(_ED25519 + key.private_bytes_raw()).decode()}"


def read_keys(text: str, file: str) -> tuple[PublicKey, ...]:
    """
    The keys of a file: one a line, with the instant from which it is in use and, once replaced, until when.

    Raises:
        SettingsError: every line that cannot be read.
    """
    keys: list[PublicKey] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            keys.append(_public(*words))
        except (TypeError, ValueError):
            mend = "write `name+id+key FROM [UNTIL]`, the instants like 2026-03-02T00:00:00.000000Z"
            problems.append(Problem("no public key of a log with its time", mend, Place(file, number)))
    if problems:
        raise SettingsError(problems)
    return tuple(keys)


def read_checkpoint(
    note: str, keys: Sequence[PublicKey], *, signed: tuple[datetime, datetime] | None = None
) -> Checkpoint:
    """
    What a signed checkpoint says.

    Args:
        signed: from when until when it was signed, where its own instant is known to be wrong; its key must have been in
            use in that time.
    Raises:
        NotVouched: it is no checkpoint, not as it was signed, or signed by nobody who is trusted at that time.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    body, parted, signature = note.partition("\n\n")
    checkpoint = _body(body + "\n") if parted else None
    words = signature.split(" ")
    if checkpoint is None or len(words) != 3 or words[0] != "—" or not signature.endswith("\n"):  # noqa: RUF001, RUF100
        raise NotVouched("it is no signed checkpoint")
    try:
        raw = _canonical(words[2].removesuffix("\n"))
    except ValueError:
        raise NotVouched("its signature is not as it was written") from None
    if not keys:
        raise NotVouched("there is no public key to check it by", unknown=True)
    mine = [key for key in keys if key.name == words[1] and key.id == raw[:4]]
    if not mine:
        raise NotVouched(f"nobody who is trusted signed it: `{words[1]}` with key {raw[:4].hex()}")
    if checkpoint.origin != words[1]:
        raise NotVouched("it is signed for another log than it names")
    for key in mine:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], checkpoint.body().encode())
        except (InvalidSignature, ValueError):
            continue
        first, last = signed or (checkpoint.at, checkpoint.at)
        if any(one.held(max(first, min(last, one.from_at))) for one in mine):
            return checkpoint
        raise NotVouched(f"its key was not in use at {checkpoint.at:%Y-%m-%d %H:%M}Z")
    raise NotVouched("its signature does not fit what it says")


def signed_by(note: str) -> tuple[str, bytes]:
    """The name and the id of the key that a note says it is signed by; empty where it says nothing."""
    name, _, signed = note.rpartition("\n— ")[2].rstrip("\n").partition(" ")
    try:
        return name, _canonical(signed)[:4]
    except ValueError:
        return name, b""


def _body(text: str) -> Checkpoint | None:
    lines = text.split("\n")
    if len(lines) != 5 or _NUMBER.fullmatch(lines[1]) is None:
        return None
    try:
        root, at = _canonical(lines[2]), datetime.strptime(lines[3], f"at {_AT}").replace(tzinfo=UTC)
    except ValueError:
        return None
    found = Checkpoint(lines[0], int(lines[1]), root, at)
    # What is signed is the bytes: a text that only reads alike is another.
    return found if found.body() == text else None


def _public(text: str, since: str, until: str | None = None) -> PublicKey:
    name, key_id, key = text.split("+", 2)
    raw = _canonical(key)
    from_at = datetime.strptime(since, _AT).replace(tzinfo=UTC)
    until_at = datetime.strptime(until, _AT).replace(tzinfo=UTC) if until else None
    found = PublicKey(name, raw[1:], from_at, until_at)
    if raw[:1] != _ED25519 or len(found.public) != 32 or found.id.hex() != key_id or not name:
        raise ValueError(text)
    return found


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _canonical(text: str) -> bytes:
    """Base64 in its one spelling. Raises ValueError: another spelling, or none."""
    try:
        raw = b64decode(text, validate=True)
    except NotBase64:
        raise ValueError(text) from None
    if b64encode(raw).decode() != text:
        raise ValueError(text)
    return raw
