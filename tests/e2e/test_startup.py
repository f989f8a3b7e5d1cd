"""What a command loads before it answers: asking for help, and checking the rules, must feel instant."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROBE = """
import sys
from duecourse.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""

_TYPER = frozenset({"annotated_doc", "shellingham", "typer", "typing_extensions"})
_TYPER_AT_WORK = _TYPER | {"annotated_types", "pydantic", "pydantic_core", "typing_inspection"}
_READS_FILES = _TYPER_AT_WORK | {
    "cronsim", "cython_runtime", "dotenv", "iso4217", "jinja2", "markupsafe", "mypy_extensions", "pydantic_settings",
    "rich", "sqlglot", "tzlocal", "yaml",
}  # fmt: skip
"""
Who wants another library here measures first (docs/engineer.md, "Startup"). What must never come in by the way: duckdb,
pyarrow, pyspark, sqlalchemy, durable, twilio, aiohttp, fastapi, each a tenth of a second to half a second.
"""

_ROOMS = frozenset({"channels", "compliance", "config", "duecourse", "engine", "store", "workflows"})


@pytest.mark.parametrize(
    ("arguments", "libraries", "rooms"),
    [
        (("--help",), _TYPER, {"duecourse", "engine"}),
        (("sweep", "--help"), _TYPER_AT_WORK, {"duecourse", "engine"}),
        (("listen", "--help"), _TYPER_AT_WORK, {"duecourse", "engine"}),
        (("rules", "check"), _READS_FILES, set(_ROOMS - {"store"})),
    ],
)
def test_a_quick_command_loads_only_what_it_needs(
    arguments: tuple[str, ...], libraries: frozenset[str], rooms: set[str], tmp_path: Path
) -> None:
    """Help loads the command line and nothing behind it; the check reads files and opens no database."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    ours = loaded & _ROOMS
    assert ours <= rooms
    foreign = {name for name in loaded - _ROOMS if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign - libraries == set()
