"""Rules that set days, as files: what they say, and what is refused with what words."""

import pytest

from compliance import read_pack
from compliance.dated import Deadline, Length, Mark, Service
from engine.errors import RuleError

HEAD = """\
pack: house.mine
title: {en: Mine, zh: 我的}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2026-01-01
review_on: 2027-01-01
rules:
  - id: house.mine.one
    says: {en: It., zh: 它。}
    citation: House policy
"""
DEADLINE = ("kind: deadline", "starts: {hold: [dispute], forms: [written]}", "within: 10 business days", "done_by: end",
            "owner: care", "escalates: 2 days before")  # fmt: skip


def read(*lines: str):
    return read_pack(HEAD + "".join(f"    {line}\n" for line in lines), "mine.yaml").rules[0].limit


def refused(*lines: str) -> str:
    with pytest.raises(RuleError) as refusal:
        read(*lines)
    return str(refusal.value)


def test_a_deadline_says_what_starts_it_how_long_it_takes_and_whose_it_is() -> None:
    """Word for word, outcomes expanded."""
    assert read(*DEADLINE) == Deadline(
        Mark("hold", frozenset({"dispute"}), forms=frozenset({"written"})), Length("business days", 10), Mark("end"), "care", 2
    )  # fmt: skip
    heard = read(
        "kind: deadline", "starts: {contact: [call], outcomes: [nobody_met, sent]}", "within: 2 weeks",
        "done_by: {notice: [visit_notice]}", "owner: care", "escalates: 1 week before",
    )  # fmt: skip
    assert heard.starts.outcomes == {"nobody_met", "nobody_contacted", "moved_away", "sent"}
    assert (heard.within, heard.lead_days) == (Length("days", 14), 7)


def test_business_days_are_those_of_the_calendar_that_is_named() -> None:
    """Left out, those of the place where the person is."""
    assert read("kind: service", "after: 5 business days", "calendar: [US]") == Service(
        Length("business days", 5, ("US",))
    )
    assert read("kind: service", "after: 5 business days") == Service(Length("business days", 5))


def without(key: str | tuple[str, ...], *more: str) -> tuple[str, ...]:
    return (*(line for line in DEADLINE if not line.startswith(key)), *more)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            without("starts"),
            "mine.yaml:10:5: rule 1 has no `starts`\n  mend: write `starts: {hold: [dispute]}`",
        ),
        (
            without("within"),
            "mine.yaml:10:5: rule 1 has no `within`\n  mend: write `within: 10 business days`",
        ),
        (
            without("within", "within: soon"),
            "mine.yaml:18:13: `within` of rule 1 is not a length of time\n  mend: write `within: 10 business days`",
        ),
        (
            without("owner"),
            "mine.yaml:10:5: rule 1 has no `owner`\n  mend: write who sees to it: `owner: compliance`",
        ),
        (
            without("escalates"),
            "mine.yaml:10:5: rule 1 does not say when it escalates\n  mend: write `escalates: 2 days before`",
        ),
        (
            without("escalates", "escalates: 0 days before"),
            "mine.yaml:18:16: `escalates` of rule 1 is not a number of days before\n  mend: write `escalates: 2 days before`",
        ),
        (
            (*DEADLINE, "purposes: [collect]"),
            "mine.yaml:19:5: `purposes` means nothing in a rule that sets a day\n  mend: delete `purposes`",
        ),
        (
            (*DEADLINE, "channels: [sms]"),
            "mine.yaml:19:5: `channels` means nothing in a rule that sets a day\n  mend: delete `channels`",
        ),
        (
            (*DEADLINE, "max: 3"),
            ("mine.yaml:19:5: `max` means nothing in a limit of kind `deadline`\n  mend: a limit of kind `deadline` has"
            " `starts`, `within`, `calendar`, `done_by`, `owner`, `escalates`"),
        ),
        (
            without("starts", "starts: sunday"),
            "mine.yaml:18:13: unknown mark `sunday`\n  mend: use one of limitation, review, agency",
        ),
        (
            without("starts", "starts: {hold: [dispute], notice: [visit_notice]}"),
            ("mine.yaml:18:13: `starts` of rule 1 names not exactly one of contact, hold, statement, notice\n"
            "  mend: write one: `{hold: [dispute]}`"),
        ),
        (
            without("starts", "starts: {hold: [disput]}"),
            "mine.yaml:18:21: unknown kind of hold `disput`\n  mend: write `dispute`",
        ),
        (
            without(("starts", "done_by"), "starts: {statement: [opt_out], forms: [oral]}"),
            "mine.yaml:17:36: `forms` means nothing of a statement\n  mend: delete `forms`",
        ),
        (
            without(("starts", "done_by"), "starts: {contact: [sms]}"),
            ("mine.yaml:17:13: `starts` of rule 1 does not say which outcomes count\n"
            "  mend: write `outcomes: [conversation, delivered]`"),
        ),
        (
            without("starts", "starts: {statement: [opt_out]}"),
            "mine.yaml:15:14: a statement has no end\n  mend: start with a `hold`, or name what fulfils it",
        ),
        (
            without("starts", "starts: review"),
            ("mine.yaml:14:5: `within` means nothing here: the review is itself the last day\n  mend: delete `within`\n"
            "mine.yaml:16:12: a hold names its own owner\n  mend: delete `owner`"),
        ),
        (
            without("within", "within: 10 days", "calendar: [US]"),
            "mine.yaml:19:5: `calendar` is for business days only\n  mend: write `within: 10 business days`, or delete it",
        ),
        (
            ("kind: retention", "records: [letters]", "at_least: 3 years", "since: record"),
            ("mine.yaml:14:15: unknown kind of record `letters`\n  mend: use one of contacts, recordings, decisions, complaints,"
            " consents, file"),
        ),
        (
            ("kind: retention", "records: []", "at_least: 3 years", "since: record"),
            ("mine.yaml:10:5: rule 1 keeps nothing\n  mend: write `records: [contacts]`, or some of contacts, recordings,"
            " decisions, complaints, consents, file"),
        ),
        (
            ("kind: retention", "records: [file]", "at_least: 3 years"),
            "mine.yaml:10:5: rule 1 does not say since when\n  mend: write `since: last_activity`, `record`, `settlement`",
        ),
        (
            ("kind: retention", "records: [file]", "at_least: 3 years", "at_most: 35 months", "since: record"),
            ("mine.yaml:16:5: `at_most` is shorter than `at_least`\n  mend: write a longer one, or leave it out"),
        ),
        (
            ("kind: service", "after: 5 hours"),
            "mine.yaml:14:12: `after` of rule 1 is not a length of time\n  mend: write `after: 10 business days`",
        ),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(lines: tuple[str, ...], message: str) -> None:
    """With its place and its mend, whole."""
    assert refused(*lines) == message
