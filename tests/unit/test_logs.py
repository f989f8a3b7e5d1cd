"""Log lines: a JSON object or a sentence each, with ids, and nothing that a library quotes."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from duecourse.logs import log_as_lines, log_as_sentences


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs, set up as `serve` does it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    log_as_lines()
    written = io.StringIO()
    root.handlers[0].setStream(written)  # type: ignore[attr-defined]
    yield written
    root.handlers[:] = before
    root.setLevel(level)


def test_our_lines_carry_their_action_and_ids(lines: io.StringIO) -> None:
    """A sentence, an action word and the ids given; other fields are not for the log."""
    extra = {"action": "alert", "contact": "1-2-0", "text_message": "Dear Somebody"}
    logging.getLogger("workflows.sending.leaving").info("a contact could not be judged", extra=extra)
    line = json.loads(lines.getvalue())
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info", "from": "workflows.sending.leaving", "text": "a contact could not be judged", "action": "alert",
        "contact": "1-2-0",
    }  # fmt: skip


def test_what_a_library_logs_is_given_without_its_arguments(lines: io.StringIO) -> None:
    """A driver's complaint keeps its kind and template; the values in it and its traceback stay out."""
    log = logging.getLogger("sqlalchemy.pool")
    try:
        int("+86 13000000001 is no number")
    except ValueError:
        log.exception("lost %s of %s", "the row", "Somebody Number1")
    log.info("below what is logged of others")
    (line,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (line["level"], line["from"], line["text"], line["error"]) == (
        "error", "sqlalchemy.pool", "lost %s of %s", "ValueError",
    )  # fmt: skip
    assert "Somebody" not in lines.getvalue()
    assert "+86" not in lines.getvalue()


def test_whoever_typed_a_command_reads_a_sentence_that_says_about_what(lines: io.StringIO) -> None:
    """The sentence, then the ids; what is only of interest to the operator's log is left out."""
    log_as_sentences()
    logging.getLogger().handlers[0].setStream(lines)  # type: ignore[attr-defined]
    extra = {"action": "alert", "duty": 4, "due_on": "2026-03-12", "text_message": "Dear Somebody"}
    logging.getLogger("workflows.duties").warning("a duty is due soon", extra=extra)
    logging.getLogger("workflows.scheduling.schedule").info("a job has run", extra={"job": "sweep"})
    assert lines.getvalue() == "warning: a duty is due soon (duty 4, due_on 2026-03-12)\n"
