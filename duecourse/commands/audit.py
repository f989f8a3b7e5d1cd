"""`duecourse audit ...`: the log as evidence: positions, signatures, proofs, and whether it stands as it was signed."""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.clock import At, instant
from duecourse.commands.audit_export import export, keys_to_prove_by
from duecourse.commands.makegood import makegood
from duecourse.commands.match import match
from duecourse.commands.replay import replay
from duecourse.commands.review import review
from duecourse.output import ANSWER_IS_NO, CANNOT_TELL, table
from duecourse.session import Session
from engine.errors import DataError, Problem, ProofError

if TYPE_CHECKING:
    from compliance.checkpoint import PublicKey
    from duecourse.audit import Kept
    from workflows.log.findings import Verified
    from workflows.log.prove import Entry

Loan = Annotated[str | None, typer.Option(help="every entry about this loan, by its reference")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The log as evidence: sign it, check it, prove what is in it.", no_args_is_help=True)
    group.command("keygen")(keygen)
    group.command("sequence")(sequence)
    group.command("checkpoint")(checkpoint)
    group.command("verify")(verify)
    group.command("replay")(replay)
    group.command("match")(match)
    group.command("makegood")(makegood)
    group.command("review")(review)
    group.command("export")(export)
    group.command("prove")(prove)
    group.command("show")(show)
    app.add_typer(group, name="audit")


def keygen(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="what the log is called, e.g. lender.example/log")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="replace the key that is in use")] = False,
    at: At = None,
) -> None:
    """Make the key that signs the log. An older one stays trusted for its time."""
    from duecourse.audit import make_key

    session: Session = context.obj
    called = name or f"duecourse/{secrets.token_hex(4)}"
    if any(letter.isspace() or letter == "+" for letter in called) or not called:
        raise typer.BadParameter("a name has no spaces and no `+`", param_hint="--name")
    audit = session.settings.audit
    made = make_key(session.workspace, session.database, name=called, rotate=rotate, now=session.rehearsed(at))
    answer = {"key": made.text, "from": made.from_at, "key_file": audit.key_file, "keys_file": audit.keys_file}
    text = (
        f"signs from now on: {made.text}\nits private half is in {audit.key_file}; {audit.keys_file} is for everybody"
    )
    session.output.answer(answer, lambda console: console.print(text, markup=False))


def sequence(context: typer.Context) -> None:
    """Give their positions in the log to all rows that wait for one."""
    from workflows.log.sequence import sequence as run

    session: Session = context.obj
    with session.output.progress("sequencing") as progress:
        done = run(session.database, progress=progress)
    answer = {"entries": done.entries, "size": done.size, "lost": done.lost}
    text = f"{done.entries:,} new entries, {done.size:,} in all"
    session.output.answer(answer, lambda console: console.print(text))
    _lost(session, done.lost)


def checkpoint(
    context: typer.Context,
    despite_clock: Annotated[
        bool, typer.Option("--despite-clock", help="the newest checkpoint was signed by a clock that stood ahead")
    ] = False,
    by: Annotated[str, typer.Option(help="with --despite-clock: who says so")] = "",
    because: Annotated[str, typer.Option(help="with --despite-clock: how it is known")] = "",
    at: At = None,
) -> None:
    """
    Give positions, sign the log as it stands, and hand the checkpoint to the witnesses.

    A checkpoint is never older than the one before it, unless somebody says that the clock of that one stood ahead: with
    --despite-clock, which becomes an entry of the log and is told by every `audit verify`.
    """
    session: Session = context.obj
    if despite_clock:
        from workflows.log.checkpoint import set_clock_aside

        set_clock_aside(session.database, by=by, because=because, now=session.rehearsed(at))
    elif by or because:
        raise typer.BadParameter("they belong to --despite-clock", param_hint="--by, --because")
    with session.output.progress("sequencing") as progress:
        kept = session.works.keep_log(session.rehearsed(at), progress=progress)
    session.output.answer(_kept(kept), lambda console: console.print(_said(kept), markup=False, end=""))
    _lost(session, kept.sequenced.lost)
    if kept.checkpoint is None and kept.sequenced.size:
        raise DataError(Problem("nobody signs the log", "run `duecourse audit keygen`, or set DUECOURSE_AUDIT__KEY"))
    if kept.problems:
        raise DataError(kept.problems)


def verify(
    context: typer.Context,
    checkpoints: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="one that somebody else kept, as a file; again for more")
    ] = None,
) -> None:
    """
    Check the whole log against what was signed: every row, entry, hash and checkpoint, and what never went through it;
    the contacts against the log; and whether entries were written when they say.

    Exit code 0: it stands as it was signed. 3: it does not; every place is told. 4: it cannot be told.
    """
    from config.files import read_text
    from duecourse.witnesses import ask_witnesses
    from workflows.log.verify import verify as run

    session: Session = context.obj
    witnessed: dict[str, str] = {}
    unread: list[str] = []
    keys: tuple[PublicKey, ...] = ()
    # What was meant to be checked by, and cannot be read, is no reason not to check the rest.
    try:
        keys = keys_to_prove_by(session)
    except ProofError as error:
        unread += [one.what for one in error.problems]
    for path in checkpoints or ():
        try:
            witnessed[str(path)] = read_text(path, str(path))
        except DataError as error:
            unread += [f"{path}: {one.what}" for one in error.problems]
    with session.output.progress("verifying") as progress:
        found = run(
            session.database, keys, witnessed=witnessed, asked=ask_witnesses(session.workspace), progress=progress
        )
    found.unknown += unread
    answer = {
        "size": found.size,
        "signed": found.signed,
        "waiting": found.waiting,
        "findings": [{"what": one.what, "place": one.place} for one in found.findings],
        "more_findings": found.more,
        "unknown": found.unknown,
        "told": found.told,
    }
    session.output.answer(answer, lambda console: console.print(_verified(found), markup=False, end=""))
    if found.findings:
        raise typer.Exit(ANSWER_IS_NO)
    if found.unknown:
        raise typer.Exit(CANNOT_TELL)


def prove(
    context: typer.Context,
    entries: Annotated[list[str] | None, typer.Argument(help="KIND:KEY, e.g. decision:12-345", metavar="ENTRY")] = None,
    loan: Loan = None,
    since: Annotated[
        int | None, typer.Option(min=1, max=2**63 - 1, help="prove that the log only grew since this checkpoint")
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="also tell what is withheld: free texts, who it was")] = False,
    out: Annotated[Path | None, typer.Option(help="write to this file, not to standard output")] = None,
    by: Annotated[str, typer.Option(help="with --open: who hands it out")] = "",
    because: Annotated[str, typer.Option(help="with --open: what for; `privacy deeds` shows it")] = "",
    at: At = None,
) -> None:
    """
    Write a proof that anybody can check without us, by docs/verify_proof.py and the log's public keys.

    Withheld fields stand in it as commitments. With --open they can be read by whoever gets the file: personal data.
    Then the log keeps a deed about each person concerned, and the book by whom and what for.
    Exit code 3: the log is not what was signed. 4: no key is at hand by which to tell.
    """
    from workflows.log.prove import prove as run
    from workflows.privacy.evidence_deeds import handed_out, people_of, say_whose_reasons

    session: Session = context.obj
    if opened:
        say_whose_reasons(by, because)
    wanted = _entries(session, entries or (), loan)
    if not wanted and since is None:
        raise typer.BadParameter("name an entry, a loan with --loan, or a checkpoint with --since")
    text = run(session.database, wanted, keys_to_prove_by(session), since=since, opened=opened)
    if opened:
        people = people_of(session.database, wanted)
        detail = {"digest": hashlib.sha256(text.encode()).hexdigest(), "rows": len(wanted)}
        handed_out(session.database, people, "log", detail, by=by, because=because, now=instant(at))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_bytes(text.encode())
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DataError(Problem(f"`{out}` cannot be written: {said}", "choose another place")) from None
    answer = {"file": str(out), "entries": len(wanted), "bytes": len(text.encode())}
    said = f"{len(wanted)} entries, {len(text.encode()):,} bytes: {out}"
    session.output.answer(answer, lambda console: console.print(said, markup=False))


def show(
    context: typer.Context,
    entries: Annotated[list[str] | None, typer.Argument(help="KIND:KEY, e.g. decision:12-345", metavar="ENTRY")] = None,
    loan: Loan = None,
) -> None:
    """Show entries as they are hashed; without any, how long the log is and its newest checkpoints."""
    session: Session = context.obj
    if entries or loan is not None:
        _show_entries(session, _entries(session, entries or (), loan), whole=loan is None)
    else:
        _show_log(session)


def _show_log(session: Session) -> None:
    from sqlalchemy import func, select

    from store.tables import LogLeaf, LogQueue
    from workflows.log.checkpoint import checkpoints

    with session.database.session() as reading:
        size = reading.scalar(select(func.count()).select_from(LogLeaf)) or 0
        waiting = reading.scalar(select(func.count()).select_from(LogQueue)) or 0
        signed = checkpoints(reading)[-10:]
    answer = {
        "size": size,
        "waiting": waiting,
        "checkpoints": [{"number": one.number, "size": one.size, "at": one.at, "note": one.note} for one in signed],
    }
    drawn = table("checkpoint", "entries", "at")
    for one in signed:
        drawn.add_row(str(one.number), f"{one.size:,}", f"{one.at:%Y-%m-%d %H:%M}Z")
    head = f"{size:,} entries; {waiting:,} rows wait for their position"
    session.output.answer(answer, lambda console: console.print(head, *([drawn] if signed else []), sep="\n"))


def _show_entries(session: Session, wanted: "Sequence[Entry]", *, whole: bool) -> None:
    from compliance.log_encoding import elements
    from workflows.log.prove import show as read

    answer: list[dict[str, Any]] = []
    lines: list[str] = []
    for one in read(session.database, wanted):
        parts = list(elements(one.data))
        # After the head (version, kind, how many) names and values take turns.
        named = [(name.decode(), letter, data.decode()) for (_, name), (letter, data) in zip(parts[3::2], parts[4::2], strict=True)]  # fmt: skip
        fields = {name: None if letter == "n" else f"withheld ({said})" if letter == "h" else said for name, letter, said in named}  # fmt: skip
        called = f"{one.leaf.kind}:{one.leaf.key}"
        answer.append({"entry": called, "position": one.leaf.position, "hash": one.leaf.hash.hex(), "fields": fields})
        lines.append(f"{called}, position {one.leaf.position:,}, hash {one.leaf.hash.hex()}")
        lines += (
            [f"  {name}: {said if said is not None else '(null)'}" for name, said in fields.items()] if whole else []
        )
    session.output.answer(answer, lambda console: console.print("\n".join(lines), markup=False))


def _entries(session: Session, named: Sequence[str], loan: str | None) -> "list[Entry]":
    from store.bulk import reading
    from store.timeline import find_loan
    from workflows.log.prove import entries_of_loan, entry_named

    wanted = [entry_named(one) for one in named]
    if loan is not None:
        with session.database.session() as looking:
            found = find_loan(looking, loan)
        if found is None or found.id is None:
            raise DataError(Problem(f"no loan `{loan}`", "write the reference it was imported with"))
        with reading(session.database) as reader:
            wanted += entries_of_loan(reader, found.id)
    return list(dict.fromkeys(wanted))


def _kept(kept: "Kept") -> dict[str, Any]:
    signed = kept.checkpoint
    return {
        "entries": kept.sequenced.entries,
        "size": kept.sequenced.size,
        "checkpoint": None if signed is None else {"number": signed.number, "size": signed.size, "note": signed.note},
    }


def _said(kept: "Kept") -> str:
    signed = kept.checkpoint
    head = f"{kept.sequenced.entries:,} new entries, {kept.sequenced.size:,} in all"
    return f"{head}\n" if signed is None else f"{head}; checkpoint {signed.number}:\n\n{signed.note}"


def _verified(found: "Verified") -> str:
    lines = [f"{found.size:,} entries, {found.signed:,} of them signed; {found.waiting:,} rows wait for their position"]
    lines += [str(one) for one in found.findings]
    if found.more:
        lines.append(f"and {found.more:,} more")
    lines += [f"cannot tell: {why}" for why in found.unknown]
    lines += found.told
    if not found.findings and not found.unknown:
        lines.append("the log stands as it was signed")
    return "\n".join(lines) + "\n"


def _lost(session: Session, lost: int) -> None:
    if lost:
        session.output.note(f"{lost:,} rows were deleted before they had a position: run `duecourse audit verify`")
