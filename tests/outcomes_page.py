"""The page of outcomes, written from the catalogue: `python -m tests.outcomes_page` writes docs/outcomes.md."""

from collections.abc import Iterator
from typing import Final

from tests.pages import ROOT
from workflows.desk.outcome_file import Catalogue, Outcome, outcomes

PAGE: Final = ROOT / "docs" / "outcomes.md"
_HEAD: Final = """\
# Outcomes

<!-- Written from the catalogue by `python -m tests.outcomes_page`; edit workflows/desk/outcomes.yaml instead. -->

What can be reported of a task with `duecourse tasks outcome`. `duecourse tasks outcomes` lists the same.

- **Logged as**: the word in the contact log, which `counts:` of rules and limits of packs name.
- **Counts as**: which limits count it, in the packs' words; `contact` where only limits on every contact do, `nothing` where none does.
- **Then**: what else is written down at once.
- **Changes**: the [facts](facts.md) that read otherwise afterwards; facts of your own that count contacts may, too.
"""
_TITLES: Final = {"call": "Calls", "visit": "Visits", "letter": "Letters", "legal": "Legal steps"}
_THEN: Final = {
    "promise": "a promise; one that is open is withdrawn. The event `promise_made`",
    "call_back": "a call-back in the same queue, and a consent to be called that day",
    "wrong_person": "the number is not used again; notices sent to it are void",
    "bad_endpoint": "the number or address is not used again; notices sent to it are void",
    "dispute": "a hold on this debt, to be reviewed within 30 days. The event `dispute`",
    "served": "the notice in it counts, from the day that the packs deem it served",
    "give_back": "it is free for others",
}
_BECOMES: Final = {"delivered": "", "failed": "the task failed", "cancelled": "the task is cancelled", "sent": ""}


def page(known: Catalogue) -> str:
    """The whole page."""
    return _HEAD + "".join(_sections(known))


def _sections(known: Catalogue) -> Iterator[str]:
    for channel, found in known.items():
        rows = "".join(_row(name, outcome) for name, outcome in found.items())
        head = "| outcome | meaning | logged as | counts as | then | changes |\n| --- | --- | --- | --- | --- | --- |"
        yield f"\n## {_TITLES[channel]}\n\n{head}\n{rows}"


def _row(name: str, outcome: Outcome) -> str:
    then = "; ".join(filter(None, (_BECOMES[outcome.status], _THEN[outcome.effect] if outcome.effect else "")))
    logged = f"`{outcome.logged}`" if outcome.logged else ""
    facts = ", ".join(f"`{fact}`" for fact in outcome.facts)
    return f"| `{name}` | {outcome.en} {outcome.zh} | {logged} | {outcome.counts} | {then} | {facts} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(outcomes()), encoding="utf-8")
