"""People who were erased: what is left of them is an id, and that nobody brings them back by their reference."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import select
from sqlmodel import Session

from store.bulk_arrow import Reader, table_of
from store.settings import read_setting
from store.tables import ErasedRef

_REFS_AT_ONCE: Final = 1_000


def digest_of(bucket_key: str, ref: str) -> str:
    """A reference as it is remembered: a keyed hash, in hex."""
    return hmac.digest(bucket_key.encode(), f"erased:{ref}".encode(), sha256).hex()


def remember(session: Session, ref: str, *, now: datetime) -> None:
    """Never take this reference again."""
    session.merge(ErasedRef(digest=digest_of(read_setting(session, "bucket_key") or "", ref), at=now))


def erased_on(session: Session, ref: str) -> datetime | None:
    """When the person of that reference was erased; None: they were not."""
    found = session.get(ErasedRef, digest_of(read_setting(session, "bucket_key") or "", ref))
    return found.at if found is not None else None


def erased_among(reader: Reader, bucket_key: str, refs: Iterable[str]) -> set[str]:
    """Those of the references that belong to people who were erased, or that rows of such people have now."""
    wanted = sorted(set(refs))
    gone, person = table_of("erased_ref"), table_of("person")
    if not reader.read(select(gone.c.digest).limit(1)).num_rows:
        return set()
    by_digest: Mapping[str, str] = {digest_of(bucket_key, ref): ref for ref in wanted}
    found: set[str] = set()
    for digests in _portions(list(by_digest)):
        known = reader.read(select(gone.c.digest).where(gone.c.digest.in_(digests)))["digest"].to_pylist()
        found.update(by_digest[digest] for digest in known)
    for some in _portions(wanted):
        rows = reader.read(select(person.c.ref).where(person.c.ref.in_(some), person.c.erased_at.is_not(None)))
        found.update(rows["ref"].to_pylist())
    return found


def _portions(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _REFS_AT_ONCE] for start in range(0, len(values), _REFS_AT_ONCE))
