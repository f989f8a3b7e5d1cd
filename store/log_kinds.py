"""
Which rows are the log: the evidence is the row itself, written once; nothing is stored twice.

A kind says how a table's rows become entries. Entries of years ago must still be checked as they were made: a kind
never changes. A table that gains a column gets a kind with another name (`decision.2`), and the trigger that names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """
    How the rows of one table become entries.

    Attributes:
        key: the columns that identify a row; joined by a hyphen they are the entry's key.
        fields: every column that is written once and never changes.
        withheld: of these, what people wrote or what names somebody: only a commitment to it stands in the entry.
    """

    name: str
    table: str
    key: tuple[str, ...]
    fields: tuple[str, ...]
    withheld: frozenset[str] = frozenset()

    def key_sql(self, of: str) -> str:
        """The key of a row, in the SQL of DuckDB and all our databases; `of` is what the table is called there."""
        return " || '-' || ".join(f'cast("{of}"."{column}" as varchar)' for column in self.key)


def erased_text(kind: str, key: str) -> str:
    """What stands in a withheld field whose text was erased: nothing else may, and it differs from row to row."""
    return f"erased:{kind}:{key}"


def told_text(kind: str, key: object, text: str) -> str:
    """A withheld text as people read it: what was erased says so."""
    return "(no longer kept)" if text == erased_text(kind, str(key)) else text


_ALL: Final = (
    Kind(
        "decision",
        "decision",
        ("run_id", "loan_id"),
        (
            "run_id", "loan_id", "borrower_id", "now_at", "on_on", "strategy", "strategy_digest", "arm", "stage_before",
            "stage_after", "outcome", "rule", "covered_by", "next_look_at", "reasons", "facts_json", "trace_json",
        ),
    ),
    Kind(
        "run",
        "run",
        ("id",),
        ("id", "kind", "now_at", "known_at", "strategies_json", "gate_digest", "engine_version", "started_at"),
    ),
    Kind(
        "stage_change",
        "stage_change",
        ("id",),
        ("id", "loan_id", "entry", "source", "target", "on_on", "at", "cause", "run_id", "reason"),
        frozenset({"reason"}),
    ),
    Kind(
        "contact_status",
        "contact_status",
        ("id",),
        ("id", "contact_id", "status", "at", "why", "detail_json"),
        frozenset({"why"}),
    ),
    Kind(
        "override",
        "override",
        ("contact_id",),
        ("contact_id", "rule", "ground", "evidence", "agent", "approved_by", "at"),
        frozenset({"evidence", "agent", "approved_by"}),
    ),
    Kind(
        "consent",
        "consent",
        ("id",),
        (
            "id", "person_id", "endpoint_id", "kind", "scope", "channels", "purposes", "given_to", "how", "evidence",
            "received_at", "recorded_at", "until_at", "detail_json", "source", "ref",
        ),
        frozenset({"given_to", "how", "evidence", "detail_json", "source", "ref"}),
    ),
    Kind(
        "published",
        "published",
        ("digest",),
        ("digest", "kind", "name", "content", "published_at"),
        frozenset({"content"}),
    ),
    Kind("deed", "deed", ("id",), ("id", "at", "kind", "subject", "detail_json")),
    Kind(
        "job_act",
        "job_act",
        ("id",),
        ("id", "job", "act", "at", "by", "because", "until_at"),
        frozenset({"by", "because"}),
    ),
    # Its content stands in the entry by its digest.
    Kind("snapshot", "snapshot", ("id",), ("id", "run_id", "first_id", "last_id", "digest")),
)  # fmt: skip

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _ALL}
"""Every kind that the log holds entries of, by name."""

LOG_TABLES: Final = ("log_leaf", "log_node", "log_checkpoint", "log_handover", "log_erased")
"""What the log itself is kept in: rows are added and never changed."""
