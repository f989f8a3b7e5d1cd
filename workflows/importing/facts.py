"""Facts that a lender's own systems supply: read by the type and within the range that the catalogue gives them."""

from workflows.importing import rejects
from workflows.importing.delivery import Delivery
from workflows.importing.shapes import amount, flag, problem, whole_number

_DIGITS_MAX = 15


def check_facts(delivery: Delivery) -> None:
    """Reject what is no imported fact or no value of it; `fact_number` has what the others mean."""
    import pyarrow as pa

    con = delivery.con
    facts = list(delivery.catalogue.facts.values())
    con.register(
        "catalogue",
        pa.table(
            {
                "name": pa.array([fact.name for fact in facts], pa.string()),
                "type": pa.array([fact.type for fact in facts], pa.string()),
                "imported": pa.array([fact.supplier == "imported" for fact in facts], pa.bool_()),
                "low": pa.array([fact.low for fact in facts], pa.int64()),
                "high": pa.array([fact.high for fact in facts], pa.int64()),
                "words": pa.array([list(fact.values) for fact in facts], pa.list_(pa.string())),
            }
        ),
    )
    mend = "`duecourse rules facts` lists those that can be imported"
    rows = "select row from good where name not in (select name from catalogue)"
    rejects.drop(con, "good", rows, "name", "no fact of that name", mend)
    rows = "select row from good where name in (select name from catalogue where not imported)"
    rejects.drop(con, "good", rows, "name", "a fact that is computed, not imported", mend)
    number, wrong = _read()
    delivery.make(
        "fact_number",
        f"select good.row, {number} as number, case when catalogue.type = 'text' then good.value end as text, "
        f"{wrong} as problem from good join catalogue using (name) "
        "join loan_ref on loan_ref.id = good.loan left join money_digits as money on money.code = loan_ref.currency",
    )
    con.execute(
        "insert into reject select row, 'value', split_part(problem, '\t', 1), split_part(problem, '\t', 2) "
        "from fact_number where problem is not null"
    )
    con.execute("delete from good where row in (select row from fact_number where problem is not null)")


def _read() -> tuple[str, str]:
    """The value as a number (a flag is 0 or 1), and what is wrong with it."""
    whole, no_whole = whole_number("good.value", _DIGITS_MAX, signed=True)
    money, no_money = amount("good.value", "money.factor", positive=False)
    yes, no_flag = flag("good.value")
    outside = problem("outside the range of this fact", "correct it; `duecourse rules facts` has the range")
    stranger = problem("not one of the words of this fact", "`duecourse rules facts` lists them")
    number = (
        f"case catalogue.type when 'int' then {whole} when 'money' then {money} when 'bool' then ({yes})::bigint end"
    )
    wrong = (
        f"case catalogue.type when 'int' then {no_whole} when 'money' then {no_money} when 'bool' then {no_flag} "
        f"else case when len(catalogue.words) > 0 and not list_contains(catalogue.words, good.value) then {stranger} end "
        f"end"
    )
    return (
        number,
        f"coalesce({wrong}, case when {number} not between catalogue.low and catalogue.high then {outside} end)",
    )
