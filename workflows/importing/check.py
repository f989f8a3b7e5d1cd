"""
Every row of a file checked, column-wise: what it says by itself, and whether its parts agree.

Nothing here depends on what other writers do meanwhile, so it is done before the write transaction begins.
"""

from typing import TYPE_CHECKING, Final

from store.bulk_arrow import Reader
from workflows.importing import rejects
from workflows.importing.contract import Kind
from workflows.importing.delivery import Delivery
from workflows.importing.facts import check_facts
from workflows.importing.lists import register_lists
from workflows.importing.movements import check_alone
from workflows.importing.schedules import check_schedules
from workflows.importing.shapes import ERASED, read_value

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AGREE: Final = {
    "instalments": (
        ("loan_ref.basis = 'account'", "loan", "this loan's arrears come from the account feed", "leave the row out"),
    ),
    "accounts": (
        ("loan_ref.basis = 'schedule'", "loan", "this loan's arrears come from its schedule", "leave the row out"),
        ("good.dpd > 0 and good.overdue = 0", "overdue", "is nothing, but days past due are not", "write both"),
    ),
    "consents": (
        ("good.until_at <= good.received_at", "until_at", "is not after `received_at`", "correct one of them"),
    ),
    "holds": (("good.ends_at < good.starts_at", "ends_at", "is before `starts_at`", "correct one of them"),),
    "notices": (("good.effective_on < good.sent_on", "effective_on", "is before `sent_on`", "correct one of them"),),
    "promises": (
        # The lender's date may be a day behind UTC.
        ("good.due_on < make_timestamp(good.made_at)::date - 1", "due_on", "is before `made_at`", "correct one of them"),
    ),
}  # fmt: skip
"""Kind -> what its columns cannot say together: (condition, column, reason, mend)."""


def check(delivery: Delivery, reader: Reader) -> None:
    """Leave what is good in `good`, typed under the contract's names, and the rest in `reject`."""
    con, kind = delivery.con, delivery.kind
    delivery.register()
    register_lists(delivery, reader)
    check_rows(delivery)
    _check_agreement(con, kind)
    match kind.name:
        case "people":
            rejects.drop(con, "good", "select row from good semi join erased_name using (ref)", "ref", *ERASED)
        case "movements":
            check_alone(delivery)
        case "facts":
            check_facts(delivery)
        case "instalments":
            check_schedules(delivery)


def check_rows(delivery: Delivery) -> None:
    """What rows say by themselves, where nothing in them refers to the book; of a delivery that is registered."""
    con, kind = delivery.con, delivery.kind
    rejects.begin(con)
    for ragged in delivery.file.ragged:
        reason = f"has {ragged.found} values where the header has {ragged.wanted}"
        rejects.reject(con, f"select {ragged.row} as row", "", reason, "quote values that hold a comma")
    _check_values(con, kind)
    _drop_repeated(con, kind)


def _check_values(con: "DuckDBPyConnection", kind: Kind) -> None:
    read = {column.name: read_value(column) for column in kind.columns}
    columns = ",\n".join(f'{value} as "{name}",\n{wrong} as "{name}?"' for name, (value, wrong) in read.items())
    con.execute(
        f"create or replace temp table checked as select raw.row,\n{columns}\nfrom raw cross join delivery\n{_joins(kind)}"
    )
    names = ", ".join(f'"{name}"' for name in read)
    fine = " and ".join(f'"{name}?" is null' for name in read)
    con.execute(f"create or replace temp table good as select row, {names} from checked where {fine} order by row")
    con.execute(f"delete from checked where {fine}")
    for name in read if con.sql("from checked limit 1").fetchall() else ():
        con.execute(
            f"insert into reject select row, ?, split_part(\"{name}?\", '\t', 1), split_part(\"{name}?\", '\t', 2) "
            f'from checked where "{name}?" is not null',
            [name],
        )
    con.execute("drop table checked")


def _joins(kind: Kind) -> str:
    types = {column.type for column in kind.columns}
    joins = [
        f'left join {column.type}_ref as "{column.name}_ref" on "{column.name}_ref".ref = raw."{column.name}"'
        for column in kind.columns
        if column.type in ("person", "loan")
    ]
    if types & {"amount", "money"}:
        currency = "raw.currency" if "currency" in types else "loan_ref.currency"
        joins.append(f"left join money_digits as money on money.code = {currency}")
    for column in kind.columns:
        if column.type == "endpoint":
            of_kind = "raw.kind" if kind.name == "endpoints" else "null"
            same = f'spelling.raw = raw."{column.name}" and spelling.kind is not distinct from {of_kind}'
            joins.append(f"left join spelling on {same}")
    return "\n".join(joins)


def _drop_repeated(con: "DuckDBPyConnection", kind: Kind) -> None:
    """The same row twice is the same row; of two contents under one key neither can be trusted."""
    key = ", ".join(f'"{name}"' for name in kind.key)
    # When the source came to know a movement is not what it is.
    said = [f'"{column.name}"' for column in kind.columns if column.name not in (*kind.key, "recorded_at")]
    content = f"row({', '.join(said)})" if said else "true"
    con.execute(f"create or replace temp table twice as select {key} from good group by all having count(*) > 1")
    con.execute(
        f"create or replace temp table repeated as select row, {key}, {content} as content "
        f"from good semi join twice using ({key})"
    )
    contrary = f"select {key} from repeated group by all having min(content) <> max(content)"
    what, mend = "stands in the file again with other content", "keep the right one"
    rows = f"select row from repeated semi join ({contrary}) using ({key})"
    rejects.drop(con, "good", rows, kind.key[-1], what, mend)
    con.execute(
        f"create or replace temp table copies as select row, min(row) over (partition by {key}) as first from repeated "
        "semi join good using (row) qualify row <> first"
    )
    con.execute("delete from good where row in (select row from copies)")


def _check_agreement(con: "DuckDBPyConnection", kind: Kind) -> None:
    has_loan = any(column.type == "loan" for column in kind.columns)
    of_loan = "left join loan_ref on loan_ref.id = good.loan" if has_loan else ""
    for condition, column, reason, mend in _AGREE.get(kind.name, ()):
        rows = f"select good.row from good {of_loan} where {condition}"
        rejects.drop(con, "good", rows, column, reason, mend)
