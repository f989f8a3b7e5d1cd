"""What identifies somebody lies sealed in the database, whoever wrote it; keys change while others work; older books are sealed."""

import importlib
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from alembic import command
from sqlalchemy import Boolean, Connection, Date, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, col

from duecourse.commands.init import create_workspace
from duecourse.keys import add_key, rotate_keys
from duecourse.workspace import Workspace, open_workspace
from engine.errors import DuecourseError, StoreError
from store import migrations, reseal
from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.columns import Sealed, to_us
from store.db import Database
from store.sealing import Key, Keyring, new_key
from store.tables import Arrival, Contact, Endpoint, Hold, MessageText, Person
from tests.at_rest import marks_at_rest
from tests.e2e.command import duecourse
from tests.factories import make_loan, make_person
from tests.opening import KEY, open_database
from tests.outgoing import rows
from tests.postgres import Server

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
NAME, MOBILE, WORDS = "Zebedee Quillfeather", "+12125550177", "my neighbour Hortensia says hello"
MARKS = ("Zebedee", "Quillfeather", "2125550177", "Hortensia")
SEALED = [(t.name, c.name) for t in SQLModel.metadata.sorted_tables for c in t.columns if isinstance(c.type, Sealed)]


def said(action: Callable[[], object]) -> str:
    """The whole text of a refusal."""
    with pytest.raises(DuecourseError) as refused:
        action()
    return str(refused.value)


def kept(database: Database) -> dict[tuple[str, str], list[Any]]:
    """What stands in the sealed columns, as anybody with the database reads it."""
    with database.session() as session:
        return {
            (table, column): [one for (one,) in session.execute(text(f"select {column} from {table} order by 1"))]
            for table, column in SEALED
        }


def marked(found: bytes) -> list[str]:
    """Which marks of the person are in it."""
    return [mark for mark in MARKS if mark.encode() in found]


def fill(database: Database, *, name: str = NAME) -> None:
    """Something in every sealed column, by the ORM."""
    person = make_person(database, name=name, mobile=MOBILE)
    with database.write() as session:
        session.add(Hold(
            person_id=person, kind="dispute", owner="mei", review_on=NOW.date(), starts_at=NOW, recorded_at=NOW,
            reason=WORDS, ref=f"H{person}",
        ))  # fmt: skip
        session.add(Arrival(
            source="twilio", key=f"K{person}", kind="text", private_json=json.dumps({"text": WORDS}), recorded_at=NOW,
            due_at=NOW,
        ))  # fmt: skip
    loan = make_loan(database, borrower_id=person, instalments=[(NOW.date(), 100_00)])
    with database.write() as session:
        session.add(Contact(
            id=f"c{person}", loan_id=loan, person_id=person, channel="sms", slot=f"c{person}", status="planned",
            planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW,
        ))  # fmt: skip
        session.flush()
        session.add(MessageText(contact_id=f"c{person}", subject=name, text=WORDS))


def told(database: Database) -> list[tuple[str, ...]]:
    """The same as Duecourse reads it."""
    with database.session() as session:
        return [
            tuple(sorted(session.execute(select(table_of(table).c[column])).scalars(), key=lambda one: one or ""))
            for table, column in SEALED
        ]


# -- every path --------------------------------------------------------------------------------------------------------


def by_orm(database: Database, person: int) -> None:
    with database.write() as session:
        session.add(Endpoint(person_id=person, kind="mobile", value=MOBILE, recorded_at=NOW))


def by_core(database: Database, person: int) -> None:
    values = [
        {"person_id": person, "kind": kind, "value": MOBILE, "recorded_at": NOW} for kind in ("mobile", "landline")
    ]
    with database.write() as session:
        session.execute(insert(table_of("endpoint")), values)


def in_bulk(database: Database, person: int) -> None:
    values = {
        "person_id": person,
        "kind": "mobile",
        "value": MOBILE,
        "recorded_at": to_us(NOW),
        "valid": True,
        "rank": 0,
    }
    values |= dict.fromkeys(("basis", "source", "marks", "learnt_marks", "area"), "")
    with writing(database) as transaction:
        transaction.append("endpoint", pa.Table.from_pylist([values]))


@pytest.mark.parametrize("write", [by_orm, by_core, in_bulk])
def test_whoever_writes_a_number_seals_it_and_it_is_found(
    database: Database, write: Callable[[Database, int], None]
) -> None:
    """One object, one statement for several rows, whole columns: sealed, found by the same hash, read by every path."""
    write(database, make_person(database, name=NAME))
    assert all(one.startswith(f"{KEY.id}.") for one in kept(database)["endpoint", "value"])
    of_it = col(Endpoint.value_hash) == database.sealing.hashed(MOBILE)
    found = rows(database, Endpoint, of_it)
    assert found
    assert {one.value for one in found} == {MOBILE}
    with reading(database) as reader:
        assert reader.hashed(MOBILE) == found[0].value_hash
        read = reader.read(select(table_of("endpoint").c.value, table_of("person").c.name).join(table_of("person")))
    assert read.to_pylist()[0] == {"value": MOBILE, "name": NAME}


def test_a_number_that_is_changed_is_found_by_what_it_became(database: Database) -> None:
    """The hash goes with the value, and with nothing else."""
    make_person(database, mobile=MOBILE)
    with database.write() as session:
        mine = session.execute(select(Endpoint)).scalar_one()
        before, mine.valid = mine.value_hash, False
        session.flush()
        assert mine.value_hash == before
        mine.value = "+12125550188"
    (found,) = rows(database, Endpoint, col(Endpoint.value_hash) == database.sealing.hashed("+12125550188"))
    assert found.value == "+12125550188"
    assert before == database.sealing.hashed(MOBILE)


def test_nothing_of_what_is_sealed_can_be_read(database: Database, postgres_server: Server) -> None:
    """Every sealed column, written as people write: nothing of them stands in the database, or in its files."""
    fill(database)
    stands = kept(database)
    assert all(stands.values()), "something is in each of them"
    assert marked(json.dumps([list(values) for values in stands.values()]).encode()) == []
    assert marks_at_rest(database, MARKS, postgres_server) == []
    assert dict(zip(SEALED, told(database), strict=True)) == {
        ("person", "name"): (NAME,), ("endpoint", "value"): (MOBILE,), ("hold", "reason"): (WORDS,),
        ("arrival", "private_json"): (json.dumps({"text": WORDS}),), ("message_text", "subject"): (NAME,),
        ("message_text", "text"): (WORDS,),
    }  # fmt: skip


def test_what_is_sealed_is_not_searched() -> None:
    """A comparison with a sealed text would find nobody and be believed: it is refused where it is written."""
    for wrong in (
        lambda: Person.name == NAME, lambda: col(Person.name).like("Z%"), lambda: col(Endpoint.value).in_([MOBILE]),
        lambda: col(Endpoint.value).desc(), lambda: col(MessageText.text) + "x",
    ):  # fmt: skip
        with pytest.raises(TypeError, match="is sealed, and is found and compared by its hash or not at all"):
            wrong()
    assert str(col(Arrival.private_json).is_(None)) == "arrival.private_json IS NULL"


def test_an_error_of_the_database_quotes_nobody(database: Database) -> None:
    """The same number twice: what is refused names neither it nor the person."""
    person = make_person(database, name=NAME, mobile=MOBILE)
    with pytest.raises(IntegrityError) as refused:
        by_orm(database, person)
    assert marked(repr(refused.value).encode()) == marked(str(refused.value).encode()) == []


def test_a_database_of_other_keys_is_neither_read_nor_written(database: Database) -> None:
    """With another key, or with none: refused in words, on every path, and nothing is changed."""
    fill(database)
    before = kept(database)
    other = new_key()
    wrong = f"`{database.place}` is sealed with key `{KEY.id}`, and `keys` holds `{other.id}`"
    with closing(open_database(database.address, keys=Keyring(lambda: (other,), place="`keys`"))) as opened:
        assert said(opened.check).startswith(wrong)
        assert said(lambda: make_person(opened)).startswith(wrong)
        assert said(lambda: rows(opened, Person)).startswith(wrong)
        assert said(lambda: in_bulk(opened, 1)).startswith(wrong)
    from store import db

    with closing(db.open_database(database.address)) as opened:
        without = f"names and numbers in `{database.place}` are sealed, and it was opened without keys"
        assert said(lambda: make_person(opened)).startswith(without)
        assert said(lambda: rows(opened, Endpoint)).startswith(without)
    assert kept(database) == before


# -- keys change -------------------------------------------------------------------------------------------------------


class Ring:
    """Keys that change while a database is open."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)

    def opened(self, database: Database) -> Database:
        """The database, opened with them."""
        return open_database(
            database.address, keys=Keyring(lambda: tuple(self.keys), stamp=lambda: self.keys[0], place="`keys`")
        )


def test_what_another_key_sealed_is_sealed_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything reads as before, nothing needs the old key, and the hashes are what they were."""
    monkeypatch.setattr(reseal, "_BATCH", 2)
    for number in range(5):
        fill(database, name=f"{NAME} {number}" if number else "")
    ring = Ring(KEY)
    with closing(ring.opened(database)) as opened:
        before, hashes = told(opened), [e.value_hash for e in rows(opened, Endpoint)]
        ring.keys = [new_key(), KEY]
        assert reseal.is_under_way(opened)
        seen: list[int] = []
        count = reseal.reseal(opened, progress=seen.append)
        assert count == seen[-1] == 5 * 5 - 1, "a row without a name holds nothing to seal"
        assert not reseal.is_under_way(opened)
        assert reseal.reseal(opened) == 0
        assert told(opened) == before
    ring.keys.pop()
    with closing(ring.opened(database)) as opened:
        opened.check()
        assert told(opened) == before
        assert [e.value_hash for e in rows(opened, Endpoint)] == hashes
    assert {one.partition(".")[0] for values in kept(database).values() for one in values} == {ring.keys[0].id, ""}


def test_a_change_of_keys_that_was_broken_off_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever transaction it died after: both keys open everything meanwhile, and the next call ends it."""
    monkeypatch.setattr(reseal, "_BATCH", 1)
    for _ in range(3):
        fill(database)
    ring = Ring(KEY)
    with closing(ring.opened(database)) as opened:
        before = told(opened)
        ring.keys = [new_key(), KEY]

        def dies(rows: int) -> None:
            if rows % 4 == 0:
                raise KeyboardInterrupt

        broken = 0
        while True:
            try:
                reseal.reseal(opened, progress=dies)
            except KeyboardInterrupt:
                broken += 1
                assert reseal.is_under_way(opened)
                assert told(opened) == before
            else:
                break
        assert broken == 3
        assert told(opened) == before
    ring.keys.pop()
    with closing(ring.opened(database)) as opened:
        assert told(opened) == before


def test_who_works_meanwhile_goes_on_working(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was there before reads what is sealed anew, and what it writes is sealed with the new key at once."""
    monkeypatch.setattr(reseal, "_BATCH", 1)
    for _ in range(3):
        fill(database)
    ring = Ring(KEY)
    with closing(ring.opened(database)) as worker, closing(ring.opened(database)) as opened:
        before = told(worker)
        ring.keys = [new_key(), KEY]
        made: list[int] = []

        def works(_rows: int) -> None:
            assert told(worker)[0] != ()
            made.append(make_person(worker, name=NAME, mobile=f"+1212555{len(made):04}"))

        reseal.reseal(opened, progress=works)
        ring.keys.pop()
        with closing(ring.opened(database)) as later:
            assert len(made) == 15
            assert [len(told(later)[SEALED.index(of)]) for of in (("person", "name"), ("endpoint", "value"))] == [
                18,
                18,
            ]
            assert len(before) == len(SEALED)


@pytest.mark.postgres
def test_the_old_key_is_not_given_up_while_an_earlier_transaction_may_write_with_it(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that began before the new key was there commits what the old one sealed: it is waited for, or said."""
    monkeypatch.setattr(reseal, "_LOOKS", 2)
    fill(postgres_database)
    ring = Ring(KEY)
    with closing(ring.opened(postgres_database)) as opened:
        opened.check()
        with postgres_database.write() as session:
            session.add(Person(ref="late", name=NAME, language="en", country="US", bucket=1, created_at=NOW))
            session.flush()
            ring.keys = [new_key(), KEY]
            assert said(lambda: reseal.reseal(opened)) == (
                "a transaction that began before the new key was there has not ended, and may have sealed with an older one\n"
                "  mend: let it end, e.g. an import, and run `duecourse privacy rotate` again"
            )
            assert reseal.is_under_way(opened)
        assert reseal.reseal(opened) == 1
    ring.keys.pop()
    with closing(ring.opened(postgres_database)) as opened:
        assert told(opened)[SEALED.index(("person", "name"))] == (NAME, NAME)


# -- where keys are kept -----------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A new workspace that knows the marked person."""
    create_workspace(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws", {})
    with closing(workspace.open_database()) as database:
        fill(database)
    return workspace


def keys_of(workspace: Workspace) -> Path:
    return workspace.folder / "secrets" / "seal.keys"


def test_a_new_workspace_has_a_key_that_only_its_owner_reads(place: Workspace) -> None:
    """Each has its own; whatever else may read the file is refused before the database is opened."""
    path = keys_of(place)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        assert said(place.open_database) == (
            "`secrets/seal.keys` holds keys, and others than its owner may read it\n"
            f"  mend: run `chmod 600 {path}`, and replace the key if somebody may have read it"
        )


def test_a_lost_or_broken_file_of_keys_is_refused_in_words(place: Workspace) -> None:
    """Every line that is no key is named by its number, and never repeated: it may be most of one."""
    path = keys_of(place)
    good = path.read_text(encoding="utf-8").splitlines()[-1]
    path.write_text(f"# two that are none\n{good}0\n{good}\nzz", encoding="utf-8")
    line = "not a key\n  mend: write 64 hexadecimal digits, e.g. from `openssl rand -hex 32`"
    assert said(place.open_database) == f"secrets/seal.keys:2: {line}\nsecrets/seal.keys:4: {line}"
    path.write_text("# nothing\n", encoding="utf-8")
    assert said(place.open_database).startswith("secrets/seal.keys: no key in `secrets/seal.keys`\n")
    path.unlink()
    assert said(place.open_database) == (
        "`secrets/seal.keys` is not there: it holds the keys of what is personal in the book\n"
        "  mend: put it back from where its copy is kept, or hand the keys in as DUECOURSE_SEAL__KEYS"
    )
    add_key(place)
    assert f"`{place.database_url.removeprefix('sqlite:///')}` is sealed with key" in said(place.open_database)


def test_the_environment_goes_before_the_file(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys are used, several in one line, and never changed by us; a new workspace makes no file beside them."""
    own = keys_of(place).read_text(encoding="utf-8").splitlines()[-1]
    keys_of(place).unlink()
    monkeypatch.setenv("DUECOURSE_SEAL__KEYS", own)
    workspace = open_workspace(place.folder, {})
    with closing(workspace.open_database()) as database:
        assert said(lambda: rotate_keys(workspace, database, progress=lambda _: None)).startswith(
            "the keys come from the environment, and the first in DUECOURSE_SEAL__KEYS seals everything already"
        )
        first = told(database)
    monkeypatch.setenv("DUECOURSE_SEAL__KEYS", f"{new_key().secret.hex()} {own}")
    workspace = open_workspace(place.folder, {})
    with closing(workspace.open_database()) as database:
        done = rotate_keys(workspace, database, progress=lambda _: None)
        assert (done.made, done.rows, len(done.former)) == (False, 5, 1)
        assert told(database) == first
    assert not keys_of(place).exists()
    create_workspace(place.folder.parent / "other")
    assert not (place.folder.parent / "other" / "secrets").exists()


def test_rotate_from_the_command_line(place: Workspace) -> None:
    """A new key stands first in the file; the old one may be taken out afterwards, and the book is read without it."""
    done = duecourse("-w", place.folder, "--json", "privacy", "rotate", cwd=place.folder)
    assert done.code == 0, done.err
    assert (done.answer["made"], done.answer["rows"]) == (True, 5)
    lines = keys_of(place).read_text(encoding="utf-8").splitlines()
    assert [Key(bytes.fromhex(line)).id for line in lines[2:]] == [done.answer["key"], *done.answer["former"]]
    assert stat.S_IMODE(keys_of(place).stat().st_mode) == 0o600
    keys_of(place).write_text("\n".join(lines[:3]), encoding="utf-8")
    with closing(place.open_database()) as database:
        assert told(database)[SEALED.index(("person", "name"))] == (NAME,)
    keys_of(place).write_text(lines[3], encoding="utf-8")
    refused = duecourse("-w", place.folder, "status", cwd=place.folder)
    key, former = done.answer["key"], done.answer["former"][0]
    what = f"`{place.folder}/data/duecourse.db` is sealed with key `{key}`, and `secrets/seal.keys` holds `{former}`"
    mend = "put that key there; docs/operator.md says where keys are kept, and what to do when one is lost"
    assert refused.failure == (1, "", f"{what}\n  mend: {mend}\n")


# -- older books -------------------------------------------------------------------------------------------------------

PEOPLE = 7


@contextmanager
def emptied(kind: str, tmp_path: Path, server: Server) -> Iterator[Database]:
    """A database of schema 9, and nobody in it."""
    with server.database() if kind == "postgresql" else nullcontext(f"sqlite:///{tmp_path / 'old.db'}") as url:
        if kind == "sqlite":
            (tmp_path / "old.db").touch()
        with closing(open_database(url)) as database:
            with database.write() as session:
                command.upgrade(migrations.configured(session.connection()), "0009")
            yield database


def put(connection: Connection, name: str, /, **values: Any) -> None:
    """One row of an older table, with something in every column that must have something."""
    table = Table(name, MetaData(), autoload_with=connection)
    sqlite = connection.dialect.name == "sqlite"
    for column in table.columns:
        if column.name in values or column.nullable or column.server_default is not None:
            continue
        if column.name == "at" or column.name.endswith("_at"):
            values[column.name] = to_us(NOW) if sqlite else NOW
        elif isinstance(column.type, Date):
            values[column.name] = NOW.date()
        elif isinstance(column.type, Boolean):
            values[column.name] = False
        else:
            values[column.name] = 0 if isinstance(column.type, Integer) else ""
    connection.execute(insert(table).values(values))


def fill_older(database: Database) -> None:
    """The marked person, some times over, in the clear; what refers to them is there as well."""
    with database.write() as session:
        connection = session.connection()
        for row in range(1, PEOPLE + 1):
            put(connection, "person", id=row, ref=f"P{row}", name=f"{NAME} {row}")
            put(connection, "endpoint", id=row, person_id=row, kind="mobile", value=f"{MOBILE}{row}")
            put(connection, "hold", id=row, person_id=row, reason=WORDS if row % 2 else "", ref=f"H{row}")
            put(
                connection,
                "arrival",
                id=row,
                key=f"K{row}",
                private_json=json.dumps({"text": WORDS}) if row % 2 else None,
            )
            put(connection, "loan", id=row, ref=f"L{row}", borrower_id=row)
            put(connection, "contact", id=f"c{row}", loan_id=row, person_id=row, endpoint_id=row, slot=f"c{row}")
            put(connection, "message_text", contact_id=f"c{row}", subject=NAME if row % 2 else "", text=WORDS)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_an_older_book_is_sealed_by_the_upgrade(
    kind: str, tmp_path: Path, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything reads as it did and is found by its hash; nothing of anybody is left in the database's files."""
    monkeypatch.setattr(importlib.import_module("store.migrations.versions.0010_sealed"), "_BATCH", 3)
    with emptied(kind, tmp_path, postgres_server) as database:
        fill_older(database)
        assert marks_at_rest(database, MARKS, postgres_server) == list(MARKS)
        with pytest.raises(StoreError, match="sealed"):
            make_person(database)
        assert database.upgrade() == (9, migrations.HEAD)
        assert marks_at_rest(database, MARKS, postgres_server) == []
        with closing(open_database(database.address)) as opened:
            opened.check()
            assert {one.partition(".")[0] for values in kept(opened).values() for one in values if one} == {KEY.id}
            by_column = dict(zip(SEALED, told(opened), strict=True))
            number = "endpoint", "value"
            assert by_column[number] == tuple(f"{MOBILE}{row}" for row in range(1, PEOPLE + 1))
            assert by_column["person", "name"] == tuple(f"{NAME} {row}" for row in range(1, PEOPLE + 1))
            assert by_column["hold", "reason"] == ("",) * 3 + (WORDS,) * 4
            assert by_column["message_text", "subject"] == ("",) * 3 + (NAME,) * 4
            assert by_column["arrival", "private_json"] == (None,) * 3 + (json.dumps({"text": WORDS}),) * 4
            for row in range(1, PEOPLE + 1):
                of_it = col(Endpoint.value_hash) == opened.sealing.hashed(f"{MOBILE}{row}")
                assert [e.id for e in rows(opened, Endpoint, of_it)] == [row]


def test_an_upgrade_without_a_key_changes_nothing(tmp_path: Path, postgres_server: Server) -> None:
    """It is refused whole; the book stays as it was, for the Duecourse that it was written by."""
    from store import db

    with emptied("sqlite", tmp_path, postgres_server) as database:
        fill_older(database)
        with closing(db.open_database(database.address)) as keyless:
            assert "was opened without keys" in said(keyless.upgrade)
            assert keyless.version() == 9


def test_the_upgrade_makes_a_key_where_there_is_none(place: Workspace, postgres_server: Server) -> None:
    """For a book from before; never for one that is sealed already, whose key is only not there."""
    keys_of(place).unlink()
    refused = duecourse("-w", place.folder, "db", "upgrade", cwd=place.folder)
    assert (refused.code, keys_of(place).exists()) == (1, False)
    shutil.rmtree(place.folder / "data")
    (place.folder / "data").mkdir()
    with emptied("sqlite", place.folder / "data", postgres_server) as database:
        fill_older(database)
    (place.folder / "data" / "old.db").rename(place.folder / "data" / "duecourse.db")
    done = duecourse("-w", place.folder, "db", "upgrade", cwd=place.folder)
    new = "secrets/seal.keys is new: keep a copy of it, where copies of the database are not"
    assert done.failure == (0, f"schema 9 -> {migrations.HEAD}\n{new}\n", "")
    with closing(place.open_database()) as opened:
        assert len(rows(opened, Person)) == PEOPLE
