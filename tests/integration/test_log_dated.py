"""Whoever writes evidence today and dates it before what was signed yesterday is found out: the signature does not hold it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from store.bulk_arrow import bound, table_of
from store.consents import NewStatement, add_statement
from store.db import Database
from tests.by_hand import call
from tests.logs import NOW as SIGNED_AT
from tests.logs import SignedLog
from tests.outgoing import SmallGate, book, door_of, set_setting
from tests.replaying import as_kept
from workflows.desk.by_hand import record
from workflows.desk.sayings import Learnt, read_saying
from workflows.log.checkpoint import set_clock_aside
from workflows.log.dated import LATE_MAX

LAST_YEAR = datetime(2025, 6, 1, 8, tzinfo=UTC)
BACKDATED = {
    "consent": (
        "insert into consent (person_id, kind, scope, channels, purposes, given_to, how, evidence, received_at, recorded_at, "
        "detail_json, source, ref) select min(id), 'consent', '', 'sms', '', 'lender', :how, '', :at, :at, '{}', :source, 'w-1' from person"
    ),
    "run": (
        "insert into run (kind, now_at, known_at, strategies_json, gate_digest, engine_version, started_at, status, done_to, counts_json) "
        "values ('sweep', :at, :at, '{}', 'ab', '1', :at, 'done', 0, '{}')"
    ),
    "stage_change": (
        "insert into stage_change (loan_id, entry, source, target, on_on, at, cause, reason) "
        "values ((select min(id) from loan), 9, 'current', 'reminded', '2025-06-01', :at, 'agent:mei', '')"
    ),
    "contact_status": (
        "insert into contact_status (contact_id, status, at, why, detail_json) select min(id), 'sending', :at, '', '{}' from contact"
    ),
    "override": (
        "insert into override (contact_id, rule, ground, evidence, agent, approved_by, at) "
        "select max(id), 'us.x', 'agreed', :evidence, 'mei', 'li', :at from contact"
    ),
    "deed": "insert into deed (at, kind, subject, detail_json) values (:at, 'export', 'ab', '{}')",
    "job_act": "insert into job_act (job, act, at, by, because) values ('sweep', 'pause', :at, 'mei', '')",
    "published": "insert into published (digest, kind, name, content, published_at) values ('ab', 'pack', 'x', 'y', :at)",
}  # fmt: skip
"""What somebody with write access puts in, triggers and all: the log takes it, at a place of today."""


@pytest.fixture
def log(database: Database) -> SignedLog:
    """A book with somebody in it who was contacted, in production, signed long after all that."""
    loan, _ = book(database, 2)
    record(door_of(database, {}, gate=SmallGate()), call(database, loan), "no_answer", direction="out", agent="mei", at=LAST_YEAR,
           now=LAST_YEAR, learnt=Learnt())  # fmt: skip
    set_setting(database, "environment", "production")
    log = SignedLog(database)
    log.sign()
    assert log.found() == []
    return log


@pytest.mark.parametrize("kind", BACKDATED)
def test_evidence_that_is_dated_back_is_found(log: SignedLog, kind: str) -> None:
    """Every kind that says when it was written; also before it has a position, and from then on for ever."""
    at = SIGNED_AT - LATE_MAX - timedelta(hours=1)
    _put(log.database, BACKDATED[kind], at)
    (found,) = log.found() if kind != "contact_status" else [one for one in log.found() if "contact:" not in one]
    assert found.startswith(f"written later than it says: `{kind}:")
    assert found.endswith(f"` says {at:%Y-%m-%d %H:%M}Z, and checkpoint 1 of 2026-03-02 08:01Z does not hold it")
    log.sign()
    log.sign()
    assert found in log.found()


def test_what_a_wrong_clock_signed_makes_nothing_late_once_it_is_set_aside(log: SignedLog) -> None:
    """What is written after a checkpoint of a wrong future is older than that one; what is dated back is found as before."""
    today, log.now = log.now, SIGNED_AT + timedelta(days=3 * 365)
    _put(log.database, BACKDATED["deed"], log.now)
    log.sign()
    log.now = today + timedelta(minutes=1)
    set_clock_aside(log.database, by="mei", because="its battery was empty", now=log.now)
    _put(log.database, BACKDATED["run"], log.now)
    log.sign()
    assert log.found() == []
    _put(log.database, BACKDATED["consent"], SIGNED_AT - LATE_MAX - timedelta(hours=1))
    (found,) = log.found()
    assert found.startswith("written later than it says: `consent:")


def test_a_decision_slipped_into_an_old_run_is_found(log: SignedLog) -> None:
    """It says no instant of its own that counts: it cannot be older than what was signed long after its run began."""
    names = [column.name for column in table_of("decision").columns if column.name != "loan_id"]
    other = "(select max(id) from loan)"
    _put(
        log.database,
        f"insert into decision (loan_id, {', '.join(names)}) select {other}, {', '.join(names)} from decision",
    )
    (found,) = [one for one in log.found() if "decision:" in one and "contact:" not in one]
    assert found.startswith("written later than it says: `decision:1-2` says 2025-06-01 08:00Z, and checkpoint 1 of")


def test_in_a_rehearsal_it_cannot_be_told(log: SignedLog) -> None:
    """There the clock is whatever `--at` says: whoever set it back meant no harm, and is told what it leaves open."""
    set_setting(log.database, "environment", "development")
    _put(log.database, BACKDATED["deed"], LAST_YEAR)
    verified = log.verify()
    assert verified.findings == []
    (unknown,) = verified.unknown
    assert unknown.endswith("does not hold it; in a rehearsal `--at` may have been set back")


def test_what_is_told_later_is_no_finding(log: SignedLog) -> None:
    """A call of days ago, what was said in it, what was promised: told today, and dated when it was."""
    door = door_of(log.database, {}, gate=SmallGate())
    learnt = Learnt((read_saying("opt_out sms"),), zones=("Asia/Shanghai",))
    told = {
        "direction": "out",
        "agent": "mei",
        "at": SIGNED_AT - timedelta(days=20),
        "now": SIGNED_AT + timedelta(hours=1),
    }
    record(door, call(log.database, 1), "conversation", learnt=learnt, **told)  # type: ignore[arg-type]
    log.sign()
    assert log.found() == []


def test_a_statement_that_says_it_was_made_in_a_contact_is_found_without_one_told_then(log: SignedLog) -> None:
    """To name a contact of last year as the proof is not enough: nothing was told of it lately."""
    with log.database.session() as session:
        contact = session.connection().execute(text("select min(id) from contact")).scalar_one()
    _put(log.database, BACKDATED["consent"].replace("'web', ''", f"'web', 'contact:{contact}'"), LAST_YEAR)
    assert [one for one in log.found() if "consent:" in one]


def test_a_statement_that_reached_us_long_ago_is_no_finding(log: SignedLog) -> None:
    """When it was said is what somebody says of it; when it was written down is our own clock."""
    said = NewStatement(1, "opt_out", LAST_YEAR, source="letter", ref="letter-1")
    with log.database.write() as session:
        add_statement(session, said, now=SIGNED_AT + timedelta(hours=1))
    log.sign()
    assert log.found() == []


def test_what_commits_hours_late_is_no_finding(log: SignedLog) -> None:
    """A sweep writes under the instant at which it began, and may go on all day."""
    _put(log.database, BACKDATED["run"], SIGNED_AT - LATE_MAX + timedelta(minutes=5))
    assert log.found() == []


def _put(database: Database, sql: str, at: datetime | None = None) -> None:
    # Sealed as the product would: whoever has the keys too is found by the date alone.
    words = as_kept(database, "consent", {"how": "web", "source": "web"}) | as_kept(
        database, "override", {"evidence": "F-1"}
    )
    given = {name: value for name, value in {"at": at, **words}.items() if f":{name}" in sql}
    with database.write() as session:
        session.connection().execute(bound(sql, given))
