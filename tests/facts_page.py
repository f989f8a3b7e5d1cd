"""The page of facts, written from the catalogue: `python -m tests.facts_page` writes docs/facts.md."""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.catalogue import load_catalogue
from engine.facts import Catalogue, Fact
from tests.pages import ROOT

PAGE: Final = ROOT / "docs" / "facts.md"
_OWN: Final = "rules/facts.yaml"
_HEAD: Final = """\
# Facts

<!-- Written from the catalogue by `python -m tests.facts_page`; edit engine/catalogue.yaml or rules/facts.yaml instead. -->

Everything a condition can name. `duecourse rules facts` lists the same with the facts of your own workspace.

- **Type and range**: `int` with its unit, `money` in major units of the strategy's currency, `bool` yes or no, `text` with its allowed values.
- **Never**: the value that stands for "has not happened" or "is not coming".
- **Absent**: what it means when the fact is missing. A condition that depends on a missing fact does not match.
- **Supplier**: who works it out. `imported` facts arrive with a [facts file](data-contract.md); all others are computed.
"""
_SUPPLIERS: Final = {
    "ledger": "Arrears, from the ledger",
    "loan": "The loan",
    "stage": "Its treatment",
    "arms": "The trial it is part of",
    "feeds": "How fresh our knowledge is",
    "person": "The borrower",
    "holds": "Holds and special care",
    "promises": "Promises",
    "contacts": "Contacts",
    "notices": "Notices",
    "imported": "Imported",
}


def catalogue() -> Catalogue:
    """The built-in facts, and those that the shipped strategies add."""
    return load_catalogue(((ROOT / _OWN).read_text(encoding="utf-8"), _OWN))


def page(known: Catalogue) -> str:
    """The whole page."""
    return _HEAD + "".join(_sections(known))


def _sections(known: Catalogue) -> Iterator[str]:
    facts = list(known.facts.values())
    for supplier, title in _SUPPLIERS.items():
        yield _table(title, (f for f in facts if f.supplier == supplier and f.at.file != _OWN))
    yield _table("Added in rules/facts.yaml, as shipped", (fact for fact in facts if fact.at.file == _OWN))


def _table(title: str, facts: Iterable[Fact]) -> str:
    rows = "".join(
        f"| `{f.name}` | {_kind(f)} | {_never(f)} | {f.absent} | {f.meaning_en} {f.meaning_zh} |\n" for f in facts
    )
    return (
        f"\n## {title}\n\n| fact | type and range | never | absent | meaning |\n| --- | --- | --- | --- | --- |\n{rows}"
    )


def _kind(fact: Fact) -> str:
    if fact.type == "text":
        return ", ".join(f"`{value}`" for value in fact.values) or "text"
    if fact.low is None or fact.high is None:
        return fact.type
    if fact.type == "money":
        # Nobody's loan comes near the upper end, whose digits differ from currency to currency.
        return "money" if fact.low < 0 else "money, 0 or more"
    return f"int, {fact.unit}, {fact.low} to {fact.high}"


def _never(fact: Fact) -> str:
    return "" if fact.never is None else str(fact.never)


if __name__ == "__main__":
    PAGE.write_text(page(catalogue()), encoding="utf-8")
