"""The shipped scenarios notice when any part of any condition, or any setting, is taken away or changed."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import pytest

from channels.template_wording import facts_by_channel
from compliance import Gate
from compliance.wording import wording_rules
from duecourse.workspace import Workspace, open_workspace, shipped_folder
from engine.matching import InterpreterMatcher
from engine.rulebook import Rulebook, read_rulebook
from engine.scenario import Scenario, run_scenarios
from engine.scenario_file import read_scenarios
from tests.weakened import unnoticed, weakened

CURED = "a loan with nothing past due is moved out of this stage before its rules are asked"
MOVED_ON = "whatever is further past due has been moved to the phone stage before these rules are asked"
EQUIVALENT: Final[Mapping[str, Mapping[str, str]]] = {
    "cn-consumer-finance": {
        "part-paid-back: lower end of dpd between 1 and 3": "a loan with nothing past due is cured before this move",
        "failed-debit-sms: lower end of dpd between 1 and 3": CURED,
        "sms-day-1: lower end of dpd between 1 and 3": CURED,
        "call-m1: lower end of dpd between 1 and 30": CURED,
        "hardship-offer: lower end of dpd between 1 and 365": CURED,
        "evening-call-risky: upper end of dpd between 3 and 7": MOVED_ON,
        "sms-day-3: upper end of dpd between 3 and 7": MOVED_ON,
        "email-day-2: upper end of dpd between 2 and 7": MOVED_ON,
        "call-day-5: upper end of dpd between 5 and 7": MOVED_ON,
        "prelegal-notice-field: upper end of dpd between 75 and 365": "from day 151 on no loan stays with the field team",
    },
    "us-card": {
        "caught-up-partly: lower end of dpd between 1 and 9": "a loan with nothing past due is cured before this move",
        "hardship-offer: lower end of dpd between 1 and 365": CURED,
        "missed-payment-text: upper end of dpd between 5 and 29": MOVED_ON,
        "early-call-risky: upper end of dpd between 10 and 29": MOVED_ON,
        "early-call-full-card: upper end of dpd between 15 and 29": MOVED_ON,
        "letter-day-20: upper end of dpd between 20 and 29": MOVED_ON,
    },
}
"""Parts that the ladder as a whole makes redundant. They stay, so that a rule can be read by itself."""


@cache
def workspace() -> Workspace:
    return open_workspace(shipped_folder(), {})


@cache
def scenarios() -> tuple[Scenario, ...]:
    files = workspace().scenario_files.items()
    return tuple(case for name, text in files for case in read_scenarios(text, name, workspace().rulebook))


def gate() -> Gate:
    return workspace().gate


@pytest.mark.parametrize("name", sorted(EQUIVALENT))
def test_no_part_of_a_condition_can_be_taken_away_unnoticed(name: str):
    """For each item of each condition, and each end of each window, a scenario shows what it is there for."""
    book = workspace().rulebook
    strategy = book.strategies[name]
    assert sum(1 for _ in weakened(strategy, book.catalogue)) > 150
    assert set(unnoticed(strategy, book, scenarios(), gate())) == set(EQUIVALENT[name])


def changed(file: str, was: str, now: str) -> Rulebook:
    """The shipped strategies with one setting changed."""
    files = dict(workspace().strategy_files)
    assert was in files[file]
    files[file] = files[file].replace(was, now, 1)
    return read_rulebook(
        files,
        catalogue=workspace().catalogue,
        queues=workspace().queues,
        templates=facts_by_channel(workspace().templates, wording_rules(gate().packs)),
    )


CN, US = "rules/cn_consumer_finance.yaml", "rules/us_card.yaml"


@pytest.mark.parametrize(
    ("file", "was", "now"),
    [
        (CN, "remind: 1 day before", "remind: 2 days before"),
        (US, "remind: 2 days before", "remind: 3 days before"),
        (US, "remind: 2 days before", "remind: 1 day before"),
        (CN, "tolerance: 1", "tolerance: 0.99"),
        (CN, "tolerance: 1", "tolerance: 1.01"),
        (US, "tolerance: 1", "tolerance: 0.99"),
        (US, "tolerance: 1", "tolerance: 1.01"),
        (CN, "max_age: 36 hours", "max_age: 35 hours"),
        (CN, "max_age: 36 hours", "max_age: 37 hours"),
        (US, "max_age: 48 hours", "max_age: 47 hours"),
        (US, "max_age: 48 hours", "max_age: 49 hours"),
        *((CN, f"{channel}, ", "") for channel in ("sms", "email", "letter", "call", "visit")),
        (CN, ", legal]}", "]}"),
        *((US, f"{channel}, ", "") for channel in ("sms", "email", "letter")),
        (US, ", call]}", "]}"),
        (CN, "script: visit-brief, collectors: 2", "script: visit-brief"),
    ],
)  # fmt: skip
def test_each_setting_steers(file: str, was: str, now: str):
    """A setting that could be changed without a scenario noticing would be one that nothing obeys (P23)."""
    book = changed(file, was, now)
    matchers = {"interpreter": InterpreterMatcher(book.strategies)}
    assert not all(result.passed for result in run_scenarios(scenarios(), book, gate(), matchers))
