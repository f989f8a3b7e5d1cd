"""Where keys are kept, who may read them, and what is said when they are not there; books from before are sealed."""

import importlib
import json
import os
import shutil
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlmodel import col

from duecourse.commands.init import create_workspace
from duecourse.keys import Rotated, add_key, rotate_keys
from duecourse.workspace import Workspace, open_workspace
from engine.errors import StoreError
from store import migrations
from store.db import Database
from store.sealing import Key, new_key
from store.tables import Deed, Endpoint, JobAct, Person
from tests.at_rest import marks_at_rest
from tests.e2e.command import duecourse
from tests.factories import make_person
from tests.marked import MARKS, MOBILE, NAME, NOW, SEALED, WORDS, fill, kept, said, told
from tests.older_books import KINDS_OF, older_book, put
from tests.opening import KEY, open_database
from tests.outgoing import rows
from tests.postgres import Server


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


def rotated(workspace: Workspace, database: Database) -> Rotated:
    seal = workspace.settings.seal
    return rotate_keys(workspace.folder, seal, database, by="", now=NOW, progress=lambda _: None)


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


def test_init_tells_to_keep_a_copy_of_what_it_made(tmp_path: Path) -> None:
    """The file of keys is named where there is one; with keys from the environment there is none to keep."""
    assert "Keep a copy of secrets/seal.keys" in duecourse("init", "made", cwd=tmp_path).out
    given = {"DUECOURSE_SEAL__KEYS": new_key().secret.hex()}
    assert "Keep a copy" not in duecourse("init", "given", cwd=tmp_path, env=given).out
    assert not (tmp_path / "given" / "secrets").exists()


def test_whoever_replaces_a_key_leaves_the_file_to_its_owner(place: Workspace) -> None:
    """An administrator's new key can be read by the service whose file it is."""
    path = keys_of(place)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    owner = path.stat().st_uid, path.stat().st_gid
    add_key(place.folder, place.settings.seal)
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (*owner, 0o600)


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
    add_key(place.folder, place.settings.seal)
    assert f"`{place.database_url.removeprefix('sqlite:///')}` is sealed with key" in said(place.open_database)


def test_the_environment_goes_before_the_file(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys are used, several in one line, and never changed by us; a new workspace makes no file beside them."""
    own = keys_of(place).read_text(encoding="utf-8").splitlines()[-1]
    keys_of(place).unlink()
    monkeypatch.setenv("DUECOURSE_SEAL__KEYS", own)
    workspace = open_workspace(place.folder, {})
    with closing(workspace.open_database()) as database:
        assert said(lambda: rotated(workspace, database)).startswith(
            "the keys come from the environment, and the first in DUECOURSE_SEAL__KEYS seals everything already"
        )
        first = told(database)
    monkeypatch.setenv("DUECOURSE_SEAL__KEYS", f"{new_key().secret.hex()} {own}")
    workspace = open_workspace(place.folder, {})
    with closing(workspace.open_database()) as database:
        done = rotated(workspace, database)
        assert (done.made, done.rows, len(done.former)) == (False, len({table for table, _ in SEALED}), 1)
        assert told(database) == first
    assert not keys_of(place).exists()
    create_workspace(place.folder.parent / "other")
    assert not (place.folder.parent / "other" / "secrets").exists()


def test_rotate_from_the_command_line(place: Workspace) -> None:
    """A new key stands first in the file; the old one may be taken out afterwards, and the book is read without it."""
    done = duecourse("-w", place.folder, "--json", "privacy", "rotate", "--by", "mei", cwd=place.folder)
    assert done.code == 0, done.err
    with closing(place.open_database()) as database:
        (deed,) = rows(database, Deed, col(Deed.kind) == "seal")
        assert (deed.subject, json.loads(deed.detail_json)) == (
            done.answer["key"],
            {"former": done.answer["former"], "made": True},
        )
        (act,) = rows(database, JobAct, col(JobAct.job) == "privacy.rotate")
        assert (act.job, act.act, act.at, act.by) == (
            "privacy.rotate",
            f"seals with {done.answer['key']}",
            deed.at,
            "mei",
        )
    assert (done.answer["made"], done.answer["rows"]) == (True, len({table for table, _ in SEALED}))
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


@pytest.mark.parametrize("kind", KINDS_OF)
def test_an_older_book_is_sealed_by_the_upgrade(
    kind: str, tmp_path: Path, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything reads as it did and is found by its hash; nothing of anybody is left in the database's files."""
    monkeypatch.setattr(importlib.import_module("store.migrations.versions.0010_sealed"), "_BATCH", 3)
    with older_book(kind, 9, tmp_path, postgres_server) as database:
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

    with older_book("sqlite", 9, tmp_path, postgres_server) as database:
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
    with older_book("sqlite", 9, place.folder / "data", postgres_server) as database:
        fill_older(database)
    (place.folder / "data" / "old.db").rename(place.folder / "data" / "duecourse.db")
    done = duecourse("-w", place.folder, "db", "upgrade", cwd=place.folder)
    new = "secrets/seal.keys is new: keep a copy of it, where copies of the database are not"
    assert done.failure == (0, f"schema 9 -> {migrations.HEAD}\n{new}\n", "")
    with closing(place.open_database()) as opened:
        assert len(rows(opened, Person)) == PEOPLE
