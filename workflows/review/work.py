"""What the parts of a review are made from; whatever is counted has its list."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from compliance.pack import Pack, Rule
from workflows.review.law import Laws
from workflows.review.lists import Lists
from workflows.review.report import Number

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN: Final = 'position, entry, contact, loan, person, channel, purpose, outcome, asked_by, "at", local'
_MARKED: Final = 'position, entry, contact, loan, person, channel, rule, "at", local, what, beside'


@dataclass(slots=True)
class Work:
    """What sections are made from: the work file, the packs of the month, and where lists go."""

    con: "DuckDBPyConnection"
    laws: Laws
    lists: Lists
    named: dict[str, tuple[Pack, Rule]] = field(default_factory=dict)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.con.execute(query).fetchall()

    def contacts(self, name: str, title: str, where: str) -> Number:
        """A number of contacts."""
        return self.lists.number(name, title, f"select {SHOWN} from listed_contact where {where}")

    def marks(self, name: str, title: str, where: str, *, bad: bool = False) -> Number:
        """A number of contacts about which there is something to say."""
        query = f"select {_MARKED} from listed_mark where {where}"
        return self.lists.number(name, title, query, count="count(distinct contact)", bad=bad)

    def citation(self, rule: str) -> str:
        """Where the law says so."""
        found = self.named.get(rule)
        return found[1].citation if found is not None else ""

    def pack(self, rule: str) -> str:
        """Which pack a rule is of; `gate` for the gate's own."""
        found = self.named.get(rule)
        return found[0].id if found is not None else rule.partition(".")[0]


def quoted(value: str) -> str:
    """A text as SQL writes it between quotes."""
    return value.replace("'", "''")
