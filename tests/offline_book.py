"""The demo's book in Parquet files, with a workspace to decide it by: two of its queues cannot take everybody."""

from pathlib import Path

import yaml

from duecourse.workspace import shipped_folder
from tests.e2e.command import Said, duecourse

AT = "2026-03-02T00:30Z"
_BOOK = shipped_folder() / "duecourse" / "demo" / "book"


def export_demo(home: Path) -> Said:
    """Lay out `ws` and `book` in a folder; what the export said."""
    assert duecourse("init", "ws", "--seed", "files", cwd=home).code == 0
    queues = home / "ws" / "config" / "queues.yaml"
    said = yaml.safe_load(queues.read_text())
    said["early-junior"]["capacity"] = said["late-stage"]["capacity"] = "4/day"
    queues.write_text(yaml.safe_dump(said))
    when = ("--as-of", "2026-03-02T00:00Z", "--at", "2026-03-02T00:10Z")
    imported = duecourse("-w", "ws", "import", _BOOK, *when, cwd=home)
    assert imported.code == 0, imported.err
    return duecourse("-w", "ws", "sweep", "--export", "book", "--at", AT, cwd=home)
