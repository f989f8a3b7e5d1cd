"""What is sealed opens with its key, in its place, unaltered, and not otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import StoreError
from store.sealing import SETTING, Key, Keyring, Sealing, new_key, setting_place

OLD, NEW = Key(bytes(32)), Key(bytes(range(32)))
KEPT = "docs/operator.md says where keys are kept, and what to do when one is lost"


def ring(*keys: Key) -> Keyring:
    """These keys, kept nowhere."""
    return Keyring(lambda: keys, place="`keys`")


def sealing(*keys: Key) -> Sealing:
    """Of a database of its own."""
    made = Sealing(ring(*keys), lambda: None, place="book")
    made.begin()
    return made


def refusal(of: Sealing, place: str, sealed: str) -> str:
    """What is said of what does not open."""
    with pytest.raises(StoreError) as refused:
        of.unseal(place, sealed)
    return str(refused.value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens(text: str) -> None:
    """Any text at all; and the same text is never sealed alike twice, nor readable, unless it is empty."""
    one = sealing(OLD)
    first, second = one.seal_all("a.b", [text, text])
    assert one.unseal_all("a.b", [first, None, second]) == [text, None, text]
    assert (first == second) is (text == "")
    assert first is not None
    assert len(text) < 4 or text not in first


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
ALTERED = "something in `a.b` is not as it was sealed\n  mend: restore it from a backup"


@given(st.data())
def test_what_was_altered_is_refused(data: st.DataObject) -> None:
    """One letter of another kind anywhere, or some cut off: it does not open, and nothing of it is told."""
    one = sealing(OLD)
    sealed = one.seal("a.b", "Zebedee Quillfeather")
    where = data.draw(st.integers(9, len(sealed) - 3))
    other = LETTERS[(LETTERS.index(sealed[where]) + data.draw(st.integers(1, 63))) % 64]
    assert refusal(one, "a.b", sealed[:where] + other + sealed[where + 1 :]) == ALTERED
    assert refusal(one, "a.b", sealed[: data.draw(st.integers(9, len(sealed) - 2))]) == ALTERED


@pytest.mark.parametrize("clear", ["Zebedee", "+12125550177", "a@b.example", "12345678", "."])
def test_what_was_never_sealed_is_refused(clear: str) -> None:
    """What somebody wrote past Duecourse is not taken for what it sealed, and is not repeated."""
    assert refusal(sealing(OLD), "a.b", clear) == ALTERED


def test_what_was_sealed_for_one_column_opens_in_no_other() -> None:
    """Nobody can make a name of what was a number by moving it."""
    one = sealing(OLD)
    assert refusal(one, "a.b", one.seal("a.c", "x")) == ALTERED


def test_the_first_key_seals_and_all_of_them_open() -> None:
    """After a new key what the old one sealed still opens; without the old one it does not, and says which it needs."""
    stored = (one := Sealing(ring(OLD), lambda: None, place="book")).begin()
    old = one.seal("a.b", "before")
    both = Sealing(ring(NEW, OLD), lambda: stored, place="book")
    new = both.seal("a.b", "after")
    assert [both.unseal("a.b", sealed) for sealed in (old, new)] == ["before", "after"]
    assert [sealed.partition(".")[0] for sealed in (old, new)] == [OLD.id, NEW.id]
    assert both.hashed("+12125550177") == one.hashed("+12125550177") != sealing(OLD).hashed("+12125550177")
    renewed = both.seal(setting_place(SETTING), both.unseal(setting_place(SETTING), stored))
    assert refusal(Sealing(ring(NEW), lambda: renewed, place="book"), "a.b", old) == (
        f"something in `a.b` is sealed with key `{OLD.id}`, which is not in `keys`\n  mend: put that key there; {KEPT}"
    )


def test_nothing_is_sealed_with_a_key_that_is_not_the_databases() -> None:
    """Neither with another, nor without any, nor before there is one."""
    stored = Sealing(ring(OLD), lambda: None, place="book").begin()
    for wrong, said in (
        (
            Sealing(ring(NEW), lambda: stored, place="book"),
            f"`book` is sealed with key `{OLD.id}`, and `keys` holds `{NEW.id}`\n  mend: put that key there; {KEPT}",
        ),
        (
            Sealing(None, lambda: stored, place="book"),
            f"names and numbers in `book` are sealed, and it was opened without keys\n  mend: {KEPT}",
        ),
        (
            Sealing(ring(OLD), lambda: None, place="book"),
            "`book` is not sealed yet\n  mend: run `duecourse db upgrade`",
        ),
    ):
        for action in (wrong.check, lambda of=wrong: of.seal("a.b", "x"), lambda of=wrong: of.hashed("x")):
            with pytest.raises(StoreError) as refused:
                action()
            assert str(refused.value) == said


def test_a_process_that_runs_takes_a_new_key_up() -> None:
    """It seals with it as soon as it is there, and opens what others sealed with it meanwhile."""
    keys, changes = [OLD], [1]
    kept = Keyring(lambda: tuple(keys), stamp=lambda: changes[0], place="`keys`")
    one = Sealing(kept, lambda: None, place="book")
    stored = one.begin()
    keys.insert(0, NEW)
    assert one.sealing_key == OLD.id, "until it is told, it asks nobody"
    assert one.unseal("a.b", Sealing(ring(NEW, OLD), lambda: stored, place="book").seal("a.b", "x")) == "x"
    changes[0] = 2
    assert one.seal("a.b", "x").startswith(f"{NEW.id}.")


def test_a_key_does_not_show_itself() -> None:
    """Neither in its name nor where it is printed."""
    key = new_key()
    assert key.secret.hex() not in f"{key!r} {key.id}"
    assert repr(key.secret) not in repr(key)
    assert key.id not in key.secret.hex()
