"""What the documentation says exists: its commands and options, its links, its examples."""

import re
import shutil
from pathlib import Path

import pytest
from typer import Exit
from typer import main as typer_main
from typer._click.exceptions import MissingParameter, NoArgsIsHelpError, UsageError
from typer.core import TyperGroup

from channels.gateway_file import read_gateway
from compliance import run_cases
from duecourse.cli import app
from duecourse.workspace import Workspace, open_workspace
from engine.condition import Scope, parse_condition
from engine.errors import Problem
from engine.matching import InterpreterMatcher
from engine.scenario import coverage, run_scenarios
from engine.scenario_file import read_scenarios
from engine.source import Listing, read_yaml
from engine.strategy_rule import read_rule
from tests import facts_page, outcomes_page
from tests.pages import ROOT, Block, anchors, blocks, duecourse_lines, links, pages, same
from workflows.desk.outcome_file import outcomes

_FILE = re.compile(r"# ([\w./-]+\.yaml)\n")
_RULE = "- id: "
_REFUSAL = re.compile(r"^\| `([^|]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", pages(), ids=_name)


def test_every_kind_of_page_is_there():
    """Try it, do this, why so, and reference: the four kinds that a reader may look for."""
    assert {_name(page) for page in pages()} >= {
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/strategy-owner.md",
        "docs/operator.md",
        "docs/desk.md",
        "docs/outcomes.md",
        "docs/compliance-officer.md",
        "docs/engineer.md",
        "docs/scale-out.md",
        "docs/how-decisions-are-made.md",
        "docs/facts.md",
    }


@each_page
def test_every_link_leads_somewhere(page):
    """A relative link leads to a file that is there, and to a heading that it has."""
    for link in links(page.read_text(encoding="utf-8")):
        target, _, heading = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if heading:
            assert heading in anchors(file.read_text(encoding="utf-8")), link


@each_page
def test_every_command_shown_is_understood(page):
    """Each `duecourse ...` line is parsed by the command line itself: names, options and arguments."""
    for words in duecourse_lines(page.read_text(encoding="utf-8")):
        assert (problem := _usage_problem(words)) is None, f"duecourse {' '.join(words)}: {problem}"


@each_page
def test_every_make_target_shown_is_there(page):
    """Each `make ...` names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"`make ([a-z-]+)[^`\n]*`", text)
    shown += [word for b in blocks(text) for word in re.findall(r"^(?:\$ )?make ([a-z-]+)", b.text, re.MULTILINE)]
    assert set(shown) <= targets


@each_page
def test_yaml_examples_are_read_by_the_readers_they_are_for(page, tmp_path):
    """A page's files make a workspace without a problem, its scenarios and cases pass, its rules read."""
    examples = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language == "yaml"]
    files = {match[1]: block for block in examples if (match := _FILE.match(block.text))}
    for block in examples:
        assert block.text.startswith(_RULE) or _FILE.match(block.text), f"line {block.line} does not say what it is"
    workspace = _workspace(tmp_path, files)
    assert workspace.queues
    assert workspace.templates.by_name
    assert workspace.schedule
    for block in examples:
        if block.text.startswith(_RULE):
            _check_rules(block, workspace)
    _check_scenarios(workspace)
    if "config/gateway.yaml" in files:
        assert read_gateway(files["config/gateway.yaml"].text, "config/gateway.yaml").templates
    for name, block in files.items():
        if name.startswith("packs/") and name.endswith(".test.yaml"):
            results = run_cases(block.text, name, workspace.gate.packs)
            assert [(r.id, r.trace) for r in results if not r.passed] == []


def test_the_refusals_that_the_strategy_owners_page_quotes_are_said():
    """What the page says of a wrong condition is what the check says, word for word."""
    page = (ROOT / "docs" / "strategy-owner.md").read_text(encoding="utf-8")
    rows = _REFUSAL.findall(page.partition("## When the check refuses")[2])
    assert len(rows) > 5
    for condition, what, mend in rows:
        problems: list[Problem] = []
        node = read_yaml(f"- |-\n  {condition}\n", "example.yaml")
        assert isinstance(node, Listing)
        parse_condition(node.items[0], Scope(facts_page.catalogue(), "EUR", {}, problems))
        assert [(problem.what, problem.mend) for problem in problems] == [(what, mend)]


def test_the_page_of_facts_is_the_catalogue():
    """docs/facts.md was written from the catalogue as it is; `python -m tests.facts_page` writes it anew."""
    assert facts_page.PAGE.read_text(encoding="utf-8") == facts_page.page(facts_page.catalogue())


def test_the_page_of_outcomes_is_the_catalogue():
    """docs/outcomes.md was written from the catalogue as it is; `python -m tests.outcomes_page` writes it anew."""
    assert outcomes_page.PAGE.read_text(encoding="utf-8") == outcomes_page.page(outcomes())


def test_dots_on_a_line_of_their_own_stand_for_anything():
    """A shortened output fits what was printed, and nothing else does."""
    assert same("one\n...\nfour\n", "one\ntwo\nthree\nfour\n")
    assert same("... seconds\n", "12 seconds\n")
    assert not same("one\n...\nfour\n", "one\ntwo\nthree\n")
    assert not same("one\n", "one\ntwo\n")


def _usage_problem(words: list[str]) -> str | None:
    command = typer_main.get_command(app)
    rest = [word for word in words if word != "..."]
    name = "duecourse"
    while isinstance(command, TyperGroup):
        try:
            context = command.make_context(name, rest or ["--json"])
            name, following, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        except (Exit, NoArgsIsHelpError):
            return None
        except UsageError as error:
            return str(error)
        assert following is not None
        command = following
        if isinstance(command, TyperGroup) and not rest:
            return None
    try:
        command.make_context(name, rest)
    except (Exit, MissingParameter):
        return None  # a sentence may name a command without what it is about
    except UsageError as error:
        return str(error)
    return None


def _workspace(folder: Path, files: dict[str, Block]) -> Workspace:
    shutil.copytree(ROOT / "rules", folder / "rules")
    shutil.copytree(ROOT / "compliance" / "packs" / "house", folder / "packs")
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    if any(re.fullmatch(r"rules/[\w-]+\.yaml", name) for name in files):
        # A page with a strategy of its own stands on that alone.
        for shipped in (folder / "rules").glob("*.yaml"):
            shipped.unlink()
    for name, block in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(block.text, encoding="utf-8")
    return open_workspace(folder, {})


def _check_rules(block: Block, workspace: Workspace) -> None:
    problems: list[Problem] = []
    strategy = next(iter(workspace.rulebook.strategies.values()))
    scope = Scope(workspace.catalogue, strategy.currency, strategy.define, problems)
    node = read_yaml(block.text, f"line {block.line}")
    assert isinstance(node, Listing)
    rules = [read_rule(item, "phone", scope) for item in node]
    assert problems == []
    assert all(rules)


def _check_scenarios(workspace: Workspace) -> None:
    book = workspace.rulebook
    plain = {"interpreter": InterpreterMatcher(book.strategies)}
    read = [s for name, text in workspace.scenario_files.items() for s in read_scenarios(text, name, book)]
    results = run_scenarios(read, book, workspace.gate, plain)
    assert [(r.name, r.problems, r.trace) for r in results if not r.passed] == []
    for strategy in book.strategies.values():
        assert coverage(strategy, read, results) == []
