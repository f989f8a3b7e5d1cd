"""Databases as tests and benchmarks open them: with a key that is no secret, or with those of the workspace they lie in."""

from pathlib import Path
from typing import Final

from duecourse.keys import keyring_in
from store import db
from store.sealing import KEY_BYTES, Key, Keyring

KEY: Final = Key(bytes(KEY_BYTES))
KEYS: Final = Keyring(lambda: (KEY,))


def open_database(url: str, *, keys: Keyring | None = None, busy_timeout_s: float = 30) -> db.Database:
    """Like `store.db.open_database`."""
    return db.open_database(url, keys=keys or _keys_beside(url), busy_timeout_s=busy_timeout_s)


def _keys_beside(url: str) -> Keyring:
    path = Path(url.removeprefix("sqlite:///")).parent.parent / "secrets" / "seal.keys"
    return keyring_in(path, path.name) if url.startswith("sqlite:///") and path.exists() else KEYS
