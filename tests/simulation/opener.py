"""What is sealed in a finished run's database, opened with the keys of its workspace: by a reading of the format of our own."""

import base64
import hashlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Opener = Callable[[str, str], str]
"""Table and column, and what stands there -> what was written there."""

_SEALED = re.compile(r"[0-9a-f]{8}\.[A-Za-z0-9+/]+=*")


def opener(database: Path) -> Opener:
    """Opens what is sealed in a workspace's database, or in a copy that has a copy of the keys beside it."""
    lines = (database.parent.parent / "secrets" / "seal.keys").read_text(encoding="utf-8").splitlines()
    keys = {
        _name(secret): AESGCM(secret) for line in lines if not line.startswith("#") if (secret := bytes.fromhex(line))
    }

    def opened(place: str, sealed: str) -> str:
        # Where the most of a column is nobody's words, that stands there as it is.
        if not sealed or not _SEALED.fullmatch(sealed):
            return sealed
        key, body = sealed.split(".")
        raw = base64.b64decode(body, validate=True)
        return keys[key].decrypt(raw[:12], raw[12:], place.encode()).decode()

    return opened


def teach(connection: sqlite3.Connection, database: Path) -> None:
    """Let SQL say `opened('table.column', column)`."""
    connection.create_function("opened", 2, opener(database))


def _name(secret: bytes) -> str:
    return hashlib.sha256(b"duecourse seal key id " + secret).hexdigest()[:8]
