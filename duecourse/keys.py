"""The keys that personal data is sealed with, as settings name them: in a file of its own, or from the environment."""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.files import read_text
from config.settings import Seal
from engine.errors import Place, Problem, SettingsError
from store.decisions import canonical_json
from store.lock import sole
from store.reseal import is_under_way, reseal
from store.sealing import KEY_BYTES, Key, Keyring, new_key
from store.tables import Deed, JobAct
from workflows.private_file import write_private

if TYPE_CHECKING:
    from store.db import Database

IN_ENVIRONMENT: Final = "DUECOURSE_SEAL__KEYS"
_HEAD: Final = """\
# What personal data in the book is sealed with, one key a line: the first seals, all of them open.
# Keep a copy where the copies of the database are not: what a lost key sealed, nobody can read.
"""
_WRITE_ONE: Final = f"write {KEY_BYTES * 2} hexadecimal digits, e.g. from `openssl rand -hex {KEY_BYTES}`"


def keyring(folder: Path, seal: Seal) -> Keyring:
    """
    The keys at hand.

    Args:
        folder: the workspace's.
    Raises:
        SettingsError: there are none, others than their owner can read them, or they are no keys.
    """
    if seal.keys is not None:
        keys = _parsed(seal.keys.get_secret_value(), None)
        return Keyring(lambda: keys, place="`seal.keys`")
    return keyring_in(folder / seal.keys_file, seal.keys_file)


def keyring_in(path: Path, name: str) -> Keyring:
    """The keys of a file, which are read anew when it changes; `name` is what messages call it."""
    return Keyring(lambda: _read(path, name), stamp=lambda: _stamp(path), place=f"`{name}`")


def has_keys(folder: Path, seal: Seal) -> bool:
    """Whether there are keys, good or bad."""
    return seal.keys is not None or (folder / seal.keys_file).exists()


def add_key(folder: Path, seal: Seal) -> Key:
    """
    Make a key and put it first in the file, which is made where there is none; from now on it seals.

    Raises:
        SettingsError: the keys that are there cannot be used.
        DataError: the file cannot be written.
    """
    name = seal.keys_file
    path = folder / name
    key = new_key()
    former = _read(path, name) if path.exists() else ()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, (_HEAD + "".join(f"{one.secret.hex()}\n" for one in (key, *former))).encode())
    return key


def _read(path: Path, name: str) -> tuple[Key, ...]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = f"`{name}` is not there: it holds the keys of what is personal in the book"
        mend = f"put it back from where its copy is kept, or hand the keys in as {IN_ENVIRONMENT}"
        raise SettingsError(Problem(what, mend)) from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"`{name}` holds keys, and others than its owner may read it"
        raise SettingsError(Problem(what, f"run `chmod 600 {path}`, and replace the key if somebody may have read it"))
    return _parsed(read_text(path, name), name)


def _parsed(text: str, file: str | None) -> tuple[Key, ...]:
    keys, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.partition("#")[0].split():
            try:
                secret = bytes.fromhex(word)
            except ValueError:
                secret = b""
            if len(secret) == KEY_BYTES:
                keys.append(Key(secret))
            else:
                # The word itself may be a key with one letter too many.
                problems.append(Problem("not a key", _WRITE_ONE, Place(file, number) if file else None))
    if not keys and not problems:
        problems.append(Problem(f"no key in `{file or IN_ENVIRONMENT}`", _WRITE_ONE, Place(file) if file else None))
    if problems:
        raise SettingsError(problems)
    return tuple(keys)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


@dataclass(frozen=True, slots=True)
class Rotated:
    """
    What a change of keys did.

    Attributes:
        key: the id of the key that seals now. made: whether it was made for this.
        rows: so many held something that another key had sealed.
        former: the ids of the keys that nothing in the database needs any more.
        place: where the keys are kept, for messages.
    """

    key: str
    made: bool
    rows: int
    former: tuple[str, ...]
    place: str


def rotate_keys(
    folder: Path, seal: Seal, database: "Database", *, by: str, now: datetime, progress: Callable[[int], None]
) -> Rotated:
    """
    Seal everything with a new key, or end a change of keys that was begun; a deed in the log says that it began.

    Args:
        by: who, if that is to be kept: an entry of its own, in which it is withheld.
    Raises:
        Busy: another process is at it.
        SettingsError: the keys come from the environment, and the first of them seals everything already.
        StoreError: the database cannot be written, or somebody still writes with a former key.
    """
    with sole(database, "rotate", what="a change of keys"):
        made = not is_under_way(database)
        if made and seal.keys is not None:
            what = f"the keys come from the environment, and the first in {IN_ENVIRONMENT} seals everything already"
            mend = f"put a new one in front, e.g. from `openssl rand -hex {KEY_BYTES}`, restart every process with it, and run this again"
            raise SettingsError(Problem(what, mend))
        if made:
            add_key(folder, seal)
        ring = keyring(folder, seal)
        first, *former = ring.keys
        detail = {"former": [key.id for key in former], "made": made}
        with database.write() as session:
            session.add(Deed(at=now, kind="seal", subject=first.id, detail_json=canonical_json(detail)))
            if by:
                session.add(JobAct(job="privacy.rotate", act=f"seals with {first.id}", at=now, by=by))
        rows = reseal(database, progress=progress)
    return Rotated(first.id, made, rows, tuple(key.id for key in former), ring.place)
