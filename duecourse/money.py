"""Amounts as people read them, from minor units and without floats."""

from decimal import Decimal

from iso4217 import Currency

from engine.errors import DataError, Problem


def digits(currency: str) -> int:
    """How many decimals a currency has, by ISO 4217."""
    return Currency(currency).exponent or 0


def amount(minor: int, currency: str) -> str:
    """1234567 minor units of CNY as `CNY 12,345.67`."""
    places = digits(currency)
    return f"{currency} {Decimal(minor).scaleb(-places):,.{places}f}"


def minor(value: Decimal, currency: str) -> int:
    """
    An amount in major units as minor units.

    Raises:
        DataError: more decimals than the currency has.
    """
    scaled = value.scaleb(digits(currency))
    if scaled != scaled.to_integral_value():
        what = f"{value} has more decimals than {currency} has"
        raise DataError(Problem(what, f"write at most {digits(currency)} decimals"))
    return int(scaled)
