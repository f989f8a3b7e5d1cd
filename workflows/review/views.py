"""The work file's views: contacts as they happened, each with the entry of the log that stands for it."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TASKS: Final = "(channel in ('call', 'visit', 'letter', 'legal') and not (channel = 'call' and rule is not null and queue is null))"
"""What people do; recorded calls and messages are a machine's."""

VIEWS: Final = (
    # A task that is only in somebody's queue has not happened; a message that may have left has.
    """create table history as select contact_id,
        min(id) filter (status = 'sending') as sending, max(id) filter (status in ('sent', 'delivered', 'failed', 'unknown')) as came,
        max(id) filter (status in ('delivered', 'failed')) as done from status group by contact_id""",
    """create table begun as select status.contact_id, max(status.at) as at from status join history using (contact_id)
        where done is null or status.id < done group by status.contact_id""",
    """create view shown as select contact_id, status.position, 'contact_status:' || status.id as entry
        from history join status using (contact_id) where status.id = coalesce(sending, came)""",
    """create table made as
        with sort as (select *, """
    + _TASKS
    + """ as is_task from contact)
        select c.id, c.run_id, c.loan_id, c.person_id, c.role, c.endpoint_id, c.channel, c.direction, c.purpose, c.rule, c.planned_at,
            c.at, c.misdirected, c.by, c.status, c.is_task,
            case when c.is_task then least(c.at, coalesce(begun.at, c.at)) else c.at end as begun,
            case when c.status in ('sending', 'unknown') then c.status else coalesce(nullif(c.outcome, ''), c.status) end as came,
            c.at >= month.start_us and c.at < month.end_us as in_month,
            c.channel = 'call' and not c.is_task as recorded_call,
            e.kind as endpoint_kind, e.same_as, case when e.id is not null then coalesce(nullif(e.place, ''), 'elsewhere') end as place,
            e.marks || ' ' || e.learnt_marks as marks, l.product, l.borrower_id, l.episode_on, e.basis, e.basis_at, n.served, l.ref as loan, p.ref as person,
            coalesce(t.debts, [c.loan_id]) as debts, f.facts_json, s.position, s.entry
        from sort c cross join month
        left join begun on begun.contact_id = c.id
        left join endpoint e on e.id = c.endpoint_id
        left join loan l on l.id = c.loan_id
        left join person p on p.id = c.person_id
        left join (select contact_id, list(loan_id order by loan_id) as debts from contact_loan group by contact_id) t on t.contact_id = c.id
        left join (select loan_id, list({'id': id, 'kind': kind, 'sent_on': sent_on, 'effective_on': effective_on, 'voided_at': voided_at}
            order by effective_on, id) as served from notice group by loan_id) n on n.loan_id = c.loan_id
        left join facts f on f.contact_id = c.id
        left join shown s on s.contact_id = c.id
        where c.status in ('sending', 'delivered', 'failed', 'unknown') or (c.status = 'sent' and not c.is_task)
        or c.direction = 'in'""",
    # Whom a limit may count beside the person themselves: others about the same borrower's loans, and at the same number.
    """create table beside as
        with mine as (select distinct person_id, borrower_id from made where in_month and direction = 'out'),
        numbers as (select distinct person_id, same_as from made where in_month and direction = 'out' and same_as is not null)
        select mine.person_id as to_person, made.* from mine join made using (borrower_id) where made.person_id <> mine.person_id
        union select numbers.person_id, made.* from numbers join made using (same_as) where made.person_id <> numbers.person_id""",
    # What the borrower disputes of a loan is disputed for everybody who stands for it.
    """create view held as
        select hold.*, person_id as to_person from hold
        union select hold.*, made.person_id from hold join made on made.loan_id = hold.loan_id
            where made.person_id <> hold.person_id and made.borrower_id = hold.person_id""",
    """create view override as select set_aside.* from set_aside cross join month where "at" >= start_us and "at" < end_us""",
    "create macro moment(us) as strftime(make_timestamp(us), '%Y-%m-%d %H:%M:%SZ')",
)

AFTER: Final = (
    # A contact as every list shows it.
    """create table listed_contact as select m.position, m.entry, m.id as contact, m.loan, m.person, m.channel, m.purpose, m.came as outcome,
        m.rule as asked_by, moment(m.at) as "at", coalesce(hour.local, '') as local, m.direction, m.is_task, m.person_id, m.loan_id, m.in_month
        from made m left join hour on hour.contact = m.id""",
    # A word about one contact and one rule, with what stands beside it.
    """create table listed_mark as select c.position, c.entry, c.contact, c.loan, c.person, c.channel, mark.rule, c."at", c.local, mark.what,
        array_to_string(mark.beside, ' ') as beside, mark.kind from mark join listed_contact c using (contact)""",
    """create table listed_verdict as select d.position, 'decision:' || d.run_id || '-' || d.loan_id as entry, l.ref as loan, p.ref as person,
        v.rule, v.outcome, moment(d.now_at) as "at", d.outcome as decided from verdict v
        join decision d using (run_id, loan_id) join loan l on l.id = v.loan_id join person p on p.id = v.borrower_id""",
    # Second looks that held back what had been decided: whether put off or called off.
    """create table listed_stopped as
        with said as (select s.*, unnest(json_extract(verdict_json, '$.reasons[*]')) as reason from status s
            where verdict_json <> '' and status in ('cancelled', 'planned', 'sent', 'unknown') and "at" >= (select start_us from month) and "at" < (select end_us from month))
        select said.position, 'contact_status:' || said.id as entry, c.id as contact, l.ref as loan, p.ref as person, c.channel,
            reason->>'$.rule' as rule, moment(said."at") as "at", case when said.status in ('cancelled', 'unknown') then 'called off' else 'put off' end as what
        from said join contact c on c.id = said.contact_id join loan l on l.id = c.loan_id join person p on p.id = c.person_id""",
    """create table peak as select rule, unit, unit_id, max(used) as used, max(most) as most, arg_max(contact, used) as contact
        from (from use order by rule, unit, unit_id, used, contact) group by rule, unit, unit_id""",
    """create table refusal as
        with hit as (select unnest(beside) as what, kind, contact from mark where kind in ('refusal', 'late'))
        select s.*, p.ref as person,
            (select count(distinct contact) from hit where what = 'consent:' || s.id and kind = 'refusal') as after,
            (select count(distinct contact) from hit where what = 'consent:' || s.id and kind = 'late') as between
        from consent s join person p on p.id = s.person_id
        where s.kind in ('opt_out', 'no_medium', 'no_endpoint', 'no_contact') and s.recorded_at >= (select start_us from month) and s.recorded_at < (select end_us from month)""",
)


def make_views(con: "DuckDBPyConnection") -> None:
    """Contacts as they happened, over what was gathered."""
    for statement in VIEWS:
        con.execute(statement)


def make_lists(con: "DuckDBPyConnection") -> None:
    """The views that lists are made from, once everything is measured."""
    for statement in AFTER:
        con.execute(statement)
