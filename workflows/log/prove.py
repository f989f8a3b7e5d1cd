"""
Proof files: entries of the log with what ties them to a signed checkpoint, for somebody who has nothing else of ours.

The format is in `docs/log-format.md`, and `docs/verify_proof.py` checks it. A file that does not hold is never given away.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Select, or_, select

from compliance.checkpoint import Checkpoint, NotVouched, PublicKey, read_checkpoint
from compliance.log_encoding import salt_of, value_element
from compliance.merkle import Subtree, consistency, inclusion, leaf_hash, root, root_by
from engine.errors import DataError, Problem, ProofError
from store import log
from store.bulk import reading
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.ids import among
from store.log_kinds import KINDS
from store.log_sql import Encoder
from store.snapshots import OF_THE_RUN
from workflows.log.sequence import read_entries
from workflows.replay.looks import runs_of_looks

HEAD: Final = "duecourse-proof/1"
_HEX: Final = 64
"""Digits of a digest: what else stands at the end of a line in a list of packs is a place or a calendar's edition."""

Entry = tuple[str, str]
"""Kind and key."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the log, as its row stands now."""

    leaf: log.Leaf
    data: bytes


def entry_named(text: str) -> Entry:
    """
    The entry that somebody means: `decision:12-345`.

    Raises:
        DataError: no entry can be called so.
    """
    kind, parted, key = text.partition(":")
    if not parted or kind not in KINDS or not key:
        mend = f"write KIND:KEY, e.g. `decision:12-345`; kinds are {', '.join(KINDS)}"
        raise DataError(Problem(f"`{text}` names no entry", mend))
    return kind, key


def entries_of_loan(reader: Reader, loan: int) -> list[Entry]:
    """
    What the log holds of a loan: its decisions with their runs, strategies and law, moves, contacts and second looks.

    Also what everybody said who stands in a role for it or was contacted about it, and the deeds about it and its borrower.
    """
    decision, contact, touched = table_of("decision"), table_of("contact"), table_of("contact_loan")
    status, override, change = table_of("contact_status"), table_of("override"), table_of("stage_change")
    consent, book, published = table_of("consent"), table_of("loan"), table_of("published")
    snapshot, party, deed, note, duty = map(table_of, ("snapshot", "party", "deed", "deed_note", "duty"))
    decided = select(decision.c.run_id).where(decision.c.loan_id == loan)
    decisions = sorted(reader.read(decided)["run_id"].to_pylist())
    moved = select(change.c.run_id).where(change.c.loan_id == loan, change.c.run_id.is_not(None))
    placed = reader.read(moved)["run_id"].to_pylist()
    runs = sorted({*decisions, *placed, *runs_of_looks(reader, loan)})
    about = select(contact.c.id).where(
        or_(
            contact.c.loan_id == loan,
            contact.c.id.in_(select(touched.c.contact_id).where(touched.c.loan_id == loan)),
        )
    )
    borrower = select(book.c.borrower_id).where(book.c.id == loan)
    involved = or_(
        consent.c.person_id.in_(borrower),
        consent.c.person_id.in_(select(party.c.person_id).where(party.c.loan_id == loan)),
        consent.c.person_id.in_(select(contact.c.person_id).where(contact.c.id.in_(about))),
    )
    findings = reader.read(select(duty.c.id).where(duty.c.loan_id == loan))["id"].to_pylist()
    hold, notice = table_of("hold"), table_of("notice")
    held = or_(hold.c.loan_id == loan, hold.c.loan_id.is_(None) & hold.c.person_id.in_(borrower))
    stated = [
        *(f"hold:{one}" for one in reader.read(select(hold.c.id).where(held))["id"].to_pylist()),
        *(
            f"notice:{one}"
            for one in reader.read(select(notice.c.id).where(notice.c.loan_id == loan))["id"].to_pylist()
        ),
    ]
    done = or_(
        deed.c.id.in_(select(note.c.deed_id).where(note.c.person_id.in_(borrower))),
        deed.c.subject.in_([f"loan:{loan}", *(f"duty:{one}" for one in findings), *stated]),
    )
    by = select(decision.c.strategy_digest).where(decision.c.loan_id == loan)
    seen = (
        select(snapshot.c.id.label("key"))
        .join(book, book.c.id == loan)
        .where(
            among(snapshot.c.run_id, runs),
            or_(snapshot.c.last_id == OF_THE_RUN, book.c.borrower_id.between(snapshot.c.first_id, snapshot.c.last_id)),
        )
    )
    found: list[Entry] = [("decision", f"{run}-{loan}") for run in decisions] + [("run", str(run)) for run in runs]
    for kind, statement in (
        ("published", select(published.c.digest.label("key")).where(published.c.digest.in_(by))),
        (
            "published",
            select(published.c.digest.label("key")).where(published.c.name.in_(by), published.c.kind == "reading"),
        ),
        ("published", select(published.c.digest.label("key")).where(published.c.digest.in_(_law(reader, runs)))),
        ("snapshot", seen),
        ("stage_change", select(change.c.id.label("key")).where(change.c.loan_id == loan)),
        ("contact_status", select(status.c.id.label("key")).where(status.c.contact_id.in_(about))),
        ("override", select(override.c.contact_id.label("key")).where(override.c.contact_id.in_(about))),
        ("consent", select(consent.c.id.label("key")).where(involved)),
        ("deed", select(deed.c.id.label("key")).where(done)),
    ):
        found += [(kind, str(key)) for key in _keys(reader, statement)]
    return found


def _law(reader: Reader, runs: Sequence[int]) -> list[str]:
    """The digests of the lists of packs that these runs decided by, and of the packs on them."""
    run, published = table_of("run"), table_of("published")
    digests = set(reader.read(select(run.c.gate_digest).where(among(run.c.id, runs)))["gate_digest"].to_pylist())
    lists = select(published.c.content).where(published.c.kind == "gate")
    for row in log.readable(reader, lambda some: lists.where(published.c.digest.in_(some)), sorted(digests)):
        named = (line.rpartition(" ") for line in row["content"].splitlines())
        digests |= {digest for name, _, digest in named if name and len(digest) == _HEX}
    return sorted(digests)


def show(database: Database, entries: Sequence[Entry]) -> list[Found]:
    """
    These entries as the log holds them, by position.

    Raises:
        DataError: one of them has no position, or its row is gone.
        StoreError: the database cannot be read.
    """
    with reading(database) as reader, _encoder(database) as encoder:
        return _found(reader, encoder, entries)


def prove(
    database: Database,
    entries: Sequence[Entry],
    keys: Sequence[PublicKey],
    *,
    since: int | None = None,
    opened: bool = False,
) -> str:
    """
    A proof file for these entries, against the newest checkpoint.

    Args:
        keys: the newest checkpoint must be signed by one of them.
        since: the number of an older checkpoint, to prove besides that the log has only grown since.
        opened: also tell the withheld fields of these entries, each with its salt.
    Raises:
        DataError: an entry or checkpoint that is not there, or not signed yet.
        ProofError: the log does not hold together, or no key is at hand, so that nothing can be proved by it.
    """
    with reading(database) as reader, _encoder(database) as encoder:
        note, checkpoint = _newest(reader, keys)
        subtree = log.subtrees(reader)
        try:
            if root(checkpoint.size, subtree) != checkpoint.root:
                raise _torn("the log is not what its newest checkpoint vouches for")
            found = _found(reader, encoder, entries)
            lines = [HEAD, f"entries {len(found)}"]
            for one in found:
                lines += _entry(one, checkpoint, subtree)
                lines += _openings(reader, one, encoder.seal_key) if opened else ()
            if since is not None:
                lines += _grown(reader, since, keys, checkpoint, subtree)
        except (IndexError, ValueError):
            raise _torn("hashes of the log's tree are missing") from None
    return "\n".join(lines) + "\n\n" + note


def _entry(one: Found, checkpoint: Checkpoint, subtree: Subtree) -> Iterator[str]:
    position = one.leaf.position
    if position >= checkpoint.size:
        what = f"`{one.leaf.kind}:{one.leaf.key}` is not signed yet"
        raise DataError(Problem(what, "run `duecourse audit checkpoint`"))
    path = inclusion(position, checkpoint.size, subtree)
    if root_by(leaf_hash(one.data), position, checkpoint.size, path) != checkpoint.root:
        raise _torn(f"`{one.leaf.kind}:{one.leaf.key}` is not what was signed")
    yield f"entry {position}"
    yield f"data {_base64(one.data)}"
    yield from (f"path {_base64(hashed)}" for hashed in path)


def _openings(reader: Reader, one: Found, seal_key: bytes) -> Iterator[str]:
    kind, key = KINDS[one.leaf.kind], one.leaf.key
    # Never instants or flags: what is withheld is what people wrote.
    rows = log.rows_of(reader, kind, [key])
    gone = {field for _, field in log.erased(reader, kind, rows)}
    for name in sorted(kind.withheld - gone):
        said = value_element(rows[name][0].as_py())
        yield f"open {name} {salt_of(kind.name, key, name, seal_key)} {_base64(said)}"


def _grown(
    reader: Reader, since: int, keys: Sequence[PublicKey], checkpoint: Checkpoint, subtree: Subtree
) -> Iterator[str]:
    kept = table_of("log_checkpoint")
    notes = reader.read(select(kept.c.note).where(kept.c.number == since))["note"].to_pylist()
    if not notes:
        raise DataError(Problem(f"no checkpoint {since}", "`duecourse audit show` lists them"))
    old = _vouched(notes[0], keys)
    if root(old.size, subtree) != old.root:
        raise _torn(f"the log is not what checkpoint {since} vouches for")
    yield f"grown {old.size}"
    yield from (f"path {_base64(hashed)}" for hashed in consistency(old.size, checkpoint.size, subtree))


def _found(reader: Reader, encoder: Encoder, entries: Sequence[Entry]) -> list[Found]:
    wanted = list(dict.fromkeys(entries))
    by_kind: dict[str, list[str]] = {}
    for kind, key in wanted:
        by_kind.setdefault(kind, []).append(key)
    # An entry whose row was written twice has two positions; the first is the one that counts.
    leaves: dict[Entry, log.Leaf] = {}
    for kind, keys in by_kind.items():
        for leaf in log.leaves_of(reader, kind, keys):
            leaves.setdefault((leaf.kind, leaf.key), leaf)
    data = dict(zip(wanted, read_entries(reader, encoder, wanted), strict=True))
    found: list[Found] = []
    problems: list[Problem] = []
    for entry in wanted:
        place, made = leaves.get(entry), data[entry]
        if place is not None and made:
            found.append(Found(place, made))
            continue
        name = f"{entry[0]}:{entry[1]}"
        if made is not None:
            problems.append(Problem(f"`{name}` has no position in the log yet", "run `duecourse audit checkpoint`"))
        elif place is not None:
            problems.append(Problem(f"`{name}` is in the log, and its row is gone", "run `duecourse audit verify`"))
        else:
            problems.append(Problem(f"no entry `{name}`", "`duecourse audit show --loan L` lists a loan's"))
    if problems:
        raise DataError(problems)
    return sorted(found, key=lambda one: one.leaf.position)


def _newest(reader: Reader, keys: Sequence[PublicKey]) -> tuple[str, Checkpoint]:
    kept = table_of("log_checkpoint")
    notes = reader.read(select(kept.c.note).order_by(kept.c.number.desc()).limit(1))["note"].to_pylist()
    if not notes:
        raise DataError(Problem("nothing of the log is signed yet", "run `duecourse audit checkpoint`"))
    return notes[0], _vouched(notes[0], keys)


def _vouched(note: str, keys: Sequence[PublicKey]) -> Checkpoint:
    try:
        return read_checkpoint(note, keys)
    except NotVouched as answer:
        raise _torn(f"a checkpoint cannot be used: {answer.why}", unknown=answer.unknown) from None


def _encoder(database: Database) -> Encoder:
    with database.session() as session:
        seal_key = log.seal_key(session)
    if seal_key is None:
        raise DataError(Problem("the log holds nothing yet", "run `duecourse audit checkpoint`"))
    return Encoder(seal_key)


def _keys(reader: Reader, statement: Select[tuple[object]]) -> list[object]:
    return sorted(reader.read(statement)["key"].to_pylist())


def _torn(what: str, *, unknown: bool = False) -> ProofError:
    return ProofError(Problem(what, "run `duecourse audit verify`"), unknown=unknown)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
