"""The documentation's sessions, run as a reader would: every command prints what the page shows."""

import pytest

from tests.pages import ROOT, blocks, pages, play, same

_SESSIONS = [page for page in pages() if any(b.language == "console" for b in blocks(page.read_text(encoding="utf-8")))]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", _SESSIONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_prints_what_the_page_shows(page, tmp_path):
    """From the page's first block to its last, in an empty folder; `python -m tests.pages PAGE` writes the real output."""
    for block, step, ran in play(page.read_text(encoding="utf-8"), tmp_path):
        where = f"{page.name}:{block.line}: $ {step.command}"
        assert same(step.shown, ran.output), f"{where}\nshows:\n{step.shown}\nprints:\n{ran.output}"
        assert ran.exit_code == step.exit_code, where
