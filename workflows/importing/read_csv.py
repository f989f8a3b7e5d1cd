"""CSV as RFC 4180 has it, in UTF-8: read as columns of text, or refused with the line and the mend."""

import csv
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engine.errors import DataError, Place, Problem
from workflows.importing.contract import Kind

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES_MAX: Final = 64 << 20
"""The longest a single row may be."""

_NO_CSV: Final = {
    b"PK\x03\x04": "a workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old workbook",
    b"\x1f\x8b": "a gzip archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
"""What people send instead, by its first bytes."""


def csv_columns(
    content: bytes, at: Place
) -> tuple[list[str], Callable[[Kind], "pa.Table"], list[tuple[int, int, int]]]:
    """
    The header, the columns (an empty value is null, an empty line a row of nulls), and the ragged rows.

    Returns:
        names; the columns; (row, values found, values expected) for each row that is not among them.
    Raises:
        DataError: not CSV, not UTF-8, or cut off within quotes.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text = _text(content, at)
    names = _header(text)
    ragged: list[tuple[int, int, int]] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        ragged.append((row.number, row.actual_columns, row.expected_columns))
        return "skip"

    # A single row may be longer than the reader's usual block; a file that ends in its header needs the line end.
    block = min(max(1 << 20, len(text) + 1), BLOCK_BYTES_MAX)
    unnamed = [f"{n}" for n in range(len(names))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(text if text.endswith((b"\n", b"\r")) else text + b"\n"),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=block, column_names=unnamed, skip_rows=1),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=skip, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(unnamed, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as e:
        if "straddl" in str(e):
            problem = Problem(f"a row is longer than {BLOCK_BYTES_MAX >> 20} MB", "close the quote it begins with", at)
        else:
            problem = Problem(f"not readable as CSV: {e}", "separate values by commas and rows by line ends", at)
        raise DataError(problem) from None
    return names, lambda _kind: table.rename_columns(names), ragged


def _text(content: bytes, at: Place) -> bytes:
    for first, what in _NO_CSV.items():
        if content.startswith(first):
            raise DataError(Problem(f"this is {what}, not CSV", "save it as CSV, UTF-8, separated by commas", at))
    text = content.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise DataError(Problem("the file is empty", "write the header, and a row for each record", at))
    if (nul := text.find(b"\0")) >= 0:
        place = Place(at.file, _line(text, nul))
        raise DataError(Problem("a NUL byte, which no text has", "save the file as CSV, UTF-8", place))
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as e:
        place = Place(at.file, _line(text, e.start))
        raise DataError(Problem("not UTF-8 text", "save the file as UTF-8", place)) from None
    if text.count(b'"') % 2:
        mend = "close every quote, and write a quote within a value twice"
        raise DataError(Problem("an odd number of quotes: one of them is never closed", mend, at))
    return text


def _line(text: bytes, offset: int) -> int:
    return text.count(b"\n", 0, offset) + 1


def _header(text: bytes) -> list[str]:
    end = min((at for at in (text.find(b"\n"), text.find(b"\r")) if at >= 0), default=len(text))
    return [name.strip() for name in next(csv.reader([text[:end].decode()]), [])]
