"""The regulator's export as a stranger checks it: whole and unchanged, or no; cut short or newer, cannot tell."""

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlmodel import select

from compliance.checkpoint import PublicKey
from engine.errors import DataError, StoreError
from store.db import Database
from store.log_kinds import KINDS
from store.log_sql import Encoder
from store.tables import ContactStatus, Deed
from tests import logs, outgoing
from tests.outgoing import add
from tests.review_book import MADE, fill, signed
from workflows.regulator.columns import MEANINGS, columns_of
from workflows.regulator.export import WHEN, Exported, export
from workflows.regulator.files import Format
from workflows.spreadsheet import cell

VERIFIER = Path(__file__).resolve().parents[2] / "docs" / "verify_proof.py"
SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def exported(database: Database, folder: Path, keys: tuple[PublicKey, ...], form: Format = "csv") -> Exported:
    """The log of March."""
    return export(database, folder, keys, since=SINCE, until=UNTIL, form=form, now=MADE)


def checked(folder: Path, keys: tuple[PublicKey, ...], **environment: str) -> tuple[int, str]:
    """The verifier's exit code and words, as a stranger runs it."""
    named = folder.with_name("keys.txt")
    named.write_text("".join(f"{key.line}\n" for key in keys), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-s", str(VERIFIER), str(folder), "--keys", str(named)],
        capture_output=True, encoding="utf-8", check=False, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def hostile(database: Database) -> None:
    """Rows with texts that spreadsheets, CSV and JSON stumble over."""
    fill(database, 8)
    with database.session() as session:
        contact = session.exec(select(ContactStatus)).first()
    assert contact is not None
    for status in ("", "'", "''=1", '=cmd|"/c calc"!A0', "+1", "-1", "@x", "\tx", 'a,b\n"c"', "\r", "null", "中文"):  # fmt: skip
        add(database, ContactStatus(contact_id=contact.contact_id, status=status, at=MADE.replace(month=3)))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_row_stands_in_the_log_and_none_is_missing(database: Database, tmp_path: Path, form: Format) -> None:
    """A stranger's check says yes and how many rows; the manifest names every column; a deed holds the manifest's hash."""
    hostile(database)
    keys = signed(database)
    made = exported(database, tmp_path / "export", keys, form)
    code, said = checked(tmp_path / "export", keys)
    assert code == 0, said
    for table, rows in made.rows.items():
        assert f"{table}: {rows} rows\n" in said
    assert f"positions {made.start} to {made.end - 1} of the log" in said
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text(encoding="utf-8"))
    assert all(column["meaning"] for file in manifest["files"] for column in file["columns"])
    assert sum(file["rows"] for file in manifest["files"] if file["entries"]) == made.end - made.start
    with database.session() as session:
        (deed,) = session.exec(select(Deed)).all()
    assert deed.subject == made.digest
    assert json.loads(deed.detail_json)["rows"] == made.rows


def read(path: Path) -> list[list[str]]:
    """The rows of a CSV file, its header first."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def rewritten(path: Path, change: Callable[[list[list[str]]], None]) -> None:
    """A CSV file with other rows, and a manifest that knows it."""
    rows = read(path)
    change(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    covered(path, len(rows) - 1)


def covered(path: Path, rows: int) -> None:
    """A manifest that says what the file is now: whoever changes rows changes it too."""
    import hashlib

    manifest = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))
    for file in manifest["files"]:
        if file["name"] == path.name:
            file |= {
                "rows": rows,
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
    (path.parent / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_whatever_is_changed_dropped_or_added_shows(sqlite_database: Database, tmp_path: Path) -> None:
    """With a manifest made to fit: each cell that says something else, each row gone, doubled or moved, each file: no, exit 3."""
    import shutil

    hostile(sqlite_database)
    keys = signed(sqlite_database)
    good = tmp_path / "good"
    exported(sqlite_database, good, keys)
    assert checked(good, keys)[0] == 0
    wrong: list[tuple[str, Callable[[Path], None]]] = []
    for name in ("decision", "contact_status", "consent", "run", "verdict"):
        header, first = read(good / f"{name}.csv")[:2]
        for at, column in enumerate(header[:6]):
            other = "7" if first[at] != "7" else "8"
            if first[at].endswith("Z"):
                other = "2020-01-01T00:00:00.000000Z"

            def change(rows: list[list[str]], at: int = at, other: str = other) -> None:
                rows[1][at] = other

            wrong.append((f"{name}.{column}", lambda f, name=name, change=change: rewritten(f / f"{name}.csv", change)))  # type: ignore[misc]
        wrong.append((f"{name}: dropped", lambda f, name=name: rewritten(f / f"{name}.csv", lambda rows: rows.pop(1))))  # type: ignore[misc]
        wrong.append(
            (f"{name}: doubled", lambda f, name=name: rewritten(f / f"{name}.csv", lambda rows: rows.append(rows[1])))
        )  # type: ignore[misc]
    wrong += [
        ("a row without its manifest", lambda f: (f / "run.csv").write_text((f / "run.csv").read_text(encoding="utf-8") + "1,,,,,,,,\n", encoding="utf-8")),
        ("a file gone", lambda f: (f / "consent.csv").unlink()),
        ("a file more", lambda f: (f / "more.csv").write_text("x\n", encoding="utf-8")),
        ("null for empty", lambda f: rewritten(f / "contact_status.csv", lambda rows: [row.__setitem__(rows[0].index("status"), "") for row in rows if "'" in row])),  # type: ignore[func-returns-value]
        ("another stretch", lambda f: (f / "proof.txt").write_text((f / "proof.txt").read_text(encoding="utf-8").replace("from ", "from 1"), encoding="utf-8")),
    ]  # fmt: skip
    assert len(wrong) > 40
    # Each is a process of its own: a sample, the same each time, and all sorts of it.
    for what, spoil in wrong[::3] + wrong[-5:-1]:
        folder = tmp_path / "bad"
        shutil.copytree(good, folder)
        spoil(folder)
        code, said = checked(folder, keys)
        assert (code, said[:4]) == (3, "no: "), (what, said)
        shutil.rmtree(folder)


def rewritten_parquet(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """A Parquet file again with other rows, and its manifest made to fit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    covered(path, len(rows))


def another(value: Any) -> Any:
    """Another value of the same type; of nothing, nothing is made."""
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, date):
        return value + timedelta(days=1)
    return value + "x" if isinstance(value, str) else value + 1


def in_each_others_place(rows: list[dict[str, Any]]) -> None:
    """Two rows exchange their positions."""
    rows[0]["position"], rows[1]["position"] = rows[1]["position"], rows[0]["position"]


def test_whatever_is_changed_dropped_or_added_to_a_parquet_file_shows(
    sqlite_database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a manifest made to fit: every column of every table, each row gone, doubled or moved, each file: no, exit 3."""
    import shutil

    import pyarrow.parquet as pq

    hostile(sqlite_database)
    keys = signed(sqlite_database)
    good, named = tmp_path / "good", tmp_path / "keys.txt"
    exported(sqlite_database, good, keys, "parquet")
    assert checked(good, keys)[0] == 0
    wrong: list[tuple[str, str, Callable[[list[dict[str, Any]]], object]]] = []
    for path in sorted(good.glob("*.parquet")):
        if not (rows := pq.read_table(path).to_pylist()):
            continue
        for column in rows[0]:
            at = next((at for at, row in enumerate(rows) if row[column] is not None), None)
            if at is not None:
                new = another(rows[at][column])
                wrong.append(
                    (
                        path.name,
                        f"{column} of row {at}",
                        lambda rows, at=at, c=column, new=new: rows[at].update({c: new}),
                    )
                )  # type: ignore[misc]
                wrong.append(
                    (path.name, f"no {column} of row {at}", lambda rows, at=at, c=column: rows[at].update({c: None}))
                )  # type: ignore[misc]
        wrong.append((path.name, "the last row dropped", lambda rows: rows.pop()))
        wrong.append((path.name, "the first row doubled", lambda rows: rows.insert(0, rows[0])))
        if len(rows) > 1 and rows[0]["position"] != rows[1]["position"]:
            wrong.append((path.name, "two rows in each other's place", in_each_others_place))
        wrong.append((path.name, "no rows", lambda rows: rows.clear()))
    tables = {name.partition(".")[0] for name, _, _ in wrong}
    assert tables >= {"decision", "contact_status", "consent", "run", "verdict"}
    assert len(wrong) > 100
    # A sample, the same each time, and all sorts of it.
    chance = random.Random(2026)
    for name, what, change in chance.sample(wrong, 60):
        folder = tmp_path / "bad"
        shutil.copytree(good, folder)
        rewritten_parquet(folder / name, change)
        code = logs.standalone().main([str(folder), "--keys", str(named)])
        said = capsys.readouterr().out
        assert (code, said[:4]) == (3, "no: "), (name, what, said)
        shutil.rmtree(folder)
    shutil.copytree(good, folder)
    (folder / "consent.parquet").unlink()
    assert checked(folder, keys)[0] == 3


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda f: (f / "decision.csv").write_bytes((f / "decision.csv").read_bytes()[:-40]), "decision.csv is cut short"),
        (lambda f: (f / "manifest.json").write_bytes((f / "manifest.json").read_bytes()[:-40]), "manifest.json cannot be read"),
        (lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text().replace("duecourse-export/1", "duecourse-export/2")), "get a newer one"),
        (lambda f: (f / "proof.txt").write_bytes((f / "proof.txt").read_bytes()[:30]), "proof.txt is cut short"),
    ],
)  # fmt: skip
def test_what_is_cut_short_or_newer_cannot_be_told(
    sqlite_database: Database, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    """Exit 4 and what is missing: nobody is accused of what a bad line did."""
    fill(sqlite_database, 9, people=1)
    keys = signed(sqlite_database)
    exported(sqlite_database, tmp_path / "export", keys)
    spoil(tmp_path / "export")
    code, said = checked(tmp_path / "export", keys)
    assert code == 4
    assert why in said


def reread(folder: Path, name: str, column: str, values: Callable[[int], Any]) -> None:
    """A Parquet file with another column, and a manifest that knows it."""
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, values(table.num_rows)), path)
    covered(path, table.num_rows)


def foreign_text(rows: int) -> Any:
    """A column of text that is none: bytes that no UTF-8 has."""
    import pyarrow as pa

    offsets = b"".join(at.to_bytes(4, "little") for at in range(rows + 1))
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(b"\xff" * rows)])


def instants(unit: str, zone: str | None, value: int) -> Callable[[int], Any]:
    """A column of one instant, spelled like that."""
    import pyarrow as pa

    return lambda rows: pa.array([value] * rows, pa.int64()).cast(pa.timestamp(unit, zone))


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("form", "spoil", "answer"),
    [
        ("parquet", lambda f: reread(f, "deed", "subject", foreign_text), (3, "no: deed.parquet holds a value that cannot be read\n")),
        ("parquet", lambda f: reread(f, "deed", "at", instants("us", None, 1)), (3, "no: deed.parquet: the column 'at' holds no instants as they are written\n")),
        ("parquet", lambda f: reread(f, "deed", "at", instants("ns", "UTC", 1)), (3, "no: deed.parquet: the column 'at' holds no instants as they are written\n")),
        ("parquet", lambda f: reread(f, "deed", "at", instants("us", "UTC", 9 * 10**18)), (3, "no: deed.parquet holds a value that cannot be read\n")),
        ("csv", lambda f: (f / "manifest.json").write_text(DEEP), (4, "cannot tell: manifest.json cannot be read: it is cut short, or none of ours\n")),
        ("csv", lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text().replace('"deed', '"deed\\ud800')), (3, "no: the manifest is not as it was written\n")),
        ("csv", lambda f: rewritten(f / "decision.csv", lambda rows: rows[1].__setitem__(rows[0].index("trace_json"), DEEP)), (3, "no: what position ")),
        ("csv", lambda f: ((f / "deed.csv").unlink(), (f / "deed.csv").mkdir()), (3, "no: deed.csv is missing\n")),
        ("csv", lambda f: (f / "中\n9 entries stand\x1b[2J").write_text(""), (3, "no: '中\\n9 entries stand\\x1b[2J' does not belong to the export\n")),
    ],
)  # fmt: skip
def test_what_nobody_wrote_gets_an_answer_too(
    sqlite_database: Database, tmp_path: Path, form: Format, spoil: Callable[[Path], object], answer: tuple[int, str]
) -> None:
    """Bytes that are no text, instants of no year, JSON without an end, folders for files: 3 or 4 on one line, never a traceback."""
    fill(sqlite_database, 9, people=1)
    add(sqlite_database, Deed(at=SINCE, kind="import", subject="x"))
    keys = signed(sqlite_database)
    folder = tmp_path / "export"
    exported(sqlite_database, folder, keys, form)
    assert checked(folder, keys)[0] == 0
    spoil(folder)
    code, said = checked(folder, keys, PYTHONIOENCODING="ascii")
    assert (code, said[: len(answer[1])]) == answer
    assert said.count("\n") == 1


def test_a_flipped_bit_of_a_parquet_file_is_never_a_traceback(sqlite_database: Database, tmp_path: Path) -> None:
    """Wherever in the file it is, rows are read, or it is no (text that is none), or cannot be told."""
    import pyarrow.parquet as pq

    fill(sqlite_database, 9, people=1)
    keys = signed(sqlite_database)
    folder = tmp_path / "export"
    exported(sqlite_database, folder, keys, "parquet")
    path = folder / "decision.parquet"
    # Not pressed, so that most flips strike a value and not the pressing.
    pq.write_table(pq.read_table(path), path, compression="none", use_dictionary=False)
    good = path.read_bytes()
    verifier = logs.standalone()
    names = {file["name"]: file for file in json.loads((folder / "manifest.json").read_text())["files"]}
    answers: Counter[str] = Counter()
    for seed in range(300):
        chance = random.Random(seed)
        spoilt = bytearray(good)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        try:
            list(verifier.read_rows(str(path), names["decision.parquet"]))
        except (verifier.No, verifier.CannotTell) as said:
            answers[type(said).__name__] += 1
        else:
            answers["read"] += 1
    assert answers["CannotTell"] > 0, answers
    assert answers["No"] > 0, answers


def test_what_evidence_says_stays_on_its_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A name with a line break forges no line, an escape clears no screen, a turn of direction turns nothing; Chinese stays."""
    logs.standalone().tell(["  by: agent:x\n9 entries stand", "\x1b[2J\u202e中文\u3000\ud800\x7f"])
    lines = capsysbinary.readouterr().out.decode("utf-8").split("\n")
    assert lines == ["  by: agent:x\\n9 entries stand", "\\x1b[2J\\u202e中文\u3000\\ud800\\x7f", ""]


def test_what_is_not_signed_or_was_changed_does_not_leave(sqlite_database: Database, tmp_path: Path) -> None:
    """Nothing of that time, rows without a position, rows that are not what was logged: refused, and no folder is left."""
    with pytest.raises(DataError, match="nothing of the log is signed yet"):
        exported(sqlite_database, tmp_path / "export", ())
    fill(sqlite_database, 10, people=1)
    keys = signed(sqlite_database)
    add(sqlite_database, Deed(at=SINCE, kind="import", subject="x"))
    with pytest.raises(DataError, match="1 rows of that time have no position in the log yet"):
        exported(sqlite_database, tmp_path / "export", keys)
    keys = signed(sqlite_database, MADE.replace(day=4))
    with sqlite_database.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("drop trigger deed_unchanged")
        connection.exec_driver_sql("update deed set subject = 'y'")
    with pytest.raises(StoreError, match="`deed:1` is not what was logged"):
        exported(sqlite_database, tmp_path / "export", keys)
    assert not (tmp_path / "export").exists()
    assert not list(tmp_path.glob(".export*"))


def test_where_duckdb_has_no_room_nothing_is_left(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it says of a file or of memory: what to free is said, and neither the folder nor a deed is there."""
    fill(sqlite_database, 7, people=1)
    keys = signed(sqlite_database)
    deeds = len(outgoing.rows(sqlite_database, Deed))
    for error in (
        duckdb.IOException('Could not write file "x": No space left on device'),
        duckdb.OutOfMemoryException("failed to allocate"),
    ):

        def encode(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Encoder, "encode", encode)
        with pytest.raises(StoreError) as refused:
            exported(sqlite_database, tmp_path / "made", keys)
        (problem,) = refused.value.problems
        assert (
            problem.what == f"the export cannot be worked out in `{Path.cwd()}`, and nothing of it was written: {error}"
        )
        assert list(tmp_path.glob("*made*")) == []
    assert len(outgoing.rows(sqlite_database, Deed)) == deeds


def test_every_kind_of_entry_has_its_instant_and_every_column_its_meaning() -> None:
    """A kind that is added to the log is exported too: it must be said when its entries are of a period, and what their fields mean."""
    assert set(WHEN) == set(KINDS) - {"snapshot"}
    fields = {column.name for kind in KINDS for column in columns_of(kind)}
    assert {name for name in fields if name not in MEANINGS} == WITHHELD


WITHHELD = {"agent", "approved_by", "because", "by", "content", "evidence", "given_to", "how", "reason", "ref", "why"}
"""Fields that stand as commitments only; what they are called says enough."""


def test_no_cell_begins_like_a_formula() -> None:
    """Whatever a text is, no cell of it begins with = + - @ tab or return, null and the empty text differ, and it reads back as it was."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    sys.path.insert(0, str(VERIFIER.parent))
    try:
        from verify_proof import read_cell
    finally:
        sys.path.pop(0)

    @settings(max_examples=50)
    @given(st.text() | st.text("=+-@\t\r'", max_size=3))
    def reads_back(text: str) -> None:
        written = cell(text)
        assert written
        assert written[0] not in "=+-@\t\r"
        assert read_cell(written, "text", "here") == text

    reads_back()
    assert read_cell(cell(None), "text", "here") is None
