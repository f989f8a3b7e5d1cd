"""The log's keys and witnesses as the workspace names them, and the step that brings the log up to date."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from compliance.checkpoint import PublicKey, Signer, new_key, read_keys
from config.files import read_text
from duecourse.witnesses import witnesses
from duecourse.workspace import Workspace
from engine.errors import Problem, SettingsError
from store.bulk import writing
from store.db import Database
from store.deeds import record
from store.tables import LogCheckpoint
from workflows.log.checkpoint import hand_over, newest, sign
from workflows.log.sequence import Sequenced, sequence

Progress = Callable[[int, int], None]

_HEAD = """\
# Who signs the log: its public keys, each with the instant from which it is in use and, once replaced, until when.
# `duecourse audit keygen` writes this file. Give it to whoever shall be able to check proofs, by another way than these.
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    What bringing the log up to date did.

    Attributes:
        checkpoint: None: nobody signs, or there is nothing to sign.
        problems: witnesses that did not take it.
    """

    sequenced: Sequenced
    checkpoint: LogCheckpoint | None
    problems: tuple[Problem, ...] = ()


def keep_log(
    workspace: Workspace, database: Database, *, now: datetime, progress: Progress, stop: Callable[[], bool]
) -> Kept:
    """
    Give positions to what was committed, sign where there is a key, and hand the checkpoint to the witnesses.

    Raises:
        Busy: another process is at it.
        SettingsError: a key or a witness that cannot be used.
        StoreError: the database cannot be written, its log does not hold together, or the clock went backwards and nobody set
            it aside.
    """
    sequenced = sequence(database, progress=progress, stop=stop)
    signer = the_signer(workspace)
    if signer is None or stop():
        return Kept(sequenced, None)
    _refuse_unknown(workspace, signer, now)
    signed = sign(database, signer, now=now)
    return Kept(sequenced, signed, tuple(hand_over(database, witnesses(workspace), now=now)))


def the_signer(workspace: Workspace) -> Signer | None:
    """
    Whoever signs, by the setting `audit.key` or the file of `audit.key_file`; None where there is neither.

    Raises:
        SettingsError: what is there is no private key.
    """
    audit = workspace.settings.audit
    if audit.key is not None:
        return Signer(audit.key.get_secret_value())
    path = workspace.folder / audit.key_file
    return Signer(read_text(path, audit.key_file)) if path.exists() else None


def _refuse_unknown(workspace: Workspace, signer: Signer, now: datetime) -> None:
    """A checkpoint stays for ever: one that our own public keys do not vouch for would have every verification say no."""
    audit = workspace.settings.audit
    keys = public_keys(workspace)
    if any((key.name, key.public) == (signer.name, signer.public) and key.held(now) for key in keys):
        return
    where = "the setting `audit.key`" if audit.key is not None else f"`{audit.key_file}`"
    instead = f"; the newest there is `{keys[-1].text}`" if keys else ""
    what = f"the key of {where} is none that `{audit.keys_file}` says is in use at {now:%Y-%m-%d %H:%M}Z{instead}"
    raise SettingsError(Problem(what, "put back the key or the file of `duecourse audit keygen`; nothing was signed"))


def public_keys(workspace: Workspace) -> tuple[PublicKey, ...]:
    """
    The keys that checkpoints are believed by.

    Raises:
        SettingsError: the file cannot be read.
    """
    name = workspace.settings.audit.keys_file
    path = workspace.folder / name
    return read_keys(read_text(path, name), name) if path.exists() else ()


def make_key(workspace: Workspace, database: Database, *, name: str, rotate: bool, now: datetime) -> PublicKey:
    """
    Make the key that signs from now on; the one before it stays trusted for its time.

    Args:
        name: what the log is called, for the first key; later ones keep it.
    Raises:
        SettingsError: there is a key already and it is not to be replaced, the setting `audit.key` would go before the new
            one, checkpoints are younger than `now`, or the files cannot be written.
    """
    audit = workspace.settings.audit
    if audit.key is not None:
        what = f"the setting `audit.key` goes before `{audit.key_file}`, where the new key would be"
        raise SettingsError(
            Problem(what, "take it out of the environment while you make the key, then set the new one")
        )
    private, public = workspace.folder / audit.key_file, workspace.folder / audit.keys_file
    before = public_keys(workspace)
    if before and not rotate:
        mend = "leave it, or replace it with `--rotate`"
        raise SettingsError(Problem(f"the log has a key already, in `{audit.keys_file}`", mend))
    if before and now < before[-1].from_at:
        raise SettingsError(Problem("the key in use is younger than that", "set the clock right"))
    with database.session() as session:
        last = newest(session)
    if last is not None and now < last.at:
        # It would then be signed by a key that was not in use any more.
        what = f"the newest checkpoint is of {last.at:%Y-%m-%d %H:%M}Z, and that is younger than {now:%Y-%m-%d %H:%M}Z"
        raise SettingsError(Problem(what, "set the clock right"))
    signer = Signer(text := new_key(before[-1].name if before else name))
    made = PublicKey(signer.name, signer.public, now)
    ended = [replace(key, until_at=key.until_at or now) for key in before]
    # The public half first: a signature that nobody can check would be worse than a key that signs nothing.
    _write(public, _HEAD + "".join(f"{key.line}\n" for key in (*ended, made)), mode=0o644)
    _write(private, text + "\n", mode=0o600)
    with writing(database) as transaction:
        record(transaction, "key", made.text, {}, now=now)
    return made


def _write(path: Path, text: str, *, mode: int) -> None:
    """A file, whole or not at all, never readable by more than it shall be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise SettingsError(Problem(f"`{path.name}` cannot be written: {said}", "make its folder writable")) from None
