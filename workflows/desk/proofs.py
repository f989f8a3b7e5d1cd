"""What shows that a contact was made: a file, known here by its hash alone."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlmodel import Session

from engine.errors import DataError, Problem
from store.tables import Contact, Proof

_BYTES_MAX: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Proven:
    """A file by its SHA-256 in hex, and who was there."""

    digest: str
    size_bytes: int
    people: tuple[str, ...]
    recorded_at: datetime


def proof_of(path: Path, *, people: tuple[str, ...], recorded_at: datetime) -> Proven:
    """
    Take a file as proof. It is read and stays where it is.

    Raises:
        DataError: it cannot be read, is empty, or is no file that a person made on a visit.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= _BYTES_MAX:
            what = f"`{path}` is empty" if not size else f"`{path}` is larger than a gigabyte"
            raise DataError(Problem(what, "name the photograph, recording or signed paper of this contact"))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        said = (e.strerror or str(e)).lower()
        raise DataError(Problem(f"cannot read `{path}`: {said}", "name a file that is there")) from None
    return Proven(digest, size, people, recorded_at)


def keep_proof(session: Session, contact: Contact, proof: Proven, *, at: datetime) -> None:
    """Write down that the file shows what is reported of the contact."""
    session.merge(
        Proof(
            contact_id=contact.id, digest=proof.digest, size_bytes=proof.size_bytes, people=", ".join(proof.people), at=at,
            recorded_at=proof.recorded_at,
        )
    )  # fmt: skip
