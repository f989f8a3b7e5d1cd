"""Checkpoints and keys: signed texts that are believed or not, and why."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance.checkpoint import Checkpoint, NotVouched, PublicKey, Signer, new_key, read_checkpoint, read_keys
from engine.errors import SettingsError
from tests.logs import standalone

NAME = "lender.example/log"
AT = datetime(2026, 3, 2, 8, 0, 0, 123_456, tzinfo=UTC)
SIGNER = Signer(new_key(NAME))
KEY = PublicKey(NAME, SIGNER.public, AT - timedelta(days=1))
SAID = Checkpoint(NAME, 2976, bytes(range(32)), AT)
NOTE = SIGNER.sign(SAID)


def refusal(note: str, *keys: PublicKey) -> str:
    """Why it is not believed."""
    with pytest.raises(NotVouched) as answer:
        read_checkpoint(note, keys or (KEY,))
    return answer.value.why


def test_what_was_signed_is_read_back() -> None:
    """Origin, size, root and instant come out as they went in, under any of several keys."""
    other = PublicKey(NAME, Signer(new_key(NAME)).public, AT)
    assert read_checkpoint(NOTE, (other, KEY)) == SAID


def test_the_text_is_the_one_of_the_standards() -> None:
    """Four lines, an empty one, an em dash, the name, base64 of the key's id and an Ed25519 signature over the four lines."""
    body, signature = NOTE.split("\n\n")
    assert body.split("\n") == [NAME, "2976", base64.b64encode(SAID.root).decode(), "at 2026-03-02T08:00:00.123456Z"]
    dash, name, signed = signature.removesuffix("\n").split(" ")
    raw = base64.b64decode(signed)
    assert (dash, name) == ("\u2014", NAME)
    assert raw[:4] == hashlib.sha256(NAME.encode() + b"\n\x01" + SIGNER.public).digest()[:4]
    SIGNER._key.public_key().verify(raw[4:], (body + "\n").encode())


def test_a_private_key_of_the_reference_implementation_is_taken() -> None:
    """The encoding of keys is that of the signed-note reference: a seed written by hand gives the same public key."""
    seed = bytes(range(32))
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    key_id = hashlib.sha256(b"x.org\n\x01" + public).digest()[:4].hex()
    signer = Signer(f"PRIVATE+KEY+x.org+{key_id}+{base64.b64encode(bytes([1]) + seed).decode()}\n")
    assert (signer.name, signer.public) == ("x.org", public)


@pytest.mark.parametrize(
    "wrong",
    ["", "x", "PRIVATE+KEY+a+00000000+AAAA", new_key(NAME)[:-4], new_key(NAME).replace("lender", "Lender")],
    ids=["empty", "short", "not of its name", "cut", "of another name"],
)
def test_what_is_no_private_key_is_refused_without_being_repeated(wrong: str) -> None:
    """A secret never stands in an error."""
    with pytest.raises(SettingsError, match="is not one of `duecourse audit keygen`") as error:
        Signer(wrong)
    assert not wrong or len(wrong) == 1 or wrong not in str(error.value)


def test_refusals() -> None:
    """Nothing signed, cut short, other words, another key, another time, no key: each in its own words."""
    assert refusal("") == refusal("hello\n\nworld\n") == refusal(NOTE[:40]) == "it is no signed checkpoint"
    assert refusal(NOTE[:-1]) == "it is no signed checkpoint"
    assert refusal(NOTE.replace("2976", "2977")) == "its signature does not fit what it says"
    assert refusal(NOTE.replace("2976", "02976")) == "it is no signed checkpoint"
    assert refusal(NOTE[:-3] + "\n") == "its signature is not as it was written"
    assert refusal(NOTE, PublicKey(NAME, Signer(new_key(NAME)).public, AT)).startswith(
        "nobody who is trusted signed it"
    )
    late = PublicKey(NAME, SIGNER.public, AT + timedelta(seconds=1))
    ended = PublicKey(NAME, SIGNER.public, AT - timedelta(days=2), AT - timedelta(seconds=1))
    assert refusal(NOTE, late) == refusal(NOTE, ended) == "its key was not in use at 2026-03-02 08:00Z"
    other = SIGNER.sign(Checkpoint("other.example/log", 1, bytes(32), AT))
    assert refusal(other) == "it is signed for another log than it names"
    with pytest.raises(NotVouched) as answer:
        read_checkpoint(NOTE, ())
    assert answer.value.unknown


def test_no_changed_byte_is_believed() -> None:
    """Every byte of a note counts: whichever changes, it is not the one that was signed."""
    for at in range(len(NOTE.encode())):
        changed = bytearray(NOTE.encode())
        changed[at] ^= 1
        assert refusal(changed.decode(errors="replace"))


def test_keys_are_read_with_their_times_and_wrong_lines_named() -> None:
    """A file of keys gives back what was written; each line that is none is named, here and by the verifier for strangers."""
    ended = PublicKey(NAME, Signer(new_key(NAME)).public, AT - timedelta(days=2), AT - timedelta(days=1))
    text = f"# who signs\n\n{ended.line}\n{KEY.line}  # in use\n"
    assert read_keys(text, "keys.txt") == (ended, KEY)
    assert [key[2] for key in standalone().read_keys(text)] == [ended.public, KEY.public]
    with pytest.raises(SettingsError) as error:
        read_keys(f"{KEY.line}\n{KEY.text}\nnonsense\n{KEY.line} x y\n", "keys.txt")
    assert [problem.at.line for problem in error.value.problems if problem.at] == [2, 3, 4]
    for line in (KEY.text, "nonsense", ""):
        with pytest.raises(standalone().CannotTell):
            standalone().read_keys(line)
