"""The review of one month, made whole: gathered, measured, told, and written down as a deed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from channels.paper import Press, document_pages
from compliance.checkpoint import NotVouched, PublicKey, read_checkpoint
from compliance.pack import Pack
from engine.errors import DataError, Problem
from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.db import Database
from store.deeds import record
from store.duck import work_file
from workflows.log.verify import verify
from workflows.log.witnessed import Asked
from workflows.private_file import whole_folder
from workflows.review import done, held_back, owed
from workflows.review.gather import Progress, gather, gather_runs
from workflows.review.law import laws_of
from workflows.review.lists import Lists, digest_of
from workflows.review.measure import measure
from workflows.review.page import page
from workflows.review.period import Month
from workflows.review.report import Number, Report, as_document
from workflows.review.setting import Rests, hours, integrity, scope
from workflows.review.views import make_lists, make_views
from workflows.review.work import Work


@dataclass(frozen=True, slots=True)
class About:
    """Whose book it is, and how its pages are printed. `actor`: who the lender is, as packs call it; `packs`: as they stand."""

    lender: str
    actor: str
    packs: Sequence[Pack]
    press: Press


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review came to: its findings, figures by name, and the SHA-256 of its files in hex."""

    findings: int
    figures: Mapping[str, int]
    digests: Mapping[str, str]


def review(
    database: Database,
    month: Month,
    folder: Path,
    about: About,
    keys: Sequence[PublicKey],
    *,
    now: datetime,
    asked: Sequence[Asked] = (),
    progress: Progress = lambda _done, _total: None,
) -> Reviewed:
    """
    Review a month into a folder: `review.html`, `review.pdf`, and `entries/` with the list behind every number.

    The same month of the same book gives the same files, what is said of `now` aside.

    Args:
        keys: by which checkpoints are believed. asked: the witnesses of the settings, and what they hold.
    Raises:
        DataError: the month is not over, the folder is not empty or cannot be written.
        StoreError: the database cannot be read or written.
    """
    if now < month.end:
        raise DataError(Problem(f"{month.name} is not over", "review a month that is"))
    rests = _rests(database, keys, asked)
    with whole_folder(folder) as making, work_file("the review") as con:
        with reading(database) as reader:
            gather_runs(con, reader, month)
            columns = "now_at, strategies_json, gate_digest, engine_version"
            runs = con.execute(f"select {columns} from run order by now_at, id").fetchall()
            laws = laws_of(reader, runs, about.packs)
            gather(con, reader, month, laws.reach, facts=laws.asks_facts, progress=progress)
        make_views(con)
        measure(con, laws, actor=about.actor, progress=progress)
        make_lists(con)
        lists = Lists(con, making / "entries")
        report = _report(Work(con, laws, lists, laws.named()), month, about, rests, now)
        (making / "review.html").write_text(page(report), encoding="utf-8")
        (making / "review.pdf").write_bytes(document_pages(as_document(report), about.press).content)
        digests = {name: digest_of(making / name) for name in ("review.html", "review.pdf")}
        digests["entries"] = lists.digest()
        detail = {"review": month.name, "findings": report.findings, "lists": len(lists.rows), **digests}
        # Said before it is done: whatever leaves is in the log.
        with writing(database) as transaction:
            record(transaction, "export", digests["review.html"], detail, now=now)
    return Reviewed(report.findings, {name: number.value for name, number in report.figures}, digests)


def _report(work: Work, month: Month, about: About, rests: Rests, now: datetime) -> Report:
    breaches, unsound = done.breaches(work), integrity(work, rests)
    parts = (
        scope(work, month, about.lender), breaches, done.contacts(work), held_back.refusals(work), held_back.near_misses(work), hours(work),
        done.frequency(work), owed.overrides(work), owed.opt_outs(work), owed.duties(work), held_back.unverified(work), unsound,
    )  # fmt: skip
    findings = breaches.findings + unsound.findings
    head = (
        f"Made {now.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z for {about.lender}.",
        "Every number leads to the list of what it counts, with positions in the log; references and ids only.",
    )
    return Report(f"Compliance review {month.name}", head, _figures(work, findings), parts, findings=findings)


def _figures(work: Work, findings: int) -> tuple[tuple[str, Number], ...]:
    decided = "select position, 'decision:' || run_id || '-' || loan_id as entry, l.ref as loan, d.rule, moment(now_at) as \"at\", outcome from decision d join loan l on l.id = d.loan_id"  # fmt: skip
    held = 'select position, entry, loan, person, rule, outcome, decided, "at" from listed_verdict'
    return (
        ("findings", Number(findings, bad=findings > 0)),
        ("decisions", work.lists.number("decisions", "Decisions", decided)),
        ("contacts made", work.contacts("contacts", "Contacts made", "in_month and direction = 'out'")),
        ("decisions in which a rule held something back", work.lists.number("held-back", "Held back by a rule", held, count="count(distinct entry)")),
        ("held back by the second look", work.lists.number("stopped", "Held back by the second look", "from listed_stopped", count="count(distinct entry)")),
        ("persons contacted", work.lists.number("contacts", "", "select person from listed_contact where in_month and direction = 'out'", count="count(distinct person)")),
    )  # fmt: skip


def _rests(database: Database, keys: Sequence[PublicKey], asked: Sequence[Asked]) -> Rests:
    verified = verify(database, keys, asked=asked)
    kept, handed = table_of("log_checkpoint"), table_of("log_handover")
    with reading(database) as reader:
        newest = reader.read(select(kept.c.number, kept.c.note).order_by(kept.c.number.desc()).limit(1)).to_pylist()
        if not newest:
            return Rests(verified, None, None, ())
        number, note = newest[0]["number"], newest[0]["note"]
        witnesses = reader.read(select(handed.c.witness).where(handed.c.number == number).order_by(handed.c.witness))
    try:
        checkpoint = read_checkpoint(note, keys)
    except NotVouched:
        return Rests(verified, None, None, ())
    return Rests(verified, number, checkpoint, tuple(witnesses["witness"].to_pylist()))
