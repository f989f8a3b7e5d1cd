"""`duecourse packs` from outside: what is stale, from when a rule binds, and what a change of the law means."""

import json
from pathlib import Path

from tests.e2e.book import AS_OF, IMPORTED, write_book
from tests.e2e.command import duecourse


def test_what_is_due_to_be_read_again_is_counted(tmp_path: Path) -> None:
    """By the day asked about: none before, all of a pack after."""
    counted, rules = {}, 0
    for at in ("2027-01-15T23:00Z", "2027-01-16T00:00Z"):
        packs = json.loads(duecourse("--json", "packs", "list", "--at", at, cwd=tmp_path).out)
        (regf,) = [pack for pack in packs if pack["pack"] == "us.regf"]
        counted[at], rules = regf["stale"], regf["rules"]
    assert counted == {"2027-01-15T23:00Z": 0, "2027-01-16T00:00Z": rules}
    assert rules > 20


def test_a_pack_shows_from_when_to_when_each_rule_binds(tmp_path: Path) -> None:
    """First and last day, waivers, drafts and replacements, and the words in either language."""
    english = duecourse("packs", "show", "us.nyc", "--at", "2027-02-01T00:00Z", cwd=tmp_path).out.splitlines()
    assert english[0] == "us.nyc: New York City, 6 RCNY 5-77"
    assert "2010-01-01 – 2026-08-31" in english[2]
    assert "law, replaces us.nyc.freq_old" in english[3]
    assert english[3].rstrip().endswith("2027-01-15 stale")
    chinese = duecourse("packs", "show", "us.nyc", "--lang", "zh", "--at", "2026-12-01T00:00Z", cwd=tmp_path).out
    assert chinese.splitlines()[0] == "us.nyc: 美国纽约市催收规则"
    assert "法律, 取代 us.nyc.freq_old" in chinese
    waived = json.loads(duecourse("--json", "packs", "show", "us.tcpa", cwd=tmp_path).out)
    assert {rule["rule"]: rule["waived_to"] for rule in waived}["us.tcpa.revoke_all"] == "2027-01-30"
    draft = duecourse("packs", "show", "in.rbi", cwd=tmp_path).out
    assert "draft, followed" in draft


def test_law_diff_without_a_book_says_the_rules(tmp_path: Path) -> None:
    """What begins and changes, with a note that there was no book to plan."""
    said = duecourse("--json", "packs", "law-diff", "--from", "2026-08-31", "--to", "2026-09-01", cwd=tmp_path)
    told = json.loads(said.out)
    assert [(rule["what"], rule["rule"], rule["instead_of"]) for rule in told["rules"]] == [
        ("begins", "us.nyc.electronic_consent", None),
        ("begins", "us.nyc.electronic_optout_line", None),
        ("begins", "us.nyc.electronic_refusal", None),
        ("changes", "us.nyc.freq_new", "us.nyc.freq_old"),
    ]
    assert "book" not in told
    assert "only the rules: there is no book to plan" in said.err
    backwards = duecourse("packs", "law-diff", "--from", "2026-09-01", "--to", "2026-08-31", cwd=tmp_path)
    assert (backwards.code, backwards.err) == (1, "`--from` is not before `--to`\n  mend: give the earlier day first\n")


def test_law_diff_of_a_book(tmp_path: Path) -> None:
    """The same moment under both laws: here nobody lives where the law changes, so every number is the same."""
    write_book(tmp_path / "book")
    duecourse("init", "ws", cwd=tmp_path)
    duecourse("-w", "ws", "import", "book", "--as-of", AS_OF, "--at", IMPORTED, cwd=tmp_path)
    words = ("packs", "law-diff", "--from", "2026-08-31", "--to", "2026-09-01", "--at", "2026-03-02T18:00Z")
    told = json.loads(duecourse("-w", "ws", "--json", *words, cwd=tmp_path).out)
    assert told["book"]["loans_changed"] == 0
    assert all(sides["from"] == sides["to"] for sides in told["book"]["channels"].values())
    assert sum(sides["to"]["go"] + sides["to"]["wait"] for sides in told["book"]["channels"].values()) >= 1
    assert duecourse("-w", "ws", *words, cwd=tmp_path).out.rstrip().endswith("0 loans get another answer")
    assert duecourse("-w", "ws", "log", cwd=tmp_path).out.strip().count("\n") == 0
