"""What people asked of us and what was owed: opt-outs, presumptions set aside, dated duties."""

from workflows.review.report import Cell, Section, Table
from workflows.review.work import Work, quoted


def overrides(work: Work) -> Section:
    """Presumptions that people set aside."""
    found = work.rows("select rule, ground, agent, approved_by, count(*) from override group by all order by all")
    rows: list[tuple[Cell, ...]] = []
    for number, (rule, ground, agent, approved_by, _) in enumerate(found, 1):
        query = (
            'select o.position, \'override:\' || o.contact_id as entry, o.contact_id as contact, c.loan, o.rule, moment(o."at") as "at"'
            " from override o left join listed_contact c on c.contact = o.contact_id"
            f" where o.rule = '{quoted(rule)}' and o.ground = '{quoted(ground)}' and o.agent = '{quoted(agent)}' and o.approved_by = '{quoted(approved_by)}'"
        )
        count = work.lists.number(f"override-{number}", f"Set aside: {rule}, {ground}", query)
        rows.append((rule, work.citation(rule), ground, agent, approved_by, count))
    if not rows:
        return Section("overrides", "Presumptions set aside", ("None was set aside.",))
    columns = ("rule", "citation", "ground", "asked by", "approved by", "contacts")
    return Section(
        "overrides", "Presumptions set aside", (), (Table(columns, tuple(rows), wide=(2.4, 2.6, 1.8, 1.4, 1.4, 1)),)
    )


def opt_outs(work: Work) -> Section:
    """Refusals that came in, how fast they were honoured, and what was sent all the same."""
    shown = "select position, 'consent:' || id as entry, person, kind, channels, moment(received_at) as received, moment(recorded_at) as honoured_from, round((recorded_at - received_at) / 6e7, 1) as minutes, \"after\", \"between\" from refusal"  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for (kind,) in work.rows("select distinct kind from refusal order by kind"):
        of = f"{shown} where kind = '{kind}'"
        (median, slowest), *_ = work.rows(
            f"select median(recorded_at - received_at), max(recorded_at - received_at) from refusal where kind = '{kind}'"
        )
        rows.append((
            kind,
            work.lists.number(f"refusals-{kind}", f"Statements: {kind}", of),
            _length(median),
            _length(slowest),
            work.lists.number(f"refusals-{kind}-between", f"{kind}: contacts before it was in the book", f'{of} and "between" > 0', count='sum("between")'),
            work.lists.number(f"refusals-{kind}-after", f"{kind}: contacts after it was in the book", f'{of} and "after" > 0', count='sum("after")', bad=True),
        ))  # fmt: skip
    text = (
        "Refusals that came into the book in the month. From that moment the gate knows of them: the time to it is how fast they were honoured.",
        "Contacts against one that was on file, older ones included, are breaches.",
    )
    if not rows:
        return Section("opt-outs", "Opt-outs", (*text, "None came in."))
    columns = (
        "what they said",
        "statements",
        "median time",
        "slowest",
        "contacts before it was on file",
        "contacts after",
    )
    return Section("opt-outs", "Opt-outs", text, (Table(columns, tuple(rows), wide=(2, 1.2, 1.4, 1.4, 2, 1.3)),))


def duties(work: Work) -> Section:
    """Dated duties that lapsed or were escalated, and what the two-way match found."""
    rows: list[tuple[Cell, ...]] = []
    start_end = "{0} >= (select start_us from month) and {0} < (select end_us from month)"
    shown = "select 'duty:' || d.id as duty, d.rule, d.subject, l.ref as loan, d.due_on, d.owner, d.status from duty d left join loan l on l.id = d.loan_id"
    aside = "case when json_valid(s.detail_json) then coalesce(s.detail_json->>'$.rule', '') else '' end"
    for (rule,) in work.rows(f"select rule from duty union select {aside} from settled s order by 1"):
        row: list[Cell] = [rule, work.citation(rule)]
        for column, word in (("recorded_at", "new"), ("escalated_at", "escalated"), ("lapsed_at", "lapsed")):
            where = f"d.rule = '{quoted(rule)}' and {start_end.format(f'd.{column}')}"
            row.append(work.lists.number(f"duty-{word}-{rule}", f"{rule}: {word}", f"{shown} where {where}"))
        still = f"d.rule = '{quoted(rule)}' and d.status in ('open', 'lapsed')"
        row.append(work.lists.number(f"duty-open-{rule}", f"{rule}: not done yet", f"{shown} where {still}"))
        settled = (
            'select s.position, \'deed:\' || s.id as entry, s.subject as duty, d.subject, moment(s."at") as "at"'
            f" from settled s left join duty d on 'duty:' || d.id = s.subject where {aside} = '{quoted(rule)}'"
        )
        row.append(work.lists.number(f"duty-settled-{rule}", f"{rule}: settled by hand", settled))
        rows.append(tuple(row))
    text = (
        "From the book of duties. Rules that begin with `match.` are findings of the two-way match of receipts, contacts, entries and decisions.",
        "The book of duties is no part of the log: its rows have a number, and no position. That a finding was settled by hand is, as a deed: `duties list --all` says by whom and by what evidence.",
    )
    if not rows:
        return Section("duties", "Duties and match", (*text, "Nothing was new, escalated or lapsed."))
    columns = ("rule", "citation", "new", "escalated", "lapsed", "of these not done", "settled by hand")
    return Section("duties", "Duties and match", text, (Table(columns, tuple(rows), wide=(3, 2.6, 1, 1, 1, 1.2, 1.2)),))


def _length(us: float | None) -> str:
    if us is None:
        return ""
    seconds = round(us / 1_000_000)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 48 * 3_600 else f"{seconds / 86_400:.1f} days"
