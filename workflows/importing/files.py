"""Which files a path holds: named after their kinds, in the order in which they can be imported."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from engine.errors import DataError, Problem
from workflows.importing.contract import Kind
from workflows.importing.kinds import KINDS
from workflows.importing.rejects import SUFFIX

_SUFFIXES: Final = (".csv", ".parquet")
_NAME: Final = re.compile(r"([a-z]+)([-_.].*)?")


def find_files(path: Path, kind: Kind | None = None) -> list[tuple[Kind, Path]]:
    """
    The files at a path: itself, or every CSV and Parquet file of a folder, what is referred to first.

    A name is a kind, or a kind and whatever tells several files of it apart: `movements.csv`, `movements-2026-03.parquet`.

    Args:
        kind: of a single file that is named otherwise.
    Raises:
        DataError: a file is named after no kind, or there is none; every one is listed.
    """
    if not path.is_dir():
        return [(kind or _kind_of(path), path)]
    if kind is not None:
        raise DataError(Problem(f"`{path}` is a folder", "leave `--kind` out: its files are named after their kinds"))
    paths = [one for one in sorted(path.iterdir()) if one.suffix in _SUFFIXES and not one.name.endswith(SUFFIX)]
    found: list[tuple[Kind, Path]] = []
    problems: list[Problem] = []
    for one in paths:
        try:
            found.append((_kind_of(one), one))
        except DataError as e:
            problems += e.problems
    if not paths:
        problems.append(Problem(f"`{path}` holds no CSV or Parquet file", f"name them after their kinds: {_listed()}"))
    if problems:
        raise DataError(problems)
    order = list(KINDS)
    return sorted(found, key=lambda file: (order.index(file[0].name), file[1].name))


def _kind_of(path: Path) -> Kind:
    stem = path.name.removesuffix(path.suffix)
    named = _NAME.fullmatch(stem)
    if named is not None and named[1] in KINDS:
        return KINDS[named[1]]
    near = get_close_matches(named[1] if named else stem, KINDS, n=1)
    mend = f"name it `{near[0]}{path.suffix}`" if near else f"name it after its kind: {_listed()}"
    raise DataError(Problem(f"`{path}` is named after no kind of file", mend))


def _listed() -> str:
    return ", ".join(f"`{name}.csv`" for name in KINDS)
