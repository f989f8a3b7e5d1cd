"""
How Duecourse logs: one JSON object a line on stderr, a sentence for people and an `action` word for machines.

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
    "duty", "duties", "arrival", "source", "reason", "rule", "rules", "subject", "due_on", "unknown", "count", "run", "loan",
)  # fmt: skip


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "from": record.name}
        if record.name.partition(".")[0] in _ROOMS:
            line["text"] = record.getMessage()
            line |= {name: getattr(record, name) for name in _OURS if hasattr(record, name)}
        else:
            line["text"] = str(record.msg)
            if record.exc_info and record.exc_info[0] is not None:
                line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr() -> None:
    """Set up logging for a process that runs unattended."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in _ROOMS:
        logging.getLogger(room).setLevel(logging.INFO)
