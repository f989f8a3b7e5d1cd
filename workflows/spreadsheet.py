"""Rows of CSV that a spreadsheet cannot be tricked by, and that read back as what they were."""

import re
from collections.abc import Iterable
from typing import Final

_ESCAPED: Final = ("=", "+", "-", "@", "\t", "\r", "'")
_QUOTED: Final = re.compile(r'[",\r\n]')


def cell(text: str | None) -> str:
    """A text as a cell: nothing for null; an apostrophe before what could be a formula, is empty, or has one itself."""
    if text is None:
        return ""
    return f"'{text}" if not text or text.startswith(_ESCAPED) else text


def line(cells: Iterable[str]) -> str:
    """A row, with its line feed. Python's own writer leaves a carriage return unquoted, which readers take for a row's end."""
    return ",".join('"' + one.replace('"', '""') + '"' if _QUOTED.search(one) else one for one in cells) + "\n"
