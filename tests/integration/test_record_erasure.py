"""Records that were kept long enough go while the person stays: their words from everywhere, and nothing that anybody still needs."""

import gc
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select as raw
from sqlalchemy import update
from sqlmodel import SQLModel, col

from compliance import PackDates
from compliance.dated import Records
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.catalogue import load_catalogue
from engine.errors import DataError
from store.book import RAW_TABLES, read_book
from store.db import Database
from store.settings import read_setting
from store.tables import (
    Consent,
    Contact,
    ContactStatus,
    Deed,
    DeedNote,
    Duty,
    Hold,
    Loan,
    MessageText,
    Person,
    Promise,
    Proof,
    StageChange,
)
from store.timeline import timeline
from tests.integration.test_privacy import handed
from tests.integration.test_replay import decide_all
from tests.lived import EACH, NEW, NOW, OLD, TODAY, WORDS, dates_of, keeping, lived
from tests.logs import SignedLog
from tests.outgoing import add, rows
from workflows.importing import import_file
from workflows.importing.kinds import KINDS as FILES
from workflows.privacy import erase as erasing
from workflows.privacy.due_records import erase_over_records, over_records
from workflows.privacy.erase import erase_records, leave_nothing, plan_records
from workflows.privacy.records import KINDS, aged
from workflows.privacy.reveal import deeds_about_people
from workflows.privacy.subject import subject_of
from workflows.replay.replay import Chosen, replay

WHY = {"because": "house rule 3", "by": "li", "now": NOW, "today": TODAY}


def take_out(database: Database, *kinds: Records, ref: str = "C-1", dates: PackDates = EACH) -> Mapping[str, int]:
    return erase_records(database, ref, kinds, dates, **WHY)  # type: ignore[arg-type]


def all_of_it(database: Database, dates: PackDates = EACH, **more: object) -> int:
    """What the job does."""
    return erase_over_records(database, dates, now=NOW, today=TODAY, **more)["records_of"]  # type: ignore[arg-type]


def told(database: Database, word: str, *, but: tuple[str, ...] = ("deed", "log_queue")) -> set[str]:
    """Where a word stands, as it is spelt, by table and column."""
    found = set()
    with database.session() as session:
        for table in SQLModel.metadata.sorted_tables:
            for row in session.connection().execute(raw(table)).mappings() if table.name not in but else ():
                found |= {f"{table.name}.{column}" for column, value in row.items() if word in str(value)}
    return found


WHERE: Mapping[Records, set[str]] = {
    "contacts": {
        "contact.why", "contact.error", "contact_status.why", "message_text.subject", "message_text.text", "batch_item.file",
        "batch_item.result_json", "visit.area", "notice.how",
    },
    "recordings": {"proof.digest"},
    "decisions": {"override.evidence", "stage_change.reason"},
    "complaints": {"hold.reason", "duty.evidence"},
    "consents": {"consent.how", "consent.evidence", "consent.source"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_goes_and_everything_else_stays(database: Database, kind: Records) -> None:
    """The old words of one kind are nowhere, the recent ones and those of other kinds where they were, and the log as signed."""
    person = lived(database)
    log = SignedLog(database)
    log.sign()
    assert {each: told(database, word) for each, word in WORDS.items()} == WHERE
    recent = {each: told(database, word.upper()) for each, word in WORDS.items()}
    before = counted(database)
    counts = take_out(database, kind)
    assert sum(counts.values()) >= len(WHERE[kind]) - 2
    for each, word in WORDS.items():
        assert told(database, word) == (set() if each == kind else WHERE[each]), each
        assert told(database, word.upper()) == recent[each]
    assert counted(database) == before
    assert rows(database, Person)[0].name == "Somebody 1"
    assert log.found() == []
    log.sign()
    found = log.verify()
    assert (found.findings, found.waiting, found.signed) == ([], 0, found.size)
    (deed,) = rows(database, Deed)
    assert (deed.kind, deed.subject) == ("erasure", f"person:{person}")
    with database.session() as session:
        (noted,) = deeds_about_people(session, "C-1", limit=9)
    assert (noted.subject, noted.by, noted.because) == (f"person:{person} {kind}", "li", "house rule 3")
    assert noted.files == {"recordings": (WORDS["recordings"],), "contacts": ("cd" * 32,)}.get(kind, ())


def counted(database: Database) -> list[object]:
    """What limits, decisions and duties count by: rows, instants, outcomes, and nothing in words."""
    told: list[list[tuple[object, ...]]] = [
        [(c.id, c.at, c.channel, c.direction, c.status, c.outcome, c.endpoint_id, c.misdirected) for c in rows(database, Contact)],
        [(s.id, s.contact_id, s.status, s.at, s.detail_json) for s in rows(database, ContactStatus)],
        [(s.loan_id, s.entry, s.source, s.target, s.at) for s in rows(database, StageChange)],
        [(h.id, h.ref, h.kind, h.starts_at, h.ends_at) for h in rows(database, Hold)],
        [(k.id, k.ref, k.kind, k.channels, k.received_at, k.detail_json) for k in rows(database, Consent)],
        [(d.id, d.subject, d.status, d.closed_at) for d in rows(database, Duty)],
    ]  # fmt: skip
    return [sorted(each, key=str) for each in told]


def test_no_byte_of_the_words_is_left_in_the_file(sqlite_database: Database) -> None:
    """Neither in the database nor in its log of writes; also where whoever erased was killed before they cleaned it."""
    lived(sqlite_database)
    SignedLog(sqlite_database).sign()
    place = Path(sqlite_database.place)
    # Of all words only where a visit was, and how a notice was served, are not sealed before that.
    words = [word.encode() for kind, word in WORDS.items() if kind != "recordings"]
    with sqlite_database.session() as session:
        assert read_setting(session, "privacy.unclean") is None
    held = b"".join(file.read_bytes() for file in place.parent.glob(f"{place.name}*"))
    assert [word for word in words if word in held] == [WORDS["contacts"].encode()]
    assert all_of_it(sqlite_database) == 1
    # Killed here: the next run finds nobody, and cleans all the same.
    assert all_of_it(sqlite_database) == 0
    gc.collect()
    assert leave_nothing(sqlite_database)
    for file in place.parent.glob(f"{place.name}*"):
        held = file.read_bytes()
        assert [word for word in words if word in held] == [], file.name
    modified = place.stat().st_mtime_ns
    assert leave_nothing(sqlite_database)
    assert place.stat().st_mtime_ns == modified, "clean is clean: the file is not written anew each night"


def test_every_pack_that_binds_is_waited_for(sqlite_database: Database) -> None:
    """The later day counts, of another pack, of the whole file, and for ever while a loan that is counted from is not settled."""
    lived(sqlite_database)
    short = keeping("contacts: 1 year since record, at most 2 years")
    for longer in (
        "contacts: 6 years since record",
        "file: 1 year since last_activity",
        "file: 1 day since settlement",
    ):
        both = PackDates([short, keeping(longer, name="other")], actor="first_party")
        (one,) = over_records(sqlite_database, both, now=NOW, today=TODAY)
        found = one.kinds["contacts"]
        assert (found.records, one.going, found.late_since) == (0, (), date(2024, 2, 1)), longer
        assert found.late is not None
        assert found.late.rule == "house.other.r0"
        with pytest.raises(DataError, match="no contacts of theirs are over: they must be kept"):
            take_out(sqlite_database, "contacts", dates=both)
    assert all_of_it(sqlite_database, dates_of("recordings: 3 years since record")) == 1
    assert told(sqlite_database, WORDS["contacts"]) == WHERE["contacts"]
    with pytest.raises(DataError, match="there are no words in decisions of theirs that a pack sets a clock for"):
        take_out(sqlite_database, "decisions", dates=dates_of("contacts: 1 day since record"))
    assert list(over_records(sqlite_database, PackDates([], actor="first_party"), now=NOW, today=TODAY)) == []


def test_a_clock_runs_to_its_last_day(sqlite_database: Database) -> None:
    """Counted from the day that it was at the latest place on Earth; that day included."""
    lived(sqlite_database)
    last = date(2025, 2, 1)

    def over(day: date) -> int:
        plan = plan_records(
            sqlite_database, "C-1", "recordings", EACH, now=datetime.combine(day, NOW.timetz()), today=day
        )
        return plan.aged.records

    assert (over(last), over(last + timedelta(days=1))) == (0, 1)


AGAINST: dict[str, tuple[Callable[[Database], object], str]] = {
    "a hold": (
        lambda database: add(database, Hold(person_id=1, kind="dispute", owner="care", review_on=TODAY, starts_at=NEW, recorded_at=NEW, ref="x")),
        "a hold stands: dispute, number 3"),
    "a duty": (
        lambda database: add(database, Duty(rule="us.regf.answer", subject="hold:1", start_on=TODAY, what="answer", loan_id=1,
            due_on=TODAY, escalate_on=TODAY, owner="care", recorded_at=NOW)),
        "duty 3 is not done: us.regf.answer, due on 2026-03-02"),
    "words that nobody read": (
        lambda database: change(database, MessageText, read_at=None), "a message of theirs was not read: `1-new-sms-in`"),
}  # fmt: skip


def change(database: Database, table: type, **values: object) -> None:
    with database.write() as session:
        session.connection().execute(update(table).values(**values))


@pytest.mark.parametrize("what", AGAINST)
def test_while_a_matter_of_theirs_is_open_nothing_goes(sqlite_database: Database, what: str) -> None:
    """By hand it is refused with what stands in the way; the job leaves them, and the list says why."""
    lived(sqlite_database)
    arrange, says = AGAINST[what]
    arrange(sqlite_database)
    plan = plan_records(sqlite_database, "C-1", "contacts", EACH, now=NOW, today=TODAY)
    assert says in [problem.what for problem in plan.against]
    with pytest.raises(DataError) as refused:
        take_out(sqlite_database, "contacts")
    assert says in [problem.what for problem in refused.value.problems]
    assert all_of_it(sqlite_database) == 0
    (one,) = over_records(sqlite_database, EACH, now=NOW, today=TODAY)
    assert says in one.against
    assert one.kinds["contacts"].late_since == date(2026, 2, 1)
    assert told(sqlite_database, WORDS["contacts"]) == WHERE["contacts"]
    assert rows(sqlite_database, Deed) == []


def test_what_something_still_needs_keeps_its_own_words(database: Database) -> None:
    """A contact that is in doubt or waits for its outcome, one with a promise, the statement that holds; and no others."""
    lived(database)
    with database.write() as session:
        call, reply = (session.get_one(Contact, f"1-old-{name}") for name in ("call-out", "sms-in"))
        call.status, call.outcome = "sent", ""
        session.add_all(
            [call, Promise(loan_id=1, amount_minor=1, made_at=OLD, due_on=TODAY, contact_id=reply.id, ref="p-1")]
        )
    assert all_of_it(database) == 1
    assert told(database, WORDS["contacts"]) == WHERE["contacts"] - {"visit.area", "notice.how"}
    assert told(database, WORDS["recordings"]) == WHERE["recordings"]
    # What they said last stands, however old; what they said before it does not.
    standing = dates_of("consents: 1 day since record")
    assert all_of_it(database, standing) == 0
    assert told(database, WORDS["consents"]) == set()
    assert told(database, WORDS["consents"].upper()) == WHERE["consents"]
    change(database, Loan, stage="closed")
    assert all_of_it(database, standing) == 1
    assert told(database, WORDS["consents"].upper()) == set()


def test_how_something_was_said_stays_where_decisions_ask(database: Database) -> None:
    """`phone` is a word of ours, and no evidence that is left out may turn an oral statement into another."""
    lived(database)
    with database.write() as session:
        made = session.get_one(Consent, 1).model_dump(exclude={"id", "ref"})
        made["kind"], made["how"] = "consent", "phone"
        session.add(Consent(**made, ref="consent"))
        session.add(Consent(**{**made, "received_at": NEW, "recorded_at": NEW}, ref="again"))
    take_out(database, "consents")
    assert [row.how for row in rows(database, Consent, col(Consent.kind) == "consent")] == ["phone", "phone"]
    assert [row.evidence for row in rows(database, Consent, col(Consent.ref) == "consent")] == ["erased:consent:3"]


def test_an_import_brings_nothing_back(database: Database, tmp_path: Path) -> None:
    """The same files again: holds without their reason, statements as they are; a hold that stands takes its reason."""
    lived(database)
    take_out(database, "complaints", "consents")

    def taken(kind: str, content: str) -> int:
        file = tmp_path / f"{kind}.csv"
        file.write_text(content)
        done = import_file(database, FILES[kind], file, as_of=NOW, now=NOW, catalogue=load_catalogue())
        assert done.rejected == 0
        return done.added + done.changed

    head = "ref,person,kind,owner,review_on,starts_at,ends_at,reason\n"
    row = "{},C-1,dispute,care,2022-02-01,2022-01-23T04:00:00Z,{},Sassafras\n"
    assert taken("holds", head + row.format("h-1-old", "2022-02-01T04:00:00Z")) == 0
    consents = "ref,person,kind,channels,received_at,how,evidence\nk-1-old,C-1,opt_out,email,2022-02-01T04:00:00Z,Tamarack,Tamarack\n"
    assert taken("consents", consents) == 0
    assert (told(database, "Sassafras"), told(database, "Tamarack")) == (set(), set())
    assert taken("holds", head + row.format("h-9", "")) == 1
    assert told(database, "Sassafras") == {"hold.reason"}


def test_what_is_shown_says_that_it_was_not_kept(database: Database, tmp_path: Path) -> None:
    """In the loan's story and in what the person is handed; nobody reads the mark that stands in its place."""
    lived(database)
    assert all_of_it(database) == 1
    data = handed(database, tmp_path / "out", "C-1")
    text = (tmp_path / "out" / "data.json").read_text()
    assert all(word not in text for word in WORDS.values())
    assert "erased:" not in text
    became = sorted(row["why"] for row in data["what_became_of_contacts"])  # type: ignore[type-var]
    assert became == ["", "", *["(no longer kept)"] * 2, *["an agent: QUAGMIRE"] * 2]
    assert "(no longer kept)" in {row["how"] for row in data["consents"]}
    assert data["who_received_data"] == [
        row for row in data["who_received_data"] if row["who"] != "somebody who works for the lender"
    ]
    with database.session() as session:
        lines = timeline(session, session.get_one(Loan, 1))
    assert not [line for line in lines if "erased:" in f"{line.what} {line.why}"]


class Killed(BaseException):
    """Nobody catches it."""


def test_killed_in_the_middle_it_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was done is done, whoever was not is whole, and the next run does the rest and nobody twice."""
    for name in "123":
        lived(database, name)
    log = SignedLog(database)
    log.sign()
    real, calls = erasing._take_out, list[object]()

    def until_killed(session, found):  # type: ignore[no-untyped-def]
        calls.append(found)
        real(session, found)
        if len(calls) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_take_out", until_killed)
        with pytest.raises(Killed):
            all_of_it(database)
    assert [one.person_id for one in rows(database, DeedNote)] == [1]
    assert told(database, WORDS["contacts"]) == WHERE["contacts"]
    assert len(rows(database, Proof, col(Proof.digest) == WORDS["recordings"])) == 2
    assert log.found() == []
    assert all_of_it(database, stop=iter([False, False, True]).__next__) == 1
    assert all_of_it(database) == 1
    assert sorted(one.person_id for one in rows(database, DeedNote)) == [1, 2, 3]
    assert told(database, WORDS["contacts"]) == set()
    log.sign()
    assert log.found() == []
    assert all_of_it(database) == 0


def test_decisions_are_derived_and_made_as_before(database: Database) -> None:
    """Of a book that was swept, heard of events and worked by hand: every decision comes out again, and the next is made on the same."""
    decide_all(database)
    with database.write() as session:
        session.connection().execute(
            update(Contact).where(col(Contact.status) == "planned").values(status="expired", why="too late")
        )
    later = NOW + timedelta(days=3)
    people = [one.id for one in rows(database, Person)]
    before, derived = read_book(database, people, now=later), replay(database, Chosen()).total
    texts = dates_of(*(f"{kind}: 1 day since record" for kind in WORDS))
    ours = {"now": later, "today": later.date()}
    brute = set()
    with database.session() as session:
        for person in people:
            found = aged(session, subject_of(session, session.get_one(Person, person)), texts, **ours)  # type: ignore[arg-type]
            if any(one.records for one in found.values()):
                brute.add(session.get_one(Person, person).ref)
    assert {one.ref for one in over_records(database, texts, **ours)} == brute  # type: ignore[arg-type]
    assert len(brute) > 30
    assert 0 < erase_over_records(database, texts, **ours)["records_of"] <= len(brute)  # type: ignore[arg-type]
    after = read_book(database, people, now=later)
    for name in RAW_TABLES:
        was, is_now = (sorted(getattr(book, name).to_pylist(), key=str) for book in (before, after))
        assert is_now == was, name
    again = replay(database, Chosen()).total
    assert (again, again.different) == (derived, 0)


def test_the_job_does_it_where_the_lender_wants_it(tmp_path: Path) -> None:
    """A workspace as it comes keeps every word; with the setting, and a pack of the house, what is over goes."""
    create_workspace(tmp_path / "ws")
    place = tmp_path / "ws" / "packs" / "house.mine.yaml"
    from tests.lived import text_of

    place.write_text(text_of("contacts: 3 years since record"))
    for setting, words in (({}, WHERE["contacts"]), ({"erase_when_over": True}, set())):
        workspace = open_workspace(tmp_path / "ws", setting)
        with closing(Works(workspace, workspace.open_database())) as works:
            if not setting:
                lived(works.database)
                change(works.database, Person, country="BR")
            done = works.tidy(NOW)
            assert done.get("records_of", 0) == bool(setting)
            assert told(works.database, WORDS["contacts"]) == words
