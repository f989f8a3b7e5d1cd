"""What was kept of decisions, packed in another way: as a former version did, or by somebody who means ill."""

import json
from collections.abc import Callable

import pyarrow as pa
from sqlmodel import select

from store.db import Database
from store.snapshots import digest_of
from store.tables import Snapshot
from tests.replaying import scalars, tampered


def only_the_questions(database: Database) -> None:
    """Snapshots of contacts by hand as they were packed before books were kept with them."""

    def bare(head: bytes, rest: bytes) -> tuple[bytes, bytes]:
        said = json.loads(head)
        return (json.dumps({name: said[name] for name in ("form", "at", "actor", "asks")}).encode(), b"") if "asks" in said else (head, rest)  # fmt: skip

    repacked(database, bare)


def repacked(database: Database, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    """Every snapshot with another header or other tables, by somebody who gets its digest right as well."""
    for kept in scalars(database, select(Snapshot)):
        head, _, rest = pa.CompressedInputStream(pa.BufferReader(kept.content), "zstd").read().partition(b"\n")
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as out:
            out.write(b"\n".join(change(head, rest)))
        content = sink.getvalue().to_pybytes()
        wrong = "update snapshot set content = :content, digest = :digest where id = :id"
        tampered(database, wrong, content=content, digest=digest_of(content), id=kept.id)
