"""What of the law changes between two dates."""

from datetime import date

from compliance import law_diff, read_pack, shipped_packs

PACKS = shipped_packs()
HEAD = """\
pack: xx.law
title: {en: Law, zh: 法}
places: [US]
actors: [agency]
status: law
provenance: verified
from: 2000-01-01
review_on: 2027-01-01
rules:
"""


def changes(packs, start: date, end: date) -> list[tuple[str, str, str]]:
    return [(change.what, str(change.on), change.rule.id) for change in law_diff(packs, start, end)]


def test_new_york_city_on_the_first_of_september():
    """The new count takes the place of the old one, and three more rules begin."""
    found = law_diff(PACKS, date(2026, 8, 31), date(2026, 9, 1))
    assert [(change.what, change.rule.id) for change in found] == [
        ("begins", "us.nyc.electronic_consent"),
        ("begins", "us.nyc.electronic_optout_line"),
        ("begins", "us.nyc.electronic_refusal"),
        ("changes", "us.nyc.freq_new"),
    ]
    assert [change.before.id for change in found if change.before] == ["us.nyc.freq_old"]


def test_a_waiver_ends():
    """Revoke-all is in force since 2025 and binds from the day after its waiver."""
    assert changes(PACKS, date(2027, 1, 30), date(2027, 2, 1)) == [("begins", "2027-01-31", "us.tcpa.revoke_all")]
    assert changes(PACKS, date(2027, 1, 1), date(2027, 1, 30)) == []


def test_what_ends_and_what_comes_and_goes():
    """A rule that ends without another in its place, one that is gone again by then, and a draft nobody follows."""

    def rule(name: str, *lines: str) -> str:
        head = f"  - id: xx.law.{name}\n    kind: hours\n    says: {{en: It., zh: 它。}}\n    citation: a test\n"
        return head + '    open: {every_day: "08:00-21:00"}\n' + "".join(f"    {line}\n" for line in lines)

    text = HEAD + "".join([
        rule("ends", "to: 2026-03-31"),
        rule("brief", "from: 2026-04-01", "to: 2026-04-30"),
        rule("idea", "status: draft", "binding: false", "from: 2026-04-01"),
        rule("stays"),
    ])  # fmt: skip
    found = changes([read_pack(text, "law.yaml")], date(2026, 3, 31), date(2026, 6, 1))
    assert found == [("ends", "2026-04-01", "xx.law.ends"), ("comes and goes", "2026-04-01", "xx.law.brief")][::-1]
