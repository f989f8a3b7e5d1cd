"""The catalogue of outcomes is read whole, and what contradicts itself or the packs is refused at its place."""

import pytest

from engine.errors import RuleError
from workflows.desk.outcome_file import TASKS, outcomes, read_outcomes

GOOD = "{logged: no_answer, becomes: delivered, counts: unanswered, en: No., zh: 无。}"


def catalogue(outcome: str) -> str:
    """A catalogue with this as its one outcome of calls."""
    rest = "".join(f"{channel}: {{}}\n" for channel in TASKS if channel != "call")
    return f"call:\n  one: {outcome}\n{rest}"


def test_a_good_one_is_read() -> None:
    """What is written is what is meant."""
    (one,) = read_outcomes(catalogue(GOOD), "o.yaml")["call"].values()
    assert (one.logged, one.status, one.effect, one.counts, one.en) == (
        "no_answer", "delivered", None, "unanswered", "No.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ((GOOD, "x"), "o.yaml:2:8: outcome `one` is not a table"),
        (("counts", "count"), "o.yaml:2:48: unknown key of outcome `one` `count`"),
        (("no_answer", "no_reply"), "o.yaml:2:8: unknown logged word `no_reply`"),
        (("no_answer", "voicemail"), "o.yaml:2:8: `voicemail` does not count as unanswered"),
        (("counts: unanswered", "counts: nothing"), "o.yaml:2:8: limits would count `no_answer`"),
        (("delivered", "sent"), "o.yaml:2:8: only what is given back is `sent` again"),
        (("delivered", "done"), "o.yaml:2:37: unknown end `done`"),
        (("zh: 无。", "follows: magic, zh: 无。"), "o.yaml:2:86: unknown effect `magic`"),
        ((", en: No.", ""), "o.yaml:2:8: outcome `one` has no `en`"),
    ],
)
def test_what_contradicts_itself_is_refused(change: tuple[str, str], what: str) -> None:
    """A word that limits count by, an end, an effect: each is a known one, and they agree with each other."""
    with pytest.raises(RuleError) as refused:
        read_outcomes(catalogue(GOOD).replace(*change), "o.yaml")
    assert what in str(refused.value)


def test_every_channel_can_give_a_task_back() -> None:
    """`not_tried` counts for nothing, everywhere."""
    assert {found["not_tried"].counts for found in outcomes().values()} == {"nothing"}
