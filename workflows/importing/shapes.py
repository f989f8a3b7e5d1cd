"""What a value must look like and what it then means, by its column's type, as SQL over one row of `raw`."""

from typing import Final

from workflows.importing.contract import Column

TEXT_MAX: Final = 2000
AMOUNT_MAX_MINOR: Final = 10**13
"""More than any fact about money can say (`engine/catalogue.yaml`)."""

ERASED: Final = ("belongs to somebody who was erased", "leave the row out; whoever comes anew has a new ref")
"""A person's ref that is not taken again, and its mend."""

_DAY: Final = "between date '1900-01-01' and date '2199-12-31'"
_MINUTE: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_STRETCH: Final = f"{_MINUTE}-({_MINUTE}|24:00)"
_INSTANT: Final = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_REF: Final = "[^[:cntrl:][:space:]]([^[:cntrl:]]{0,98}[^[:cntrl:][:space:]])?"


def read_value(column: Column) -> tuple[str, str]:
    """
    Two expressions: the typed value, and what is wrong as `reason<tab>mend` (null when nothing is).

    They name `raw`, `delivery`, and the joins of `workflows.importing.check`. Instants are microseconds since 1970 UTC,
    money is minor units, a person and a loan are ids.
    """
    raw = f'raw."{column.name}"'
    given = raw if column.default is None else f"coalesce({raw}, {literal(column.default)})"
    value, wrong = _typed(column, given)
    if column.past:
        wrong = f"coalesce({wrong}, {_problem_if(_to_come(column, value), 'is still to come', 'correct it')})"
    if column.name == "recorded_at":
        value = f"coalesce({value}, delivery.as_of_us)"
    empty = problem("is empty", f"write it: {column.meaning}") if column.required else "null"
    return value, f"case when {given} is null then {empty} else {wrong} end"


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def problem(reason: str, mend: str) -> str:
    """A reason and its mend as one SQL text."""
    return literal(f"{reason}\t{mend}")


def amount(raw: str, factor: str, *, positive: bool) -> tuple[str, str]:
    """An amount in major units as minor units, and what is wrong with it."""
    number = f"try_cast({raw} as decimal(30, 6))"
    minor = f"({number} * {factor})"
    least, enough = ("above 0", f"{number} > 0") if positive else ("of 0 or more", f"{number} >= 0")
    wrong = (
        f"case when not {_matches(raw, '-?[0-9]{1,15}([.][0-9]{1,6})?')} "
        f"then {problem('not an amount', 'write it like 1234.50, without signs between thousands')} "
        f"when not {enough} then {problem(f'not an amount {least}', f'write an amount {least}')} "
        f"when {minor} % 1 <> 0 then {problem('more decimals than the currency has', 'round it to whole minor units')} "
        f"when {minor} > {AMOUNT_MAX_MINOR} then {problem('too much to be true', 'correct it')} end"
    )
    return f"try_cast({minor} as bigint)", wrong


def whole_number(raw: str, digits: int, *, signed: bool = False) -> tuple[str, str]:
    """A whole number, and what is wrong with it."""
    sign = "-?" if signed else ""
    fits = _matches(raw, f"{sign}[0-9]{{1,{digits}}}")
    return f"try_cast({raw} as bigint)", _unless(fits, "not a whole number", f"write digits only, at most {digits}")


def flag(raw: str) -> tuple[str, str]:
    """True or false, and what is wrong with it."""
    return f"{raw} = 'true'", _unless(f"{raw} in ('true', 'false')", "neither true nor false", "write true or false")


def _typed(column: Column, raw: str) -> tuple[str, str]:
    match column.type:
        case "int":
            return whole_number(raw, 9)
        case "amount" | "money":
            return amount(raw, "money.factor", positive=column.type == "amount")
        case "bool":
            return flag(raw)
        case "date":
            value = f"try_cast({raw} as date)"
            fits = f"{_matches(raw, '[0-9]{4}-[0-9]{2}-[0-9]{2}')} and {value} {_DAY}"
            return value, _unless(fits, "not a date", "write it like 2026-03-31")
        case "instant":
            value = f"epoch_us(try_cast({raw} as timestamptz))"
            fits = f"{_matches(raw, _INSTANT)} and make_timestamp({value})::date {_DAY}"
            return value, _unless(fits, "not an instant with its offset", "write it like 2026-03-31T09:00:00+08:00")
        case "person" | "loan":
            file = "people" if column.type == "person" else "loans"
            known = f"{column.name}_ref.id"
            mend = f"correct it, or import `{file}` first"
            unknown = _unless(f"{known} is not null", f"no {column.type} of that ref is known", mend)
            if column.type == "person":
                unknown = f"case when {raw} in (from erased_name) then {problem(*ERASED)} else {unknown} end"
            return known, unknown
        case "endpoint":
            return "spelling.value", "spelling.problem"
        case _:
            return raw, _said(column, raw)


def _said(column: Column, raw: str) -> str:
    match column.type:
        case "word":
            values = ", ".join(literal(value) for value in column.values)
            return _unless(f"{raw} in ({values})", "not a word of this column", f"write {_one_of(column.values)}")
        case "words":
            word = f"({'|'.join(column.values)})"
            mend = f"write some of {', '.join(column.values)}, separated by one space"
            return _unless(_matches(raw, f"{word}( {word})*"), "not words of this column", mend)
        case "zone":
            return _unless(f"{raw} in (from zone_name)", "not an IANA time zone", "write one like Asia/Shanghai")
        case "zones":
            mend = "write names like Asia/Shanghai, separated by one space"
            return _unless(f"{raw} in (from zones_known)", "not IANA time zones", mend)
        case "hours":
            mend = "write them like 12:00-14:00 22:00-24:00"
            return _unless(_matches(raw, f"{_STRETCH}( {_STRETCH})*"), "not hours of the day", mend)
        case "country":
            return _unless(f"{raw} in (from country_code)", "not an ISO 3166 country", "write it like CN")
        case "region":
            fits = f"{_matches(raw, '[A-Z]{2}-[A-Z0-9]{1,3}')} and raw.country = {raw}[:2]"
            return _unless(fits, "not a region of that country", "write country, hyphen and region, e.g. US-MA")
        case "currency":
            return _unless(f"{raw} in (select code from money_digits)", "not an ISO 4217 currency", "write it like CNY")
        case "ref" | "movement":
            return _unless(_matches(raw, _REF), "not a ref", "write 1 to 100 printable characters")
        case _:
            return (
                f"case when length({raw}) > {TEXT_MAX} "
                f"then {problem(f'longer than {TEXT_MAX} characters', 'shorten it')} "
                f"when regexp_matches({raw}, '[[:cntrl:]]') "
                f"then {problem('holds line breaks or other control characters', 'write it on one line')} end"
            )


def _to_come(column: Column, value: str) -> str:
    if column.type == "instant":
        return f"{value} > delivery.now_us"
    # The lender's date may be a day ahead of UTC.
    return f"{value} > make_timestamp(delivery.now_us)::date + 1"


def _one_of(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _matches(raw: str, pattern: str) -> str:
    return f"regexp_full_match({raw}, {literal(pattern)})"


def _unless(fits: str, reason: str, mend: str) -> str:
    return f"case when not coalesce({fits}, false) then {problem(reason, mend)} end"


def _problem_if(condition: str, reason: str, mend: str) -> str:
    return f"case when {condition} then {problem(reason, mend)} end"
