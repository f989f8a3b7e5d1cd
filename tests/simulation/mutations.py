"""
Wrongs done to a copy of a clean database, each of which the checker must find: who checks the checker.

Each names the invariant whose check has to speak. Constraints that would refuse the wrong are taken off first.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.opener import teach

_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong, the invariant it breaks, and a word that the finding must hold."""

    name: str
    invariant: str
    says: str
    wrong: Callable[[sqlite3.Connection], int]


def mutate(database: Path, mutation: Mutation) -> int:
    """Do it; returns how many rows it changed, which must be more than none for the proof to mean anything."""
    connection = sqlite3.connect(database)
    try:
        teach(connection, database)
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {trigger}")
        for table in ("contact", "decision"):
            _unconstrained(connection, table)
        changed = mutation.wrong(connection)
        connection.commit()
        return changed
    finally:
        connection.close()


def _unconstrained(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f"create table bare as select * from {table}")
    connection.execute(f"drop table {table}")
    connection.execute(f"alter table bare rename to {table}")


def _sql(statement: str) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute(statement).rowcount


_SENT = "select id from contact where channel in ('sms', 'email') and purpose = 'collect' and status = 'sent'"
_CHINESE = "person_id in (select id from person where country = 'CN')"
# 15:00 UTC is 23:00 in China, which has one zone and no summer time.
_ELEVEN_AT_NIGHT = f"at - at % {24 * _HOUR} + {15 * _HOUR}"


def _say_before_sending(connection: sqlite3.Connection, insert: str) -> int:
    """Record something a minute before the first dunning message left."""
    contact, loan, person, at = connection.execute(
        "select c.id, c.loan_id, c.person_id, s.at from contact c join contact_status s on s.contact_id = c.id"
        f" where c.id in ({_SENT}) and s.status = 'sending' order by s.at limit 1"
    ).fetchone()
    values = {"loan": loan, "person": person, "at": at - 60_000_000, "ref": f"mutation-{contact}"}
    return connection.execute(insert, values).rowcount


def _payment(connection: sqlite3.Connection) -> int:
    return _say_before_sending(
        connection,
        "insert into movement (loan_id, kind, amount_minor, effective_on, recorded_at, source, ref)"
        " values (:loan, 'payment', 100000000000, '2026-03-01', :at, 'mutation', :ref)",
    )


def _dispute(connection: sqlite3.Connection) -> int:
    return _say_before_sending(
        connection,
        "insert into hold (person_id, loan_id, kind, blocks, form, owner, review_on, starts_at, recorded_at, reason, ref)"
        " values (:person, :loan, 'dispute', '', 'oral', 'nobody', '2026-12-31', :at, :at, '', :ref)",
    )


def _opt_out(connection: sqlite3.Connection) -> int:
    return _say_before_sending(
        connection,
        "insert into consent (person_id, kind, scope, channels, purposes, given_to, how, evidence, received_at,"
        " recorded_at, detail_json, source, ref)"
        " values (:person, 'opt_out', '', '', '', 'lender', 'said so', '', :at, :at, '{}', 'mutation', :ref)",
    )


def _promise(connection: sqlite3.Connection) -> int:
    return _say_before_sending(
        connection,
        "insert into promise (loan_id, amount_minor, made_at, due_on, status, paid_minor, ref)"
        " values (:loan, 100, :at, '2026-03-09', 'open', 0, :ref)",
    )


def _dispute_before_a_move(connection: sqlite3.Connection) -> int:
    """A dispute is recorded a minute before a loan climbs."""
    return connection.execute(
        "insert into hold (person_id, loan_id, kind, blocks, form, owner, review_on, starts_at, recorded_at, reason, ref)"
        " select l.borrower_id, l.id, 'dispute', '', 'oral', 'nobody', '2026-12-31', c.at - 60000000, c.at - 60000000, '',"
        " 'mutation' from stage_change c join loan l on l.id = c.loan_id"
        " where c.cause like 'move:%' and c.target in ('reminded', 'phone') and c.source = 'current' limit 1"
    ).rowcount


def _second_message(connection: sqlite3.Connection) -> int:
    """The same person gets the same text again half an hour later, under a slot of its own."""
    source = f"select * from contact where id in ({_SENT}) order by id limit 1"
    connection.execute(f"create table again as {source}")
    connection.execute(f"update again set id = id || '-again', slot = slot || '-again', at = at + {_HOUR // 2}")
    for table, key in (("contact_status", "contact_id"), ("contact_loan", "contact_id")):
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})") if row[1] not in ("id", key)]
        names = ", ".join(columns)
        connection.execute(
            f"insert into {table} ({key}, {names}) select {key} || '-again', {names} from {table}"
            f" where {key} || '-again' in (select id from again)"
        )
    changed = connection.execute("insert into contact select * from again").rowcount
    connection.execute("drop table again")
    return changed


MUTATIONS = (
    Mutation(
        "a message in China at eleven at night", "1", "22:00",
        _sql(f"update contact set at = {_ELEVEN_AT_NIGHT} where {_CHINESE} and id in ({_SENT})"),
    ),
    Mutation(
        "a planned contact at eleven at night", "1", "22:00",
        _sql(f"update contact set at = {_ELEVEN_AT_NIGHT}, status = 'planned' where {_CHINESE} and id in ({_SENT})"),
    ),
    Mutation("a second message on the same day", "2", "one message", _second_message),
    Mutation("the same words again within the hour", "2", "four quiet hours", _second_message),
    Mutation("the same rule twice on one day", "3", "twice on", _second_message),
    Mutation(
        "a slot used twice", "3", "is used by",
        _sql("update contact set slot = (select slot from contact order by id limit 1)"
             " where id = (select id from contact order by id desc limit 1)"),
    ),
    Mutation(
        "a decision that is gone", "3", "logged no decision",
        _sql("delete from decision where (run_id, loan_id) in (select run_id, loan_id from contact)"),
    ),
    Mutation(
        "a decision that names another rule", "3", "does not name rule",
        _sql("update contact set rule = 'nobody-wrote-this' where id in (select id from contact limit 5)"),
    ),
    Mutation(
        "a message sent without its log entry", "3", "never logged",
        _sql("delete from contact_status where status = 'sending'"),
    ),
    Mutation(
        "a message in doubt sent again", "3", "from unknown to sending",
        _sql("insert into contact_status (contact_id, status, at, why, detail_json)"
             " select contact_id, x.word, at, '', '{}' from (select * from contact_status where status = 'sending' limit 1)"
             " cross join (select 'unknown' as word union all select 'sending') x order by x.word desc"),
    ),
    Mutation("a payment recorded before the message left", "4", "was overdue", _payment),
    Mutation("a dispute recorded before the message left", "4", "a dispute hold stood", _dispute),
    Mutation("an opt-out received before the message left", "4", "had said opt_out", _opt_out),
    Mutation("a promise made before the message left", "4", "a promise of", _promise),
    Mutation(
        "a message called off for a refusal that nobody had said", "4", "although no refusal stood",
        _sql("update contact_status set status = 'cancelled', why = 'refused: house.default.refusals' where id in"
             f" (select max(id) from contact_status where contact_id in ({_SENT}) group by contact_id)"),
    ),
    Mutation(
        "a recorded call that nobody agreed to", "2", "without consent to such calls",
        _sql("update contact set channel = 'call', queue = null where rule is not null and channel = 'sms'"
             " and status in ('sent', 'delivered')"),
    ),
    Mutation(
        "an overdue loan that a sweep passed over", "5", "nothing was logged",
        _sql("delete from decision where outcome = 'nothing'"),
    ),
    Mutation(
        "a decision on invented arrears", "5", "the ledger says",
        _sql("update decision set facts_json = json_set(facts_json, '$.dpd', 999) where outcome = 'contact'"),
    ),
    Mutation(
        "a decision without an answer", "5", "with neither contact",
        _sql("update decision set outcome = 'wait', next_look_at = null where outcome = 'contact'"),
    ),
    Mutation(
        "a loan that skipped a change", "stages", "its history",
        _sql("update loan set stage = 'legal' where stage = 'reminded'"),
    ),
    Mutation(
        "a move to court without a notice", "stages", "without a prelegal_notice",
        _sql("update stage_change set target = 'legal', cause = 'move:to-legal' where target = 'phone'"
             " and source = 'reminded'"),
    ),
    Mutation("a loan that climbs while its debt is disputed", "stages", "a dispute hold stood", _dispute_before_a_move),
    Mutation(
        "a position that left the ledger", "ledger", "position says",
        _sql("update position set credit_minor = credit_minor + 1"),
    ),
    Mutation("a duty without an owner", "10", "has no owner", _sql("update duty set owner = ' '")),
    Mutation("a hold that nobody looks at again", "10", "nobody owes its review", _sql("delete from duty")),
    Mutation(
        "a duty that presses in silence", "10", "nobody was told",
        _sql("update duty set due_on = '2026-03-20', escalate_on = '2026-03-03', escalated_at = null"),
    ),
    Mutation(
        "a duty that lapsed in silence", "10", "is open on",
        _sql("update duty set due_on = '2026-03-03', escalate_on = '2026-03-02', escalated_at = recorded_at"),
    ),
    Mutation(
        "a duty told of only after its day", "10", "was first told of on",
        _sql("update duty set due_on = '2026-03-02', escalate_on = '2026-03-01', status = 'lapsed', lapsed_at = recorded_at,"
             f" escalated_at = recorded_at, recorded_at = recorded_at - {48 * _HOUR}"),
    ),
    Mutation("a duty that escalates on its last day", "10", "escalates on", _sql("update duty set escalate_on = due_on")),
    Mutation("a duty done by nobody", "10", "nothing says why", _sql("update duty set status = 'done'")),
    Mutation(
        "a revocation that nobody processes", "10", "is to be processed by",
        _sql("insert into consent (person_id, kind, scope, channels, purposes, given_to, how, evidence, received_at,"
             " recorded_at, detail_json, source, ref) select p.id, 'opt_out', '', 'sms', '', 'lender', '', '', latest, latest,"
             " '{}', '', 'mutated' from person p, (select max(now_at) as latest from run where kind = 'sweep') where p.country = 'US' limit 1"),
    ),
    Mutation(
        "a limitation that nobody watches", "10", "nobody owes its limitation",
        _sql("update loan set limitation_on = '2026-06-01' where stage = 'phone'"),
    ),
    Mutation(
        "a number in the decision log", "9", "holds the mobile",
        _sql("update decision set reasons = (select opened('endpoint.value', value) from endpoint where kind = 'mobile' limit 1)"
             " where rowid = (select min(rowid) from decision)"),
    ),
    Mutation(
        "a name that is not sealed", "9", "table person, column region: holds the name",
        _sql("update person set region = opened('person.name', name) where id = (select min(id) from person)"),
    ),
    Mutation(
        "a name in an event", "9", "holds the name",
        _sql("update contact set why = 'told ' || (select opened('person.name', name) from person limit 1)"
             " where rowid = (select min(rowid) from contact)"),
    ),
)  # fmt: skip
