"""The facts of a scenario, read as a condition's literals are: money in major units, texts from the allowed few."""

from decimal import Decimal

from engine.errors import Problem, unknown_name
from engine.facts import Catalogue, Fact
from engine.literals import minor_exponent
from engine.source import Node, Table, Text
from engine.tree import FactValue


def read_facts(node: Node | None, catalogue: Catalogue, currency: str, problems: list[Problem]) -> dict[str, FactValue]:
    """
    Read `facts: {dpd: 3, overdue_amount: 120.50}`; every problem goes to `problems`.

    Returns:
        the facts by name, money in minor units of `currency`; None where the file says `null`: unknown.
    """
    if node is None:
        return {}
    if not isinstance(node, Table):
        problems.append(Problem("`facts` is not a table", "write `facts: {dpd: 3}`", node.at))
        return {}
    facts: dict[str, FactValue] = {}
    for name, value in node.items.items():
        fact = catalogue.facts.get(name)
        if fact is None:
            mend = "declare it in rules/facts.yaml"
            problems.append(unknown_name("fact", name, catalogue.facts, at=node.key_at[name], otherwise=mend))
        else:
            facts[name] = _value(fact, value, currency, problems)
    return facts


def _value(fact: Fact, node: Node, currency: str, problems: list[Problem]) -> FactValue:
    def refuse(what: str, mend: str) -> None:
        problems.append(Problem(f"fact `{fact.name}` {what}", mend, node.at))

    value = node.value if isinstance(node, Text) else node
    if value is None:
        return None
    if fact.type == "bool":
        if isinstance(value, bool):
            return value
        refuse("is neither true nor false", f"write `{fact.name}: true`")
    elif fact.type == "text":
        if isinstance(value, str) and (not fact.values or value in fact.values):
            return value
        if isinstance(value, str):
            otherwise = f"use one of {', '.join(fact.values)}"
            problems.append(
                unknown_name(f"value of `{fact.name}`", value, fact.values, at=node.at, otherwise=otherwise)
            )
        else:
            refuse("is not a text", f"write `{fact.name}: word`")
    else:
        number = _number(value, (minor_exponent(currency) or 0) if fact.type == "money" else 0)
        if number is None:
            refuse(*_numeric(fact, currency))
        elif (fact.low is not None and number < fact.low) or (fact.high is not None and number > fact.high):
            refuse("is out of its range", f"write a number from {fact.low} to {fact.high}")
        else:
            return number
    return None


def _number(value: object, digits: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    scaled = Decimal(value).scaleb(digits)
    return int(scaled) if scaled == scaled.to_integral_value() else None


def _numeric(fact: Fact, currency: str) -> tuple[str, str]:
    if fact.type == "money":
        return (
            f"is no amount of {currency}",
            f"write `{fact.name}: 120` in major units, with no more digits than the currency has",
        )
    return "is not a whole number", f"write `{fact.name}: 3`"
