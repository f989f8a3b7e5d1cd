"""Literals against the catalogue: the right type, within the fact's range, money in whole minor units."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from iso4217 import Currency
from sqlglot import exp

from engine.errors import Place, Problem, unknown_name
from engine.facts import Fact
from engine.tree import Value
from engine.whitelist import NEW_FACT

_EXAMPLES: Final = {"int": "7", "money": "500", "text": "'text'"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal as the tree holds it, and as its author would spell it."""

    value: Value
    text: str


def minor_exponent(currency: str) -> int | None:
    """Decimals of a currency's minor unit (2 for CNY, 0 for JPY); None when it has none or is no currency."""
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return None
    return int(exponent) if exponent is not None else None


def read_literal(node: exp.Expr, fact: Fact, currency: str | None, at: Place) -> Literal | Problem:
    """
    The value a fact is compared with.

    Args:
        currency: what money literals are written in, in major units; None where none is agreed.
        at: where the literal stands.
    Returns:
        The literal, or why it cannot be compared with this fact.
    """
    negative = isinstance(node, exp.Neg)
    inner = node.this if negative else node
    if isinstance(inner, exp.Column):
        return Problem(f"`{fact.name}` is compared with another fact, `{inner.name}`", NEW_FACT, at)
    if isinstance(inner, exp.Null):
        return Problem(f"`{fact.name}` is compared with `null`", f"write `{fact.name} is null`", at)
    if isinstance(inner, exp.Boolean):
        if fact.type == "bool":
            return Literal(bool(inner.this), str(inner.this).lower())
        return _wrong_type(fact, str(inner.this).lower(), at)
    if not isinstance(inner, exp.Literal):
        return Problem(f"`{fact.name}` is compared with no literal", f"write `{fact.name} = {_example(fact)}`", at)
    if inner.is_string:
        return _text(str(inner.this), fact, at)
    return _number(("-" if negative else "") + str(inner.this), fact, currency, at)


def _example(fact: Fact) -> str:
    return f"'{fact.values[0]}'" if fact.values else _EXAMPLES.get(fact.type, "true")


def _wrong_type(fact: Fact, literal: str, at: Place) -> Problem:
    kind = {"int": "a whole number", "money": "an amount", "bool": "yes or no", "text": "a text"}[fact.type]
    mend = f"write `{fact.name}` or `not {fact.name}`" if fact.type == "bool" else f"write it as in `{_example(fact)}`"
    return Problem(f"`{fact.name}` is {kind} and cannot be compared with `{literal}`", mend, at)


def _text(text: str, fact: Fact, at: Place) -> Literal | Problem:
    spelled = "'" + text.replace("'", "''") + "'"
    if fact.type != "text":
        return _wrong_type(fact, spelled, at)
    if fact.values and text not in fact.values:
        listed = ", ".join(f"`{value}`" for value in fact.values)
        return unknown_name(f"value of {fact.name}", text, fact.values, at=at, otherwise=f"use one of {listed}")
    return Literal(text, spelled)


def _number(digits: str, fact: Fact, currency: str | None, at: Place) -> Literal | Problem:
    if fact.type not in {"int", "money"}:
        return _wrong_type(fact, digits, at)
    number = Decimal(digits)
    if fact.type == "int":
        if number != number.to_integral_value():
            return Problem(f"`{fact.name}` is a whole number of {fact.unit}, not `{digits}`", "round it", at)
        value = int(number)
        return _out_of_range(fact, value, digits, 0, at) or Literal(value, str(value))
    if currency is None:
        mend = "give the strategy a `currency:`; outside a strategy, compare days or counts"
        return Problem(f"`{fact.name}` is money, and no currency is agreed here", mend, at)
    exponent = minor_exponent(currency)
    if exponent is None:
        return Problem(f"`{currency}` has no minor unit", "use a currency of ISO 4217, such as `CNY`", at)
    minor = number.scaleb(exponent)
    if minor != minor.to_integral_value():
        allowed = f"{exponent} decimals" if exponent else "no decimals"
        return Problem(f"`{digits}` has more decimals than {currency}", f"write it with {allowed}", at)
    return _out_of_range(fact, int(minor), digits, exponent, at) or Literal(int(minor), digits)


def _out_of_range(fact: Fact, value: int, digits: str, exponent: int, at: Place) -> Problem | None:
    low, high = fact.low, fact.high
    if (low is None or low <= value) and (high is None or value <= high):
        return None
    bounds = " to ".join(str(Decimal(bound).scaleb(-exponent)) if bound is not None else "any" for bound in (low, high))
    return Problem(
        f"`{fact.name}` is never `{digits}`: it runs from {bounds}", "compare it with a value it can have", at
    )
