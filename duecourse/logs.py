"""
How Duecourse logs, on stderr: unattended, one JSON object a line with an `action` word for machines; to whoever typed a
command, the sentence and the ids.

Ids only. What a library logs is given by its template alone, because its arguments and tracebacks may quote what is on
file about a person.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Final

_ROOMS: Final = ("workflows", "duecourse", "store", "channels", "engine", "compliance")
_OURS: Final = (
    "action", "job", "contact", "event", "borrower", "status", "code", "error", "where", "why", "what", "mend",
    "duty", "duties", "arrival", "source", "reason", "rule", "rules", "subject", "due_on", "unknown", "count", "counts", "run",
    "loan",
)  # fmt: skip


def _said(record: logging.LogRecord) -> dict[str, object]:
    if record.name.partition(".")[0] in _ROOMS:
        ids = {name: getattr(record, name) for name in _OURS if hasattr(record, name)}
        return {"text": record.getMessage()} | ids
    said: dict[str, object] = {"text": str(record.msg)}
    if record.exc_info and record.exc_info[0] is not None:
        said["error"] = record.exc_info[0].__name__
    return said


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "from": record.name} | _said(record)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Sentences(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = _said(record)
        ids = [f"{name} {value}" for name, value in said.items() if name not in ("text", "action")]
        return f"{record.levelname.lower()}: {said['text']}" + (f" ({', '.join(ids)})" if ids else "")


def log_as_lines() -> None:
    """Set up logging for a process that runs unattended."""
    _log(_Lines(), logging.INFO)


def log_as_sentences() -> None:
    """Set up logging for a command that somebody typed: what they should know of, in words."""
    _log(_Sentences(), logging.WARNING)


def _log(how: logging.Formatter, ours: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(how)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in _ROOMS:
        logging.getLogger(room).setLevel(ours)
