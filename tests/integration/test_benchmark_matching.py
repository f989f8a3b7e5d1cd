"""The comparison of engines: everybody who is there gives the same answers, and what is measured is kept."""

import json
from pathlib import Path

import pytest

from benchmarks.latest import keep
from benchmarks.matching import OURS, DifferenceError, main, measure
from benchmarks.peers import PEERS, PlainPython, absent

LOANS = 3_000


def test_everybody_who_is_there_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and a plain loop always, and every other engine that is installed; who is not is named with the reason."""
    for peer in PEERS:
        monkeypatch.setattr(peer, "loans", min(peer.loans, LOANS if peer is PlainPython else 200))
    found = measure(LOANS)
    assert {OURS, PlainPython.name} <= found.per_second.keys()
    assert found.left_out.keys() >= {peer.name for peer in PEERS if absent(peer.module)}
    assert found.left_out.keys().isdisjoint(found.per_second)
    # The answers say something: a good part of the loans matches, and not all.
    assert 0.2 < found.matched / LOANS < 0.8


def test_another_answer_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine that answers otherwise ends the run with exit code 3, and nothing is kept."""
    monkeypatch.setattr(PlainPython, "first", lambda *_: 7)
    with pytest.raises(DifferenceError):
        measure(50)
    assert main(["--loans", "50", "--out", "nowhere/latest.json"]) == 3
    assert "plain Python loop says rule 7 about loan 1" in capsys.readouterr().err
    assert not Path("nowhere").exists()


def test_a_part_of_the_results_leaves_the_others_alone(tmp_path: Path) -> None:
    """Whichever benchmark runs last, the other's results are still there; a broken file is begun anew."""
    out = tmp_path / "out" / "latest.json"
    keep("sweep", [1], out)
    keep("matching", {"polars_ratio": 1.0}, out)
    keep("sweep", [2], out)
    assert json.loads(out.read_text()) == {"sweep": [2], "matching": {"polars_ratio": 1.0}}
    out.write_text("not JSON")
    keep("sweep", [3], out)
    assert json.loads(out.read_text()) == {"sweep": [3]}
