"""A person who is erased: nothing tells who they were, the log is the one that was signed, and nobody brings them back."""

import gc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import LargeBinary, String, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, col
from sqlmodel.sql.sqltypes import AutoString

from engine.catalogue import load_catalogue
from engine.errors import DataError, StoreError
from store.columns import Sealed
from store.db import Database
from store.lock import sole
from store.tables import (
    Consent,
    Contact,
    ContactStatus,
    Deed,
    Duty,
    Endpoint,
    Event,
    Hold,
    Loan,
    LogErased,
    MessageText,
    Person,
    Promise,
)
from tests.forgotten import (
    AGENCY,
    CLOSED,
    LENDER,
    LONG_AFTER,
    MARKS,
    MOBILE,
    OTHER_MOBILE,
    OTHER_NAME,
    REF,
    name_of,
    remembered,
    told,
)
from tests.integration.test_regulator_export import checked
from tests.logs import SignedLog, standalone, without_triggers
from tests.outgoing import add, door_of, rows
from workflows.desk.asking import Wanted, ask
from workflows.importing import import_file
from workflows.importing.kinds import KINDS
from workflows.inbox.posting import Placed, post
from workflows.ledger_view import find_person
from workflows.log.prove import prove
from workflows.privacy import traces
from workflows.privacy.erase import erase, plan_erasure
from workflows.regulator.export import export
from workflows.regulator.files import Format

TODAY = LONG_AFTER.date()
WHY = {"because": "request 7", "by": "li", "now": LONG_AFTER, "today": TODAY}


def erased(database: Database) -> dict[str, int]:
    return dict(erase(database, REF, LENDER, **WHY))  # type: ignore[arg-type]


def signed(database: Database) -> SignedLog:
    log = SignedLog(database)
    log.sign()
    return log


def test_nothing_tells_who_they_were_and_the_log_is_as_it_was_signed(database: Database) -> None:
    """No mark is left in any table, others around the loan are untouched, and every entry hashes to what it did."""
    person, other = remembered(database)
    log = signed(database)
    before = told(database)
    assert {"person.name", "person.ref", "endpoint.value", "consent.how", "contact_status.why", "stage_change.reason",
            "override.evidence", "message_text.text", "hold.reason", "event.key", "notice.how"} <= set(before)  # fmt: skip
    counts = erased(database)
    assert told(database) == {}
    assert counts["log texts"] == 8
    assert counts["endpoint"] == 3
    assert name_of(database, other) == OTHER_NAME
    assert [row.value for row in rows(database, Endpoint, col(Endpoint.person_id) == other)] == [OTHER_MOBILE]
    assert [row.ref for row in rows(database, Loan)] == ["L-1"]
    assert [row.outcome for row in rows(database, Contact)] == ["delivered", "delivered"]
    assert log.found() == []
    log.sign()
    found = log.verify()
    assert (found.findings, found.waiting, found.signed) == ([], 0, found.size)
    (deed,) = rows(database, Deed)
    assert (deed.kind, deed.subject) == ("erasure", f"person:{person}")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_regulator_gets_their_entries_without_their_words(database: Database, tmp_path: Path, form: Format) -> None:
    """An export of the log from before and after the erasure: a stranger's check says yes, and no mark is in it."""
    remembered(database)
    log = signed(database)
    erased(database)
    log.sign()
    since, until = datetime(2019, 1, 1, tzinfo=UTC), LONG_AFTER + timedelta(days=1)
    folder = tmp_path / "export"
    made = export(database, folder, log.keys, since=since, until=until, form=form, now=LONG_AFTER)
    assert made.rows["contact_status"] > 0
    code, said = checked(folder, log.keys)
    assert code == 0, said
    for file in folder.iterdir():
        held = file.read_bytes().lower()
        assert [mark for mark in MARKS if mark.lower().encode() in held] == [], file.name


def test_no_byte_of_them_is_left_in_the_file(sqlite_database: Database) -> None:
    """Neither in the database nor in its log of writes, whatever was there before: free pages, freed cells, old frames."""
    remembered(sqlite_database)
    signed(sqlite_database)
    place = Path(sqlite_database.place)
    held = b"".join(file.read_bytes() for file in place.parent.glob(f"{place.name}*"))
    # Their reference, and what files said of places and employers; the words of people are sealed.
    assert [mark for mark in MARKS if mark.encode() in held] == [
        "Quillfeather",
        "zebedee.quill",
        "Marigold",
        "Hortensia",
    ]
    erased(sqlite_database)
    gc.collect()
    assert sqlite_database.scrub()
    for file in place.parent.glob(f"{place.name}*"):
        held = file.read_bytes().lower()
        assert [mark for mark in MARKS if mark.lower().encode() in held] == [], file.name


def test_an_erased_entry_can_be_proved_and_its_text_cannot_be_told(sqlite_database: Database) -> None:
    """A stranger checks the entry against the checkpoint that was signed before; what was erased has no opening."""
    remembered(sqlite_database)
    log = signed(sqlite_database)
    (consent,) = rows(sqlite_database, Consent)
    entry = ("consent", str(consent.id))
    opened = prove(sqlite_database, [entry], log.keys, opened=True)
    assert opened.count("\nopen ") == 6
    erased(sqlite_database)
    still = prove(sqlite_database, [entry], log.keys, opened=True)
    assert [line.split()[1] for line in still.splitlines() if line.startswith("open ")] == ["detail_json", "given_to"]
    # What ties it to the checkpoint is what tied it before.
    kept = [line for line in opened.splitlines() if not line.startswith("open ")]
    assert [line for line in still.splitlines() if not line.startswith("open ")] == kept
    assert "(withheld, " in "\n".join(standalone().check(still, log.keys_text))


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update consent set how = 'by letter'", "altered: `consent:1`"),
        ("update contact_status set why = 'erased:contact_status:9' where id = 1", "altered: `contact_status:1`"),
        ("update log_erased set commitment = substr(commitment, 2) || 'x' where field = 'how'", "altered: `consent:1`"),
        ("delete from log_erased where field = 'reason'", "altered: `stage_change:1`"),
        ("delete from log_erased where field = 'reason'", "altered: what `deed:1` erased"),
        ("update deed set detail_json = '{}'", "altered: what `deed:1` erased"),
        ("update log_erased set deed_id = 2", "altered: what `deed:2` erased"),
        ("update log_erased set commitment = x'ff'", "altered: what the table `log_erased` holds"),
        ("insert into log_erased values ('override', 'c-9', 'evidence', 'x', 1)", "altered: what `deed:1` erased"),
    ],
)
def test_what_somebody_hides_behind_an_erasure_is_found(sqlite_database: Database, statement: str, says: str) -> None:
    """Other words in an erased field, another commitment, one that is gone, a deed that says otherwise."""
    remembered(sqlite_database)
    log = signed(sqlite_database)
    erased(sqlite_database)
    add(sqlite_database, Deed(at=LONG_AFTER, kind="purge", subject="arrival"))
    log.sign()
    assert log.found() == []
    with without_triggers(sqlite_database) as connection:
        assert connection.execute(text(statement)).rowcount
    assert any(found.startswith(says) for found in log.found()), log.found()


def test_a_text_of_the_log_gives_way_to_nothing_but_its_commitment(database: Database) -> None:
    """The database itself refuses: without a commitment, to other words, of another entry, and in what is not withheld."""
    remembered(database)
    mark = "'erased:consent:1'"
    add(database, Deed(at=LONG_AFTER, kind="erasure", subject="person:1"))
    for wrong in (f"update consent set how = {mark}", "update consent set how = ''", "update consent set kind = kind"):
        with pytest.raises(DBAPIError, match="part of the log"), database.write() as session:
            session.connection().execute(text(wrong))
    add(database, LogErased(kind="consent", key="1", field="how", commitment="0" * 64, deed_id=1))
    for wrong in (
        "update consent set how = 'other'", "update consent set how = 'erased:consent:2'", "update consent set how = null",
        f"update consent set evidence = {mark}", "delete from log_erased", "update log_erased set field = 'evidence'",
    ):  # fmt: skip
        with pytest.raises(DBAPIError, match="part of the log"), database.write() as session:
            session.connection().execute(text(wrong))
    with database.write() as session:
        session.connection().execute(text(f"update consent set how = {mark}"))
    assert rows(database, Consent)[0].how == "erased:consent:1"


Change = Callable[[Database], None]


def _set(table: type, **values: object) -> Change:
    def change(database: Database) -> None:
        with database.write() as session:
            session.connection().execute(update(table).values(**values))

    return change


def _owed(database: Database) -> None:
    add(
        database,
        Duty(rule="us.regf.answer", subject="hold:1", start_on=CLOSED, what="answer", loan_id=1, due_on=CLOSED,
             escalate_on=CLOSED, owner="care", status="lapsed", recorded_at=LONG_AFTER),
    )  # fmt: skip


AGAINST: dict[str, tuple[Change, str]] = {
    "a loan that is open": (_set(Loan, stage="legal"), "loan `L-1` is open (legal), and they are its borrower"),
    "a hold": (_set(Hold, ends_at=None), "a hold stands: dispute, number 1"),
    "a duty that lapsed": (_owed, "duty 1 is not done: us.regf.answer, due on 2020-03-02"),
    "a promise": (_set(Promise, status="open"), "a promise for 2020-03-02 is not settled"),
    "a contact in doubt": (_set(Contact, status="unknown"), "contact `c-0` is not over: sms, unknown"),
    "a contact that is planned": (_set(Contact, status="planned"), "contact `c-1` is not over: sms, planned"),
    "a task in its queue": (
        _set(Contact, status="sent", channel="call", outcome=""), "contact `c-0` is not over: call, sent"),
    "words that nobody read": (
        lambda database: (_set(Contact, direction="in")(database), _set(MessageText, read_at=None)(database), None)[2],
        "a message of theirs was not read: `c-0`"),
    "news": (_set(Event, run_id=None), "news about them was not handled"),
}  # fmt: skip


@pytest.mark.parametrize("what", AGAINST)
def test_while_anything_is_open_nothing_goes(sqlite_database: Database, what: str) -> None:
    """It is refused with what stands in the way, and not a byte is changed."""
    remembered(sqlite_database)
    change, says = AGAINST[what]
    change(sqlite_database)
    before = told(sqlite_database)
    plan = plan_erasure(sqlite_database, REF, LENDER, now=LONG_AFTER, today=TODAY)
    assert says in [problem.what for problem in plan.against]
    with pytest.raises(DataError) as refused:
        erased(sqlite_database)
    assert [problem.what for problem in refused.value.problems] == [problem.what for problem in plan.against]
    assert told(sqlite_database) == before
    assert rows(sqlite_database, Deed) == []


def test_something_from_them_in_the_inbox_is_looked_at_first(sqlite_database: Database) -> None:
    """A text from their number that nobody could place holds it up."""
    from store.inbox import NewArrival, put

    remembered(sqlite_database)
    with sqlite_database.write() as session:
        put(session, [NewArrival("twilio", "SM9", "text", {}, {"from": MOBILE, "text": "hello"})], now=LONG_AFTER)
    with pytest.raises(DataError, match="waits in the inbox"):
        erased(sqlite_database)


def test_the_clock_runs_to_its_last_day(sqlite_database: Database) -> None:
    """An agency in the United States keeps the file for three years after the last activity, that day included."""
    remembered(sqlite_database)
    (status,) = rows(sqlite_database, ContactStatus, col(ContactStatus.contact_id) == "c-1")
    last = date(2023, 3, 3)  # CLOSED and the latest place on Earth, and three years

    def against(day: date) -> list[str]:
        now = datetime.combine(day, LONG_AFTER.timetz())
        plan = plan_erasure(sqlite_database, REF, AGENCY, now=now, today=day)
        return [problem.what for problem in plan.against]

    assert status.status == "delivered"
    said = f"loan `L-1`: file must be kept until {last} (us.regf.retention, 12 CFR 1006.100(a))"
    assert said in against(last)
    assert against(last + timedelta(days=1)) == []


def test_nobody_brings_them_back(database: Database, tmp_path: Path) -> None:
    """Rows of theirs are refused by any file, by their ref and by what stands in its place; others are taken."""
    remembered(database)
    erased(database)
    (person,) = rows(database, Person, col(Person.erased_at).is_not(None))

    def taken(kind: str, content: str) -> tuple[int, set[str]]:
        file = tmp_path / f"{kind}.csv"
        file.write_text(content)
        done = import_file(database, KINDS[kind], file, as_of=LONG_AFTER, now=LONG_AFTER, catalogue=load_catalogue())
        return done.added + done.changed, {reason.reason for reason in done.reasons}

    gone = {"belongs to somebody who was erased"}
    head = "ref,name,language,country,zones\n"
    row = "{},Somebody New,en,US,America/New_York\n"
    assert taken("people", head + row.format(REF)) == (0, gone)
    assert taken("people", head + row.format(person.ref) + row.format("C-2")) == (1, gone)
    assert taken("endpoints", f"person,kind,value\n{REF},mobile,{MOBILE}\n{person.ref},mobile,{MOBILE}\n") == (0, gone)
    loans = "ref,borrower,product,currency,principal,opened_on\n"
    assert taken("loans", f"{loans}L-1,{REF},personal,USD,100,2020-01-02\nL-2,{REF},personal,USD,1,2026-01-02\n") == (
        0,
        gone,
    )
    assert taken("consents", f"ref,person,kind,received_at\nK,{REF},opt_out,2026-01-02T00:00:00Z\n") == (0, gone)
    assert told(database) == {}


def test_the_reason_that_stays_names_nobody(sqlite_database: Database) -> None:
    """Their name, reference or number in it is refused, however it is written."""
    remembered(sqlite_database)
    for because in (f"as {REF} wrote", "ZEBEDEE QUILLFEATHER asked", f"mail from {MOBILE}"):
        with pytest.raises(DataError, match="the reason names the person"):
            erase(sqlite_database, REF, LENDER, **{**WHY, "because": because})  # type: ignore[arg-type]


def test_an_import_and_an_erasure_keep_out_of_each_others_way(sqlite_database: Database) -> None:
    """An import has read whom it is about before it writes: meanwhile nobody is erased."""
    remembered(sqlite_database)
    with sole(sqlite_database, "import", what="an import"), pytest.raises(StoreError, match="an import"):
        erased(sqlite_database)
    assert erased(sqlite_database)


def test_nobody_reaches_or_adds_to_them(sqlite_database: Database) -> None:
    """Their numbers lead nowhere, what somebody does by hand is refused, and so is a hold that a system posts."""
    person, _ = remembered(sqlite_database)
    erased(sqlite_database)
    with sqlite_database.session() as session, pytest.raises(DataError, match="was erased"):
        find_person(session, "L-1", None, None)
    door = door_of(sqlite_database, {})
    for channel in ("sms", "email", "call", "visit", "letter"):
        with pytest.raises(DataError, match="was erased"):
            ask(door, Wanted("L-1", channel), LONG_AFTER, anyway=True)  # type: ignore[arg-type]
    told = Placed("h-1", f"erased-{person}", "dispute", "care", TODAY, LONG_AFTER)
    with pytest.raises(DataError, match="no person"):
        post(sqlite_database, "core", "k-1", told, now=LONG_AFTER)


STAYS = {
    # Words of ours, and ids.
    "batch": "kind queue status digest", "batch_item": "contact_id digest post", "contact_loan": "contact_id",
    "contact": "id role channel direction purpose rule name queue slot period_json status outcome provider provider_ref rank",
    "contact_status": "contact_id status detail_json", "consent": "kind scope channels purposes detail_json",
    "decision": "strategy strategy_digest arm stage_before stage_after outcome rule reasons facts_json trace_json",
    "deed": "kind subject detail_json", "duty": "rule subject what status", "endpoint": "kind", "erased_ref": "digest",
    "event": "source kind", "hold": "kind blocks form", "loan": "product currency basis custody stage",
    "notice": "kind contact_id", "override": "contact_id rule ground", "party": "role", "person": "language country",
    "promise": "status contact_id", "stage_change": "source target cause",
    "visit": "contact_id",
    # The lender's own names for things, which are to name nobody.
    "feed": "kind file digest status", "LOAN": "ref", "movement": "kind source ref", "PROMISE": "ref",
    # Who works for the lender.
    "BATCH": "made_by", "CONSENT": "given_to", "CONTACT": "by claimed_by kept_for", "deed_note": "by",
    "DUTY": "owner closed_by", "HOLD": "owner", "OVERRIDE": "agent approved_by", "VISIT": "team planned_by",
    # About nobody, or what an erasure waits for.
    "arrival": "source key kind detail_json private_json state why", "job": "name state why by", "job_act": "job act by because",
    "log_checkpoint": "note", "log_erased": "kind key field commitment", "log_handover": "witness", "log_leaf": "kind key hash",
    "log_node": "hash", "log_queue": "kind key", "published": "digest kind name content",
    "run": "kind strategies_json gate_digest engine_version status counts_json", "setting": "name value",
    "snapshot": "digest content",
}  # fmt: skip
"""Columns of text that an erasure leaves; a table's second line is written in capitals."""


def test_every_column_of_text_has_its_place() -> None:
    """It is erased, or stays for a reason that is written here: a new one fails this until somebody has thought of it."""
    gone = {f"{table.__tablename__}.{column}" for table, column, _ in traces._TEXTS}
    row = SimpleNamespace(id=1)
    gone |= {f"{table.__tablename__}.{column}" for table, after, _ in traces._PLAIN for column in after(row)}
    whole = [SQLModel.metadata.tables[str(table.__tablename__)] for table, _ in traces._WHOLE]
    gone |= {str(column) for table in whole for column in table.columns}
    gone |= {f"person.{column}" for column in traces._nobody(1, LONG_AFTER)}
    gone |= {f"endpoint.{column}" for column in traces._nowhere(row, LONG_AFTER)}  # type: ignore[arg-type]
    gone.add("endpoint.value_hash")  # it follows the value
    stays = {f"{table.lower()}.{column}" for table, columns in STAYS.items() for column in columns.split()}
    texts = {
        str(column)
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, String | AutoString | LargeBinary | Sealed)
    }
    assert texts - gone == stays
    assert gone & stays == set()


def test_once_is_enough(sqlite_database: Database) -> None:
    """The same again says when it was, and changes nothing; a ref that nobody had is not told apart from a mistake."""
    remembered(sqlite_database)
    erased(sqlite_database)
    with pytest.raises(DataError, match="was erased on 2026-03-02"):
        erased(sqlite_database)
    with pytest.raises(DataError, match="no person `C-9`"):
        plan_erasure(sqlite_database, "C-9", LENDER, now=LONG_AFTER, today=TODAY)
    with pytest.raises(DataError, match="no person `erased-1`"):
        plan_erasure(sqlite_database, "erased-1", LENDER, now=LONG_AFTER, today=TODAY)
