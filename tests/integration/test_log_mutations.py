"""
One random wrong at a time, done to a copy of a clean log or to a proof file: every one is found, and its place is told.

The copy's tables have no keys, no constraints and no triggers, as somebody could leave them who owns the file.
`LOG_MUTATIONS=10000` says how many; `make log-mutations` runs that many.
"""

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlmodel import select

from duecourse.witnesses import FolderWitness, ask_folder
from store.bulk_arrow import table_of
from store.deeds import STATED, deed_of
from store.log_kinds import KINDS
from store.outbox import FIXED, MOVING
from store.tables import Hold, Notice
from tests.forgotten import LENDER, LONG_AFTER, REF, remembered
from tests.logs import SignedLog, add_decisions, positions, signed_log, standalone
from tests.opening import open_database
from workflows.log.checkpoint import hand_over
from workflows.log.prove import prove
from workflows.privacy.erase import erase

QUICK = 45
MANY = int(os.environ.get("LOG_MUTATIONS", "10000"))
PARTS = 100
"""So that what does not come to an end is known for that by the time a part may take, and is one of a hundred."""
LOG_TABLES = ("log_leaf", "log_node", "log_checkpoint", "log_handover", "log_erased", "setting")
FILES = "the witness's files"
WITNESS = "../elsewhere"
SETTINGS = "name in ('log.head', 'log.seal_key')"
MUTABLE = {
    "run": {"status", "done_to", "counts_json", "ended_at"},
    "contact": {column.name for column in table_of("contact").columns} - {"id", "status", *MOVING, *FIXED},
    **{name: {column.name for column in table_of(name).columns} - {"id", *kept} for name, kept in STATED.items()},
}
"""What no entry holds: it changes while a run or a contact goes on."""
VOUCHED = {"contact": ("id",), "contact_loan": ("contact_id", "loan_id"), "hold": ("id",), "notice": ("id",)}
"""Tables that change, and whose rows the entries vouch for: their keys."""

Row = dict[str, object]


class Wrong(NamedTuple):
    """What was done, and words of which a finding must hold one."""

    what: str
    places: tuple[str, ...]


@pytest.fixture(scope="module")
def clean(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SignedLog]:
    """A file with a signed log, a person erased from it, past all that would refuse a wrong; a witness's folder beside it."""
    path = tmp_path_factory.mktemp("mutations") / "clean.db"
    shutil.copyfile(sqlite_template, path)
    with closing(open_database(f"sqlite:///{path}")) as made:
        log = signed_log(made)
        with made.write() as session:  # No part of the log, and what waits there for its turn must be readable.
            session.connection().execute(text("delete from arrival"))
        remembered(made)
        with made.write() as session:
            for row in (*session.exec(select(Hold)), *session.exec(select(Notice))):
                session.add(deed_of(row, new=True, now=log.now))
        log.sign()
        erase(made, REF, LENDER, because="request 7", by="li", now=LONG_AFTER, today=LONG_AFTER.date())
        for run in (901, 902, 903):
            add_decisions(made, 2, run=run)
            log.sign()
            assert hand_over(made, [FolderWitness(WITNESS, path.parent / "witness")], now=log.now) == []
    with closing(sqlite3.connect(path)) as connection:
        for name, kind in connection.execute("select name, type from sqlite_master where sql is not null").fetchall():
            if kind == "trigger":
                connection.execute(f"drop trigger {name}")
        for table in (*(kind.table for kind in KINDS.values()), *LOG_TABLES, *VOUCHED):
            connection.execute(f'create table bare as select * from "{table}"')
            connection.execute(f'drop table "{table}"')
            connection.execute(f'alter table bare rename to "{table}"')
        connection.commit()
        connection.execute("pragma journal_mode = delete")
        connection.execute("vacuum")
    return path, log


def test_the_clean_copy_has_nothing_against_it(clean: tuple[Path, SignedLog], tmp_path: Path) -> None:
    """Without keys and triggers it still is the log that was signed: what is found below was done below."""
    assert found_in(clean, tmp_path, lambda _, __: None) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_wrong_done_to_the_database_is_found(clean: tuple[Path, SignedLog], tmp_path: Path, seed: int) -> None:
    """A byte changed, a row deleted, inserted, swapped, an end cut off, in evidence, log, tree, checkpoints, handovers; a file."""
    _wrongs(clean, tmp_path, seed, range(QUICK // 3))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_thousands_of_wrongs_done_to_the_database_are_found(
    clean: tuple[Path, SignedLog], tmp_path: Path, part: int
) -> None:
    """The same, ten thousand times."""
    _wrongs(clean, tmp_path, 2026, range(part, MANY, PARTS))


def _wrongs(clean: tuple[Path, SignedLog], folder: Path, seed: int, numbers: range) -> None:
    for n in numbers:
        chance = random.Random(f"{seed}:{n}")
        done: list[Wrong] = []
        found = found_in(clean, folder, lambda connection, files: done.append(_do(connection, files, chance)))  # noqa: B023 - run at once
        told = "\n".join(found)
        # Not as the beginning of a longer number.
        named = any(re.search(rf"{re.escape(place)}(?!,?\d)", told) for place in done[0].places)
        assert named, (f"{seed}:{n}", done[0], found[:5])


def found_in(
    clean: tuple[Path, SignedLog], folder: Path, wrong: Callable[[sqlite3.Connection, Path], None]
) -> list[str]:
    """What verification finds in a copy to which a wrong was done, and what it tells of witnesses that it did not ask."""
    path, files = folder / "copy.db", folder / "witness"
    shutil.copyfile(clean[0], path)
    shutil.rmtree(files, ignore_errors=True)
    shutil.copytree(clean[0].parent / "witness", files)
    with closing(sqlite3.connect(path)) as connection:
        wrong(connection, files)
        connection.commit()
    with closing(open_database(f"sqlite:///{path}")) as database:
        found = clean[1].of(database).verify(asked=[ask_folder(WITNESS, files)])
    return [*(str(one) for one in found.findings), *found.told]


def _do(connection: sqlite3.Connection, files: Path, chance: random.Random) -> Wrong:
    """One wrong of any kind; tried until it changes anything."""
    tables = [*(kind.table for kind in KINDS.values()), *LOG_TABLES, *VOUCHED, FILES]
    while True:
        table = chance.choice(tables)
        if table == FILES:
            return _do_to_file(files, chance)
        way = chance.choice((_change, _change, _delete, _insert, _swap, _truncate))
        if (wrong := way(connection, table, chance)) is not None:
            return wrong


def _do_to_file(files: Path, chance: random.Random) -> Wrong:
    """A file of the witness changed, lost, called otherwise, or put in the place of another."""
    one, other = chance.sample(sorted(files.iterdir()), 2)
    number = one.stem.removeprefix("checkpoint-")
    places = (f"{WITNESS}, {one.name}", f"checkpoint {number} at witness {WITNESS}")
    match chance.randrange(4):
        case 0:
            data = one.read_bytes()
            at = chance.randrange(len(data))
            one.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
            return Wrong(f"{one.name}: byte {at}", places)
        case 1:
            one.unlink()
            return Wrong(f"{one.name}: deleted", places)
        case 2:
            new = chance.randrange(100, 1000)
            one.rename(files / f"checkpoint-{new}.txt")
            return Wrong(f"{one.name}: now {new}", (f"checkpoint {new}: witness {WITNESS}",))
        case _:
            one.write_bytes(other.read_bytes())
            return Wrong(f"{one.name}: now holds {other.name}", places)


def _change(connection: sqlite3.Connection, table: str, chance: random.Random) -> Wrong | None:
    rowid, row = _row(connection, table, chance)
    column = chance.choice([name for name in row if name not in MUTABLE.get(table, set())])
    # A flag that holds another number than 1 still is one.
    value = int(not row[column]) if column == "misdirected" else _other(row[column], chance)
    if (table, column) == ("log_handover", "at"):
        # When it took it is only known to be no earlier than the checkpoint.
        value = int(str(row[column])) - 2 ** chance.randrange(40)
    connection.execute(f'update "{table}" set "{column}" = ? where rowid = ?', (value, rowid))
    changed = {**row, column: value}
    return Wrong(f"{table}.{column}: {row[column]!r} -> {value!r}", (*_places(table, row), *_places(table, changed)))


def _delete(connection: sqlite3.Connection, table: str, chance: random.Random) -> Wrong | None:
    rowid, row = _row(connection, table, chance)
    connection.execute(f'delete from "{table}" where rowid = ?', (rowid,))
    return Wrong(f"{table}: deleted {row}", _places(table, row))


def _insert(connection: sqlite3.Connection, table: str, chance: random.Random) -> Wrong | None:
    """A row again, under its own key or another."""
    if table == "setting":
        return None
    _, row = _row(connection, table, chance)
    key = {"log_leaf": "position", "log_node": "number", "log_checkpoint": "number", "log_handover": "number",
           "log_erased": "field"}.get(table)  # fmt: skip
    key = key or VOUCHED.get(table, [None])[-1] or next(kind.key[0] for kind in KINDS.values() if kind.table == table)
    if chance.random() < 0.7:
        row = {**row, key: row[key] + chance.choice((1, 1000, -5000)) if isinstance(row[key], int) else f"{row[key]}x"}
    connection.execute(
        f'insert into "{table}" ({", ".join(row)}) values ({", ".join("?" * len(row))})', list(row.values())
    )
    return Wrong(f"{table}: inserted {row}", _places(table, row))


def _swap(connection: sqlite3.Connection, table: str, chance: random.Random) -> Wrong | None:
    """Two rows change places: everything but what they are called by."""
    keys = {
        "log_leaf": ("position",),
        "log_node": ("level", "number"),
        "log_checkpoint": ("number",),
        "log_handover": ("number", "witness"),
        "log_erased": ("kind", "key", "field"),
        "setting": ("name",),
        **VOUCHED,
    }
    key = keys.get(table) or next(kind.key for kind in KINDS.values() if kind.table == table)
    (one_id, one), (other_id, other) = _row(connection, table, chance), _row(connection, table, chance)
    content = [name for name in one if name not in key and name not in MUTABLE.get(table, set())]
    if [one[name] for name in content] == [other[name] for name in content]:
        return None
    sets = ", ".join(f'"{name}" = ?' for name in content)
    for rowid, row in ((one_id, other), (other_id, one)):
        connection.execute(f'update "{table}" set {sets} where rowid = ?', (*(row[name] for name in content), rowid))
    return Wrong(f"{table}: swapped {one} and {other}", (*_places(table, one), *_places(table, other)))


def _truncate(connection: sqlite3.Connection, table: str, chance: random.Random) -> Wrong | None:
    rows = list(_rows(connection, table))
    _, first = rows[(cut := chance.randrange(len(rows)))]
    connection.executemany(f'delete from "{table}" where rowid = ?', [(rowid,) for rowid, _ in rows[cut:]])
    return Wrong(f"{table}: cut off from {first}", _places(table, first))


def _places(table: str, row: Row) -> tuple[str, ...]:
    """How a finding about a row names it."""
    if table == "log_leaf":
        at = int(str(row["position"]))
        # Cut off at its end, it is told by its length and by whose word no longer fits.
        return (
            f"position {at:,}",
            f"positions {at:,}",
            f"to {at:,} of",
            "length of the log",
            "positions before 0",
            "of the log: they are not",
        )
    if table == "log_node":
        return (f"tree node {row['level']}/{row['number']}", f"tree nodes of level {row['level']}")
    if table == "log_checkpoint":
        return (f"checkpoint {row['number']}", "missing: checkpoints", f"checkpoint {int(str(row['number'])) + 1}")
    if table == "log_handover":
        which = f"checkpoint {row['number']}"
        return (f"{which} to witness", f"{which} at witness", f"{which}: there is a handover", f"about {which}")
    if table == "log_erased":
        return (f"`{row['kind']}:{row['key']}`", f"`deed:{row['deed_id']}` erased", "the table `log_erased` holds")
    if table == "setting":
        of_head = ("length of the log", "log.head", "missing: checkpoints")
        return of_head if str(row["name"]).startswith("log.h") else ("`consent:", "log.seal_key")
    if table in VOUCHED:
        return (f"`{table.removesuffix('_loan')}:{row[VOUCHED[table][0]]}`",)
    kind = next(kind for kind in KINDS.values() if kind.table == table)
    return (f"`{kind.name}:{'-'.join(str(row[name]) for name in kind.key)}`",)


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[int, Row]]:
    only = f"where {SETTINGS}" if table == "setting" else ""
    cursor = connection.execute(f'select rowid, * from "{table}" {only} order by rowid')
    names = [column[0] for column in cursor.description][1:]
    for rowid, *values in cursor:
        yield rowid, dict(zip(names, values, strict=True))


def _row(connection: sqlite3.Connection, table: str, chance: random.Random) -> tuple[int, Row]:
    return chance.choice(list(_rows(connection, table)))


def _other(value: object, chance: random.Random) -> object:
    """Another value, by one bit or one byte; a null becomes something, and something may become null."""
    if value is None:
        return chance.choice(("", 0))
    if isinstance(value, int):
        return value ^ 1 << chance.randrange(40)
    data = value if isinstance(value, bytes) else str(value).encode()
    at = chance.randrange(len(data)) if data else 0
    way = chance.randrange(3) if data else 1
    new = bytes([chance.choice([byte for byte in range(1, 128) if not data or byte != data[at]])])
    made = (data[:at] + new + data[at + 1 :], data[:at] + new + data[at:], data[:at] + data[at + 1 :])[way]
    return made if isinstance(value, bytes) else made.decode(errors="replace")


# --- proof files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs(clean: tuple[Path, SignedLog], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A proof of one entry, one of many with withheld fields opened, and one of growth."""
    path = tmp_path_factory.mktemp("proofs") / "copy.db"
    shutil.copyfile(clean[0], path)
    with closing(open_database(f"sqlite:///{path}")) as database:
        log = clean[1].of(database)
        some = [(kind, key) for _, kind, key in positions(database)[::90]] + [("consent", "1")]
        made = [
            prove(database, [("decision", "102-5")], log.keys),
            prove(database, some, log.keys, opened=True),
            prove(database, [("deed", "1")], log.keys, since=2),
        ]
    return [text.encode() for text in made]


def test_every_wrong_done_to_a_proof_is_found(
    proofs: list[bytes], clean: tuple[Path, SignedLog], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes changed, deleted, inserted, swapped, the end cut off, lines out of order: never accepted, never a traceback."""
    _wrong_proofs(proofs, clean[1], tmp_path, capsys, range(600))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_thousands_of_wrongs_done_to_a_proof_are_found(
    proofs: list[bytes], clean: tuple[Path, SignedLog], tmp_path: Path, capsys: pytest.CaptureFixture[str], part: int
) -> None:
    """The same, as often as asked for."""
    _wrong_proofs(proofs, clean[1], tmp_path, capsys, range(part, MANY, PARTS))


def _wrong_proofs(
    proofs: list[bytes], log: SignedLog, folder: Path, capsys: pytest.CaptureFixture[str], numbers: range
) -> None:
    verifier = standalone()
    keys, since, file = folder / "keys.txt", folder / "old.txt", folder / "proof.txt"
    keys.write_text(log.keys_text, encoding="utf-8")
    since.write_text(log.notes[2], encoding="utf-8")
    arguments = [
        [str(file), "--keys", str(keys), *(["--since", str(since)] if which == 2 else [])] for which in range(3)
    ]
    for proof, words in zip(proofs, arguments, strict=True):
        file.write_bytes(proof)
        assert verifier.main(words) == 0
    for n in numbers:
        chance = random.Random(f"proof:{n}")
        which = n % len(proofs)
        wrong = _wrong_file(proofs[which], chance)
        file.write_bytes(wrong)
        answer = verifier.main(arguments[which])
        said = capsys.readouterr().out
        assert answer in (3, 4), (n, answer)
        assert said.splitlines()[-1].startswith(("no: ", "cannot tell: ")), n


def _wrong_file(data: bytes, chance: random.Random) -> bytes:
    while True:
        at = chance.randrange(len(data))
        lines = data.split(b"\n")
        one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(6):
            case 0 | 1:
                made = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case 2:
                made = data[:at] + data[at + chance.choice((1, 1, 40)) :]
            case 3:
                made = data[:at] + bytes([chance.randrange(256)]) + data[at:]
            case 4:
                lines[one], lines[other] = lines[other], lines[one]
                made = b"\n".join(lines)
            case _:
                made = data[:at]
        if made != data:
            return made
