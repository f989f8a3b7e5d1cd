"""The differential run: silent when the targets agree, exact when they do not."""

from dataclasses import replace

import pytest

from benchmarks import differential
from engine import interpreter
from engine.tree import FactValue, Leaf


def test_targets_that_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """A few thousand pairs, and the exit code of a yes."""
    assert differential.main(["--pairs", "5000", "--seed", "11"]) == 0
    assert "0 differences" in capsys.readouterr().out


def test_a_planted_difference_is_found_and_made_small(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interpreter that forgets the edge of `<=` is caught, with one comparison and one fact to show for it."""

    right = interpreter._compare

    def wrong(leaf: Leaf, seen: FactValue) -> bool | None:
        return right(replace(leaf, op="<") if leaf.op == "<=" else leaf, seen)

    monkeypatch.setattr(interpreter, "_compare", wrong)
    assert differential.main(["--pairs", "500000", "--seed", "1"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a difference (seed 1)"
    assert lines[1].count("<=") + lines[1].count(">") == 1
    assert lines[2].count("'") == 2
    assert lines[3:] == [
        "  interpreter: false", "  durable-rules: true", "  sweep number: true", "  generated SQL: true", "  the text as SQL: true",
    ]  # fmt: skip
