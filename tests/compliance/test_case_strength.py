"""The cases beside each pack notice when any of its rules is taken away."""

from dataclasses import replace
from pathlib import Path

import pytest

from compliance import Pack, shipped_packs
from compliance.case_file import Case, read_cases
from compliance.cases import CaseResult, _run

ROOT = Path(__file__).resolve().parents[2]
PACKS = {pack.id: pack for pack in shipped_packs()}
CASES_MIN = 8


def own_cases(pack: Pack) -> list[Case]:
    file = (ROOT / pack.file).with_suffix(".test.yaml")
    return read_cases(file.read_text("utf-8"), file.name, PACKS)


def run(case: Case, pack: Pack) -> CaseResult:
    return _run(case, {**PACKS, pack.id: pack})


@pytest.mark.parametrize("pack", PACKS.values(), ids=lambda pack: pack.id)
def test_cases_notice_every_rule(pack):
    """There are at least eight; each names the pack; and without any one rule one of them fails."""
    cases = own_cases(pack)
    assert len(cases) >= CASES_MIN
    assert all(pack.id in case.policy for case in cases)
    unnoticed = []
    for rule in pack.rules:
        weakened = replace(pack, rules=tuple(other for other in pack.rules if other is not rule))
        if all(run(case, weakened).passed for case in cases):
            unnoticed.append(rule.id)
    assert unnoticed == []


@pytest.mark.parametrize("pack", PACKS.values(), ids=lambda pack: pack.id)
def test_cases_are_not_all_refusals(pack):
    """Some are allowed, so that a pack which closes everything is noticed as well."""
    wanted = {decision for case in own_cases(pack) for decision in case.decisions}
    assert "allow" in wanted
    assert wanted & {"deny", "defer_until"}
