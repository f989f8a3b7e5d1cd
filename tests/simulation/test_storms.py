"""Days in which everything fails, checked; and mistakes made in the product on purpose, which the checker finds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.checker import check, fingerprint
from tests.simulation.mistakes import MISTAKES
from tests.simulation.storm import Survived, weather_storm
from tests.simulation.weather import Weather

ROUGH = Weather(
    kill=1 / 800, error=1 / 1000, clock=1 / 1000, intruder=1 / 200, providers=1.0, late=0.5, share_max=0.4
)  # fmt: skip
"""More trouble in a few days than there is in years."""


def found(survived: Survived) -> list[str]:
    """Everything that is wrong with a run."""
    violations = check(survived.database, survived.handed, survived.workspace, survived.told)
    return [str(one) for one in (*survived.broke, *violations)]


def test_two_rough_days_without_a_violation(tmp_path: Path) -> None:
    """Machines die, databases err, providers lie and people act at the worst moment: no invariant is violated."""
    survived = weather_storm(tmp_path, days=2, seed=1, weather=ROUGH)
    assert found(survived) == []
    assert survived.handed
    assert {"kill", "error", "intruder", "dispatch"} <= set(survived.struck), "the weather was not rough"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 9))
def test_thirty_days_without_a_violation(seed: int, tmp_path: Path) -> None:
    """The same for longer; hundreds of them: `make sim RUNS=500`."""
    assert found(weather_storm(tmp_path, days=30, seed=seed)) == [], f"again: make sim SEED={seed} DAYS=30"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, tmp_path: Path) -> None:
    """Whatever is taken out of what keeps people safe, a few rough days show it."""
    mistake = MISTAKES[name]
    # Twenty: the rarest of them, a worker that dies while the provider has its message and what is sent again in time, shows in one of four.
    for seed in range(1, 21):
        with mistake.made():
            told = found(weather_storm(tmp_path / str(seed), days=4, seed=seed, weather=mistake.weather))
        if any(line.startswith(f"[{mistake.invariant}]") and mistake.says in line for line in told):
            return
    pytest.fail(f"nobody noticed in twenty storms: {name}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    """Two storms from one seed end alike, to the last byte, in processes whose hashes differ."""
    stories = []
    for salt in ("1", "2"):
        folder = tmp_path / salt
        code = f"from pathlib import Path; from tests.simulation.storm import weather_storm; weather_storm(Path({str(folder)!r}), days=4, seed=3)"
        subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": salt, "PYTHONPATH": "."})
        stories.append(fingerprint(folder / "demo" / "data" / "duecourse.db"))
    assert stories[0] == stories[1]
