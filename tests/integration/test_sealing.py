"""What identifies somebody lies sealed in the database, whoever wrote it, and is found by its hash."""

import json
from collections.abc import Callable
from contextlib import closing

import pyarrow as pa
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.columns import to_us
from store.db import Database
from store.sealing import Keyring, new_key
from store.tables import Arrival, Endpoint, MessageText, Person
from tests.at_rest import marks_at_rest
from tests.factories import make_person
from tests.marked import MARKS, MOBILE, NAME, NOW, SEALED, WORDS, fill, kept, said, told
from tests.opening import KEY, open_database
from tests.outgoing import rows
from tests.postgres import Server

GROUNDS = (
    ("override", "evidence"), ("consent", "how"), ("consent", "evidence"), ("consent", "source"), ("stage_change", "reason"), ("contact", "why"),
    ("contact_status", "why"), ("duty", "evidence"), ("deed_note", "because"), ("job_act", "because"),
)  # fmt: skip
"""Where people say why they did something, or where the proof is."""


def marked(found: bytes) -> list[str]:
    """Which marks of the person are in it."""
    return [mark for mark in MARKS if mark.encode() in found]


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
    assert set(GROUNDS) <= set(SEALED)
    assert dict(zip(SEALED, told(database), strict=True)) == {
        ("person", "name"): (NAME,), ("endpoint", "value"): (MOBILE,), ("hold", "reason"): (WORDS,),
        ("arrival", "private_json"): (json.dumps({"text": WORDS}),), ("message_text", "subject"): (NAME,),
        ("message_text", "text"): (WORDS,), **dict.fromkeys(GROUNDS, (WORDS,)),
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
