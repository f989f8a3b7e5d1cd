"""
A stretch of the log for somebody outside: every entry from one position to another as tables, with one proof for all of them.

The stretch is the shortest that holds whatever happened in the period. Because it has no gap, leaving out, adding or
changing a row shows: what the rows hash to, with a few hashes of what lies beside them, must be the root that was signed.
"""

import hashlib
import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, literal_column, select

from compliance.checkpoint import Checkpoint, NotVouched, PublicKey, read_checkpoint
from compliance.log_encoding import elements
from compliance.merkle import beside, leaf_hash
from engine.errors import DataError, Problem, ProofError
from store import log
from store.bulk import reading, writing
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.deeds import record
from store.duck import room_for
from store.log_kinds import KINDS
from store.log_sql import Encoder
from workflows.log.sequence import read_entries
from workflows.private_file import whole_folder
from workflows.regulator.columns import DERIVED, columns_of
from workflows.regulator.derived import contacts, verdicts
from workflows.regulator.files import File, Format

FORMAT: Final = "duecourse-export/1"
WHEN: Final = {
    "decision": "now_at", "run": "now_at", "stage_change": "at", "contact_status": "at", "override": "at", "consent": "recorded_at",
    "published": "published_at", "deed": "at", "job_act": "at",
}  # fmt: skip
"""By which instant an entry is of a period; a snapshot is of its run's."""
_SPELLING: Final = (
    "UTF-8, a comma between cells, a line feed at the end of each row, quotes doubled. An empty cell is null. A text that is empty, or begins with "
    "= + - @ ' a tab or a carriage return, has one apostrophe before it, so that no spreadsheet takes it for a formula: take it off again. "
    "Instants are UTC with six digits of microseconds."
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: positions from `start` to before `end`, rows by table, and the manifest's SHA-256 in hex."""

    start: int
    end: int
    rows: dict[str, int]
    digest: str


def export(
    database: Database,
    folder: Path,
    keys: Sequence[PublicKey],
    *,
    since: datetime,
    until: datetime,
    form: Format,
    now: datetime,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """
    Write the stretch of the log that holds what happened from `since` to before `until`.

    Args:
        keys: by which the newest checkpoint is believed.
    Raises:
        DataError: nothing happened then, some of it is not signed yet, or the folder is there already.
        StoreError: the database cannot be read, or the log is not what was signed.
    """
    with database.session() as session:
        seal_key = log.seal_key(session)
    with whole_folder(folder) as making, room_for("the export", str(Path.cwd())):
        with reading(database) as reader, Encoder(seal_key or b"") as encoder:
            note, checkpoint = _newest(reader, keys)
            start, end = _stretch(reader, since, until, checkpoint)
            files = _tables(reader, encoder, making, start, end, form, progress)
            path = beside(start, end, checkpoint.size, log.subtrees(reader))
            packs = _packs(reader, since, until)
        lines = [
            "duecourse-stretch/1",
            f"from {start}",
            f"to {end}",
            *(f"path {b64encode(one).decode()}" for one in path),
        ]
        (making / "proof.txt").write_text("\n".join(lines) + "\n\n" + note, encoding="utf-8", newline="\n")
        manifest = {
            "format": FORMAT, "log": checkpoint.origin, "made_at": _instant(now), "period": {"from": _instant(since), "to": _instant(until)},
            "positions": {"from": start, "to": end}, "log_size": checkpoint.size, "packs": packs, "csv": _SPELLING if form == "csv" else None,
            "files": files,
        }  # fmt: skip
        text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
        (making / "manifest.json").write_text(text, encoding="utf-8", newline="\n")
        digest = hashlib.sha256(text.encode()).hexdigest()
        rows = {file["table"]: file["rows"] for file in files}
        detail = {"from": _instant(since), "to": _instant(until), "start": start, "end": end, "rows": rows}
        # Said before it is done: whatever leaves is in the log.
        with writing(database) as transaction:
            record(transaction, "export", digest, detail, now=now)
    return Exported(start, end, rows, digest)


def _tables(
    reader: Reader, encoder: Encoder, folder: Path, start: int, end: int, form: Format, progress: Progress
) -> list[dict[str, Any]]:
    """Write every table; what the manifest says of each."""
    files: dict[str, File] = {}

    def file_of(table: str) -> File:
        if table not in files:
            columns = DERIVED.get(table) or columns_of(table)
            files[table] = File(folder, table, columns, form, proved=table not in DERIVED)
        return files[table]

    try:
        for table in DERIVED:
            file_of(table)
        for first in range(start, end, log.BATCH):
            leaves = log.leaves(reader, first, min(first + log.BATCH, end))
            rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
            for leaf, entry in zip(
                leaves, read_entries(reader, encoder, [(leaf.kind, leaf.key) for leaf in leaves]), strict=True
            ):
                if not entry or leaf_hash(entry) != leaf.hash:
                    raise _torn(f"`{leaf.kind}:{leaf.key}` is not what was logged")
                fields = _fields(entry)
                rows[leaf.kind].append((leaf.position, *fields.values()))
                rows["verdict"] += verdicts(leaf.kind, leaf.position, fields)
                rows["contact"] += contacts(leaf.kind, leaf.position, fields)
            for table, some in rows.items():
                file_of(table).write(some)
            progress(first + len(leaves) - start, end - start)
        return [files[table].close() for table in sorted(files)]
    finally:
        for file in files.values():
            file.release()


def _fields(entry: bytes) -> dict[str, Any]:
    """The fields of an entry by name, in its order: instants in microseconds, dates as text, withheld ones as their commitment."""
    parts = list(elements(entry))
    return {
        name.decode(): _value(letter, data) for (_, name), (letter, data) in zip(parts[3::2], parts[4::2], strict=True)
    }


def _value(letter: str, data: bytes) -> Any:
    if letter == "n":
        return None
    if letter in "it":
        return int(data)
    return data == b"1" if letter == "b" else data.decode()


def _stretch(reader: Reader, since: datetime, until: datetime, checkpoint: Checkpoint) -> tuple[int, int]:
    """The shortest run of positions that holds whatever is of the period."""
    leaf, run = table_of("log_leaf"), table_of("run")
    found: list[tuple[int, int]] = []
    waiting = 0
    for name, kind in KINDS.items():
        row = table_of(kind.table)
        key = literal_column(kind.key_sql(kind.table), leaf.c.key.type)
        source, when = (
            (row, row.c[WHEN[name]]) if name in WHEN else (row.join(run, run.c.id == row.c.run_id), run.c.now_at)
        )
        at = leaf.c.position
        ends: list[Any] = [func.min(at).label("low"), func.max(at).label("high"), func.count().label("rows"), func.count(at).label("placed")]  # fmt: skip
        placed = source.outerjoin(leaf, (leaf.c.kind == name) & (leaf.c.key == key))
        (seen,) = reader.read(select(*ends).select_from(placed).where(when >= since, when < until)).to_pylist()
        waiting += seen["rows"] - seen["placed"]
        if seen["low"] is not None:
            found.append((seen["low"], seen["high"]))
    if waiting:
        raise DataError(
            Problem(
                f"{waiting:,} rows of that time have no position in the log yet", "run `duecourse audit checkpoint`"
            )
        )
    if not found:
        raise DataError(Problem("the log holds nothing of that time", "`duecourse log` shows what there is"))
    start, end = min(low for low, _ in found), max(high for _, high in found) + 1
    if end > checkpoint.size:
        raise DataError(Problem("some of it is not signed yet", "run `duecourse audit checkpoint`"))
    return start, end


def _packs(reader: Reader, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The packs of every gate that decided then, by name and SHA-256."""
    run, published = table_of("run"), table_of("published")
    gates = select(run.c.gate_digest).where(run.c.now_at >= since, run.c.now_at < until)
    wanted = select(published.c.digest, published.c.content).where(
        published.c.kind == "gate", published.c.digest.in_(gates)
    )
    rows = reader.read(wanted.order_by(published.c.digest)).to_pylist()
    return [{"gate": row["digest"], "packs": _listed(row["content"].splitlines())} for row in rows]


def _listed(lines: Iterable[str]) -> dict[str, str]:
    named = (line.rpartition(" ") for line in lines)
    return {name: digest for name, _, digest in named if name}


def _newest(reader: Reader, keys: Sequence[PublicKey]) -> tuple[str, Checkpoint]:
    kept = table_of("log_checkpoint")
    notes = reader.read(select(kept.c.note).order_by(kept.c.number.desc()).limit(1))["note"].to_pylist()
    if not notes:
        raise DataError(Problem("nothing of the log is signed yet", "run `duecourse audit checkpoint`"))
    try:
        return notes[0], read_checkpoint(notes[0], keys)
    except NotVouched as answer:
        raise _torn(f"the newest checkpoint cannot be used: {answer.why}", unknown=answer.unknown) from None


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _torn(what: str, *, unknown: bool = False) -> ProofError:
    return ProofError(Problem(what, "run `duecourse audit verify`"), unknown=unknown)
