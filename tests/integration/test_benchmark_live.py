"""What is measured of events and second looks is what the product does: everything told is decided, everything due is judged."""

from pathlib import Path

import pytest

from benchmarks import live


def test_every_event_is_decided_and_every_text_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures for everything, of a book small enough for a test."""
    monkeypatch.setattr(live, "ALONE", 2)
    monkeypatch.setattr(live, "AT_ONCE", 20)
    folder = tmp_path / "lender"
    found = live.measure(folder, f"sqlite:///{folder / 'book.db'}", 500)
    assert 0 < found["still_going"] <= found["second_looks"]
    assert found["events_per_second"] > 0
    assert "| sqlite |" in live.table([{"database": "sqlite", **found}])
