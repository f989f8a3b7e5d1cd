"""Keys are replaced while others work; nothing is lost on the way, and nothing needs the former key in the end."""

from contextlib import closing

import pytest

from store import reseal
from store.db import Database
from store.sealing import Key, Keyring, new_key
from store.tables import Endpoint, Person
from tests.factories import make_person
from tests.marked import NAME, NOW, SEALED, fill, kept, said, told
from tests.opening import KEY, open_database
from tests.outgoing import rows


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
