"""The cases that prove the packs: the public ones, and those that lie beside each pack."""

from pathlib import Path

import pytest

from compliance import CaseResult, run_cases, shipped_packs

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ROOT.parent / "shared" / "research" / "compliance_cases_public.yaml"
PACKS = shipped_packs()
OWN = sorted((ROOT / "compliance" / "packs").glob("*/*.test.yaml"))


def results(file: Path) -> list[CaseResult]:
    return run_cases(file.read_text("utf-8"), file.name, PACKS) if file.exists() else []


def told(result: CaseResult) -> str:
    return "\n".join([f"{result.id} {result.title}", *result.trace])


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public cases lie in ../shared, which is not here")
def test_the_public_cases_are_all_run():
    """Every pack that the public cases name is shipped, so that none is skipped."""
    found = results(PUBLIC)
    assert len(found) == 20
    assert [result.id for result in found if result.skipped] == []


@pytest.mark.parametrize("result", results(PUBLIC), ids=lambda result: result.id)
def test_public_case(result: CaseResult):
    """The gate gives the decision and the instant that the public case asks for."""
    assert result.passed, told(result)


@pytest.mark.parametrize("result", [result for file in OWN for result in results(file)], ids=lambda result: result.id)
def test_case_beside_its_pack(result: CaseResult):
    """The gate gives the decision, the instant and the reason that the pack's own case asks for."""
    assert result.passed, told(result)


def test_every_pack_has_cases_of_its_own():
    """A pack without cases proves nothing."""
    named = {file.name.removesuffix(".test.yaml") for file in OWN}
    assert {pack.id.rsplit(".", 1)[-1] for pack in PACKS} == named
