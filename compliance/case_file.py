"""Reading case files in the public format, whose `meta` block describes the vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from compliance.case_ask import CaseReader
from compliance.case_dates import EXPECT_KEYS, DatedCase
from compliance.case_overlay import read_overrides
from compliance.case_row import CaseRow, instant, plain, table
from compliance.pack import Pack
from engine.errors import DuecourseError, Place, Problem, RuleError
from engine.gate import Ask
from engine.source import Listing, Node, Table, read_yaml

REJECTED: Final = "rejected"
"""The decision of a case whose overrides would loosen a rule."""
_CASE_KEYS: Final = (
    "id", "jurisdiction", "policy", "title", "basis", "confidence", "setup", "ask", "expect", "why", "citation",
    "optional_feature", "note",
)  # fmt: skip
_EXPECT_KEYS: Final = (
    "decision", "until", "until_tz", "accept", "until_accept", "until_graded", "note", "because", "error", "rejected", *EXPECT_KEYS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """
    One case, read.

    Attributes:
        decisions: every decision that counts as right.
        untils: every instant that counts as right; empty when the instant is not compared.
        because: rules that must be among the reasons.
        overrides: what the organisation makes stricter, as a house pack.
        dated: the duties, notices in force or kept records that it expects, if any.
        problems: why it cannot be run. Without any, a case that asks for no contact has no `ask` and no `at`.
        rejected: why its overrides are refused; then `ask` and `at` are None.
    """

    id: str
    title: str
    policy: tuple[str, ...] = ()
    ask: Ask | None = None
    at: datetime | None = None
    decisions: tuple[str, ...] = ()
    untils: tuple[datetime, ...] = ()
    because: tuple[str, ...] = ()
    overrides: Pack | None = None
    dated: DatedCase | None = None
    problems: tuple[Problem, ...] = ()
    rejected: tuple[Problem, ...] = ()


def read_cases(text: str, file: str, packs: Mapping[str, Pack]) -> list[Case]:
    """
    Every case of a file, in its order.

    Raises:
        RuleError: not YAML, or no list of cases.
    """
    root = read_yaml(text, file)
    cases = root.items.get("cases") if isinstance(root, Table) else None
    if not isinstance(cases, Listing):
        mend = "write `cases:` and under it `- id: ...`"
        raise RuleError(Problem("a case file holds a list of `cases`", mend, Place(file)))
    return [_case(node, number, packs) for number, node in enumerate(cases, start=1)]


def _case(node: Node, number: int, packs: Mapping[str, Pack]) -> Case:
    name, title = f"case {number}", ""
    try:
        row = CaseRow(table(plain(node)), "a case", node.at, _CASE_KEYS)
        name, title = row.text("id", name), row.text("title", "")
        policy = tuple(row.texts("policy"))
        named = [packs[pack] for pack in policy if pack in packs]
        expect = row.inner("expect", _EXPECT_KEYS)
        reader = CaseReader(row, node.at, named)
        dated = reader.dated(expect) if any(expect.get(key) is not None for key in EXPECT_KEYS) else None
        if dated is not None and row.get("ask") is None:
            return Case(name, title, policy, dated=dated)
        decisions = _decisions(expect)
        try:
            overrides = read_overrides(_org_overrides(node), named) if len(named) == len(policy) else None
        except RuleError as e:
            return Case(name, title, policy, decisions=decisions, rejected=e.problems)
        at, ask = reader.ask()
        because = tuple(expect.texts("because"))
        return Case(name, title, policy, ask, at, decisions, _untils(expect), because, overrides, dated)
    except RuleError as e:
        return Case(name, title, problems=e.problems)
    except (ValueError, KeyError, TypeError, OverflowError, DuecourseError) as e:
        problem = Problem(
            f"case `{name}` cannot be read: {e}", "write it as the file's `meta` block describes", node.at
        )
        return Case(name, title, problems=(problem,))


def _org_overrides(node: Node) -> Node | None:
    setup = node.items.get("setup") if isinstance(node, Table) else None
    return setup.items.get("org_overrides") if isinstance(setup, Table) else None


def _decisions(expect: CaseRow) -> tuple[str, ...]:
    """What counts as right; `error:` or `rejected: true` say that the overrides must be refused."""
    refused = expect.get("rejected") is True or expect.get("error") not in {None, False}
    stated = expect.maybe("decision") if refused else expect.text("decision")
    words = [REJECTED] * refused + ([stated] if stated else []) + expect.texts("accept")
    return tuple(REJECTED if word == "invalid" else word for word in words)


def _untils(expect: CaseRow) -> tuple[datetime, ...]:
    if expect.get("until_graded") is False or expect.get("until") is None:
        return ()
    zone = expect.text("until_tz", "UTC")
    stated = [expect.text("until"), *expect.texts("until_accept")]
    return tuple(instant(value, zone) for value in stated)
