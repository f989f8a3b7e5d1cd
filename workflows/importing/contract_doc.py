"""The data contract as text: `docs/data-contract.md` is what `contract_document` gives, and a test holds it to that."""

from collections.abc import Iterator
from typing import Final

from workflows.importing.contract import MEANINGS, VERSION, Column, Kind
from workflows.importing.kinds import KINDS

_HEAD: Final = f"""\
# The data contract, version {VERSION}

What `duecourse import` takes. Written from `workflows/importing/kinds.py` by
`python -m workflows.importing.contract_doc > docs/data-contract.md`; `duecourse import --contract` prints it too.

- A file is CSV (UTF-8, commas, a header, quotes where a value holds a comma, a quote or a line end) or Parquet (no floating
  point; instants as timestamps with a zone). Its name is its kind, with whatever tells several files of it apart:
  `movements.csv`, `movements-2026-03-01.parquet`.
- Columns stand in any order. One that is not required may be left out: then nothing is said about it, and what is known
  stays. An empty value says that there is none, or means the default.
- Every row is taken or rejected as a whole; rejected rows are listed beside the file, in `<file>.rejects.csv`, with row
  (the header is row 1), column, reason and mend, never with the value. Mend them and import the same file again.
- A file that is not what it says (an unknown column, one that is missing, another encoding) is refused whole. What a file
  brings is written in one transaction: all of it or nothing.
- The same row again changes nothing. Another content under a known key is an update where the kind says so; elsewhere
  the row is rejected, because what was recorded stays.
- `--as-of` says of when a file is. It has to be given for kinds that age by the hour ({{dated}}): when
  they grow too old, dunning is withheld.
"""

_TYPES: Final = "\n## Types\n\n| type | how it is written |\n| --- | --- |\n"


def contract_document() -> str:
    """The whole contract as Markdown."""
    dated = ", ".join(f"`{kind.name}`" for kind in KINDS.values() if kind.dated)
    types = "".join(f"| {name} | {meaning} |\n" for name, meaning in MEANINGS.items())
    kinds = "".join(kind_document(kind) for kind in KINDS.values())
    return f"{_HEAD.format(dated=dated)}{_TYPES}{types}{kinds}"


def kind_document(kind: Kind) -> str:
    """One kind of file as Markdown."""
    again = "updates it" if kind.replaces else "is rejected"
    key = ", ".join(f"`{name}`" for name in kind.key)
    known = f"A row is known by {key}; other content under a known key {again}."
    if kind.name == "accounts":
        known = f"A row is known by {key}; other content as of a later instant is kept beside the first, and the last counts."
    rows = "".join(_row(column) for column in kind.columns)
    return (
        f"\n## {kind.name}\n\n{kind.meaning} {known}\n\n"
        f"| column | type | required | meaning |\n| --- | --- | --- | --- |\n{rows}"
    )


def _row(column: Column) -> str:
    meaning = "; ".join(_meaning(column))
    return f"| {column.name} | {column.type} | {'yes' if column.required else ''} | {meaning} |\n"


def _meaning(column: Column) -> Iterator[str]:
    yield column.meaning
    if column.values:
        yield ", ".join(f"`{value}`" for value in column.values)
    if column.default is not None:
        yield f"empty: {column.default}"
    if column.past:
        yield "not in the future"


if __name__ == "__main__":
    import sys

    sys.stdout.write(contract_document())
