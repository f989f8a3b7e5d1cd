"""A newcomer's first hour at the command line, from outside: every command, its answer, its exit code."""

from pathlib import Path

import pytest

from tests.e2e.book import AS_OF, IMPORTED, SENT, SWEPT, WORKED, rehearse, write_book
from tests.e2e.command import Said, duecourse

Story = dict[str, Said]
TASK = "2-1-0"
_PROMISE = (
    "tasks",
    "outcome",
    TASK,
    "--agent",
    "ann",
    "--outcome",
    "promise",
    "--amount",
    "500",
    "--due",
    "2026-03-05",
)
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dry run", ("import", "book", "--as-of", AS_OF, "--dry-run", "--at", IMPORTED)),
    ("import", ("import", "book", "--as-of", AS_OF, "--at", IMPORTED)),
    ("import again", ("import", "book", "--as-of", AS_OF, "--at", IMPORTED)),
    ("plan", ("sweep", "--plan", "--at", SWEPT)),
    ("nothing logged", ("log",)),
    ("sweep", ("sweep", "--at", SWEPT)),
    ("sweep again", ("sweep", "--at", SWEPT)),
    ("log", ("log",)),
    ("dispatch refused", ("dispatch", "--at", SENT)),
    ("sending on", ("db", "environment", "--sending", "on")),
    ("dispatch", ("dispatch", "--at", SENT)),
    ("tasks", ("tasks", "list", "--at", SENT)),
    ("task", ("tasks", "next", "early-junior", "--agent", "ann", "--at", SENT)),
    ("no second task", ("tasks", "next", "early-junior", "--agent", "bob", "--at", SENT)),
    ("promise", (*_PROMISE, "--at", WORKED)),
    ("promise again", (*_PROMISE, "--at", WORKED)),
    ("events", ("events", "--at", WORKED)),
    ("loan", ("loan", "CN-1", "--on", "2026-03-02")),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def story(home: Path) -> Story:
    """One loan book from `init` to a promise, step by step: what each step said."""
    write_book(home / "book")
    said = {"init": duecourse("init", "ws", cwd=home)}
    rehearse(home / "ws")
    for name, arguments in _STEPS:
        said[name] = duecourse("-w", "ws", *arguments, cwd=home)
    return said


# -- the story ----------------------------------------------------------------------------------------------------------


def test_init_says_what_comes_next(story: Story) -> None:
    """A new workspace, and the four commands that follow."""
    assert story["init"].failure == (
        0,
        (
            "ws is ready. Next:\n"
            "  duecourse -w ws rules check        are the strategies sound?\n"
            "  duecourse -w ws import FOLDER      bring in your book (docs/data-contract.md)\n"
            "  duecourse -w ws sweep              decide for every loan\n"
            "  duecourse -w ws serve              keep doing it, every day\n"
            "Keep a copy of secrets/seal.keys where copies of the database are not: without it nobody reads the names in it.\n"
        ),
        "",
    )


def test_a_dry_run_says_what_would_change(story: Story) -> None:
    """Every file is read and counted, and nothing is written: the import after it adds the same rows."""
    counted = (
        "file             rows  added  changed  removed  same  rejected\n"
        "people.csv          2      2\n"
        "endpoints.csv       3      3\n"
        "loans.csv           2      2\n"
        "instalments.csv     4      4\n"
        "movements.csv       2      2\n"
        "accounts.csv        1      1\n"
        "consents.csv        2      2\n"
    )
    assert _trimmed(story["dry run"]) == counted + "\nnothing was changed: this was a dry run\n"
    assert _trimmed(story["import"]) == counted + "\nplaced: 1 in phone, 1 in reminded\n"


def test_the_same_files_twice_change_nothing(story: Story) -> None:
    """Every row is known already."""
    assert _trimmed(story["import again"]) == (
        "file             rows  added  changed  removed  same  rejected\n"
        "people.csv          2                              2\n"
        "endpoints.csv       3                              3\n"
        "loans.csv           2                              2\n"
        "instalments.csv     4                              4\n"
        "movements.csv       2                              2\n"
        "accounts.csv        1                              1\n"
        "consents.csv        2                              2\n"
    )


def test_a_plan_writes_nothing_and_the_sweep_does_what_it_said(story: Story) -> None:
    """The counts of the plan are those of the sweep; the log is empty in between."""
    counts = (
        "borrowers        2\n"
        "contacts         2\n"
        "contacts call    1\n"
        "contacts email   1\n"
        "decisions        2\n"
        "outcome contact  2\n"
    )
    assert _trimmed(story["plan"]) == f"what a sweep would do at 2026-03-02 01:00Z\n{counts}"
    assert _trimmed(story["nothing logged"]) == "no decision fits\n"
    assert _trimmed(story["sweep"]) == f"run 2 at 2026-03-02 01:00Z\n{counts}"
    assert story["sweep again"].out == story["sweep"].out, "the same sweep again is the same run"


def test_the_log_says_what_was_decided(story: Story) -> None:
    """One line per loan, by its own reference and the day at the borrower's place."""
    assert _trimmed(story["log"]) == (
        "on          loan  stage     outcome  rule                 against it\n"
        "2026-03-02  CN-1  phone     contact  call-m1\n"
        "2026-03-01  US-1  reminded  contact  missed-payment-mail\n"
    )


def test_nothing_is_sent_before_somebody_says_so(story: Story) -> None:
    """A new database sends nothing; switched on, a development database reaches the allow-listed only."""
    assert story["dispatch refused"].failure == (
        1,
        "",
        "sending is off\n  mend: run `duecourse db environment --sending on`\n",
    )
    assert story["sending on"].failure == (0, "environment: development, sending: on\n", "")
    assert _trimmed(story["dispatch"]) == "claimed      1\nhanded over  1\n"
    assert (story["dispatch"].code, story["dispatch"].err) == (
        1,
        "1 email contacts are due, and no email provider is set up\n  mend: write `mail:` in duecourse.yaml\n",
    )


def test_an_agent_takes_the_task_and_reports(story: Story) -> None:
    """The script comes with the task; nobody else gets it; an outcome is reported once."""
    assert _trimmed(story["tasks"]) == (
        "task   queue         script      loan  since         until         with  why\n"
        "2-1-0  early-junior  first-call  CN-1  03-02 01:30Z  03-03 01:00Z        "
        "A friendly conversation in the first month cures more loans than anything later.\n"
    )
    head, _, script = story["task"].out.partition("\n\n")
    assert head == "2-1-0  call  first-call"
    assert script.startswith("Sample Client One (borrower), +12125550101\n\n")
    assert "1,000.00" in script
    assert story["no second task"].failure == (0, "nothing is waiting in early-junior\n", "")
    assert story["promise"].failure == (0, "2-1-0: promise\n", "")
    assert story["promise again"].failure == (
        1,
        "",
        (
            "task `2-1-0` is delivered already: conversation\n"
            "  mend: an outcome is reported once; look at `duecourse loan` for what was said\n"
        ),
    )
    assert story["events"].failure == (
        0,
        "1 events of 1 borrowers, 0 contacts planned; promises kept 0, broken 0\n",
        "",
    )


def test_a_loan_tells_its_story(story: Story) -> None:
    """Arrears as of a day, then everything that happened, oldest first."""
    assert _trimmed(story["loan"]) == (
        "CN-1: stage phone, 10 days past due, CNY 1,000.00 overdue on 2026-03-02\n"
        "\n"
        "when               what                                     amount        why\n"
        "2025-12-20 02:00Z  payment, effective 2025-12-20            CNY 1,000.00\n"
        "2026-01-20 02:00Z  payment, effective 2026-01-20            CNY 1,000.00\n"
        "2026-03-01 22:30Z  current -> phone                                       entry:book-phone\n"
        "2026-03-02 01:40Z  call to borrower (call-m1) conversation                ann: promise\n"
        "2026-03-02 01:40Z  promise for 2026-03-05, open             CNY 500.00\n"
    )


# -- looking around -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("story")
def test_decide_explains_itself(home: Path) -> None:
    """The short answer in one line; with `--explain` every rule, every leaf with what it saw, whole lines in a pipe."""
    asked = ("-w", "ws", "decide", "CN-1", "--at", "2026-03-03T09:00+08:00")
    assert duecourse(*asked, cwd=home).failure == (0, "CN-1: withheld\n", "")
    tree = duecourse(*asked, "--explain", cwd=home).out
    assert tree.startswith("borrower 1 on 2026-03-03\n")
    assert "dpd between 1 and 30 (saw 11)" in tree
    assert "because: A friendly conversation in the first month cures more loans than anything later." in tree
    plain = duecourse(*asked, "--explain", "--plain", cwd=home).out
    assert plain == tree, "the plain interpreter decides the same"


@pytest.mark.usefixtures("story")
def test_everything_that_answers_answers_in_json(home: Path) -> None:
    """One document on standard output, nothing on standard error, the same exit code."""
    tree = duecourse("-w", "ws", "--json", "decide", "CN-1", "--at", SWEPT, cwd=home).answer
    assert (tree["loan"], tree["outcome"]) == ("CN-1", "nothing")
    decided = duecourse("-w", "ws", "--json", "log", "--loan", "US-1", cwd=home).answer
    assert [(d["loan"], d["rule"], d["facts"]["dpd"], d["trace"]["outcome"]) for d in decided] == [
        ("US-1", "missed-payment-mail", 12, "contact")
    ]
    loan = duecourse("-w", "ws", "--json", "loan", "CN-1", "--on", "2026-03-02", cwd=home).answer
    assert (loan["arrears"]["dpd"], loan["arrears"]["overdue_minor"]) == (10, 100000)
    for arguments in (
        ("rules", "check"),
        ("rules", "facts"),
        ("packs", "list"),
        ("packs", "show", "cn.cba2026"),
        ("stages",),
        ("stages", "--diagram"),
        ("config", "show"),
        ("db", "environment"),
        ("db", "upgrade"),
        ("tasks", "list", "--at", WORKED),
        ("tasks", "next", "early-junior", "--agent", "bob", "--at", WORKED),
        ("events", "--at", WORKED),
        ("sweep", "--plan", "--at", WORKED),
        ("import", "book", "--as-of", AS_OF, "--at", IMPORTED),
        ("import", "--contract"),
    ):
        said = duecourse("-w", "ws", "--json", *arguments, cwd=home)
        assert (said.code, said.err) == (0, ""), arguments
        assert said.answer is not None or arguments[1] == "next"


@pytest.mark.usefixtures("story")
def test_streams_of_cases_are_one_json_object_a_line(home: Path) -> None:
    """Scenarios of the strategies and cases of the packs, all passed."""
    cases = duecourse("-w", "ws", "--json", "packs", "test", "ws/packs/default.test.yaml", cwd=home)
    assert (cases.code, cases.err) == (0, "")
    assert all(one["passed"] for one in cases.lines)
    scenarios = duecourse("-w", "ws", "--json", "rules", "test", cwd=home)
    assert (scenarios.code, scenarios.err) == (0, "")
    assert {one["target"] for one in scenarios.lines} == {"interpreter", "live", "sql"}
    assert all(one["passed"] for one in scenarios.lines)


@pytest.mark.usefixtures("story")
def test_where_a_setting_comes_from(home: Path) -> None:
    """Default, file, environment: the environment goes before the file."""
    said = duecourse("-w", "ws", "--json", "config", "show", cwd=home, env={"DUECOURSE_ZONE": "America/New_York"})
    found = {one["setting"]: (one["value"], one["from"]) for one in said.answer}
    assert found["zone"] == ("America/New_York", "DUECOURSE_ZONE")
    assert found["actor"] == ("first_party", "duecourse.yaml:6")
    assert found["loans_per_chunk"] == (20000, "default")


def test_without_a_workspace_the_shipped_files_are_meant(tmp_path: Path) -> None:
    """Rules, packs and stages can be looked at anywhere; what needs a book says how to get one."""
    for arguments in (("rules", "check"), ("packs", "show", "house.default"), ("stages",), ("rules", "facts")):
        said = duecourse(*arguments, cwd=tmp_path)
        assert (said.code, said.err) == (0, ""), arguments
    diagram = duecourse("stages", "--diagram", cwd=tmp_path).out
    assert "stateDiagram-v2" in diagram
    assert "current --> reminded" in diagram
    assert duecourse("log", cwd=tmp_path).failure == (
        1,
        "",
        f"no duecourse.yaml in `{tmp_path}`\n  mend: run `duecourse init DIR`, then `duecourse --workspace DIR ...`\n",
    )


def test_the_answer_no_is_exit_3(home: Path, story: Story) -> None:
    """A case that fails, a rule file with a problem: the command ran, and the answer is no."""
    assert story["init"].code == 0
    case = (home / "ws" / "packs" / "default.test.yaml").read_text(encoding="utf-8").replace("allow", "deny", 1)
    (home / "wrong.test.yaml").write_text(case, encoding="utf-8")
    assert duecourse("-w", "ws", "packs", "test", "wrong.test.yaml", cwd=home).code == 3


def test_used_wrongly_is_exit_2(tmp_path: Path) -> None:
    """Unknown commands and options, and nothing at all, print how it is used."""
    assert duecourse("swep", cwd=tmp_path).failure == (
        2,
        "",
        (
            "Usage: duecourse [OPTIONS] COMMAND [ARGS]...\nTry 'duecourse -h' for help.\n\nError: No such command 'swep'. "
            "Did you mean 'sweep'?\n"
        ),
    )
    assert duecourse("sweep", "--soon", cwd=tmp_path).failure == (
        2,
        "",
        "Usage: duecourse sweep [OPTIONS]\nTry 'duecourse sweep -h' for help.\n\nError: No such option: --soon\n",
    )
    assert duecourse("log", "--day", "friday", cwd=tmp_path).code == 2
    assert duecourse(cwd=tmp_path).code == 2


def test_help_is_instant_and_names_every_command(tmp_path: Path) -> None:
    """`--help` lists what there is, each with a line of its own."""
    said = duecourse("--help", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    for name in ("init", "import", "rules", "sweep", "dispatch", "serve", "decide", "log", "tasks", "demo"):
        assert f"\n  {name} " in said.out


def _trimmed(said: Said) -> str:
    """Its output without the blanks that a table puts at the ends of its lines."""
    return "".join(f"{line.rstrip()}\n" for line in said.out.splitlines())
