"""What a pack says, once read: who it binds, and its rules, each one limit or one length of time, with its source."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal

from compliance.dated import Dated
from compliance.timetable import Timetable
from engine.errors import Place
from engine.gate import Override
from engine.source import Table
from engine.tree import Condition

ACTORS: Final = ("first_party", "agency", "debt_buyer", "law_firm")
STATUSES: Final = ("law", "presumption", "guidance", "draft", "house")
PROVENANCES: Final = ("verified", "secondary", "unverified")
EVERYWHERE: Final = "everywhere"
ANY: Final = "any"

_TALKS: Final = frozenset({"conversation", "promise", "refused", "dispute"})
OUTCOMES: Final[Mapping[str, frozenset[str]]] = {
    "conversation": _TALKS | {"heard"},
    "answered": _TALKS | {"heard", "answered", "answered_then_dropped", "dropped"},
    "unanswered": frozenset({"no_answer", "busy", "voicemail_box_full", "mailbox_full", "no_way_to_leave_message"}),
    "voicemail_left": frozenset({"voicemail", "voicemail_limited_content"}),
    "met": _TALKS | {"met"},
    "nobody_met": frozenset({"nobody_met", "nobody_contacted", "moved_away"}),
}
"""
Outcomes that a rule names by one word; a talk that ended in a promise, a refusal or a dispute is a conversation, and for
a limit so is a recorded call that somebody heard out: who knows what was said?
"""

MISDIRECTED: Final = frozenset({"wrong_number", "wrong_person"})
"""It was somebody else: counts for nothing (comment 14(b)(2)(i)-3 to Regulation F)."""
KNOWN_OUTCOMES: Final = frozenset(
    {"not_in_service", "sent", "delivered", "received", "failed", "bounced", "posted", "returned", "filed", "withdrawn"}
).union({"done", "left_notice"}, MISDIRECTED, *OUTCOMES.values())
"""Every outcome anybody here writes; a rule may name no other, and another one in a history counts as if it fitted."""
PENDING: Final = frozenset({"planned", "claimed", "sending", "unknown"})
"""Not over yet, or in doubt: they may turn out to be a contact, so they count like one."""
NEVER_WAS: Final = frozenset({"cancelled", "expired"})
"""Planned once and never made: they count for nothing."""


@dataclass(frozen=True, slots=True)
class Scope:
    """
    Which asks a rule is about. Empty sets and None mean any.

    Attributes:
        except_purposes: `reply` here is good for one answer on the channel the person wrote on, no more.
        reply_dates_max: the answer is excused on this many dates only, that of their message being the first; None: always.
        where, except_where: home or work, where the contact or its endpoint is tied to one.
        given: facts about the planned contact, its endpoint or the loan that must have this value.
        actors: of those whom the pack binds.
    """

    acts: frozenset[str] = frozenset({"contact"})
    channels: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    except_purposes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    except_roles: frozenset[str] = frozenset()
    where: frozenset[str] = frozenset()
    except_where: frozenset[str] = frozenset()
    given: Mapping[str, bool | int | str] = field(default_factory=dict)
    actors: frozenset[str] = frozenset()
    reply_dates_max: int | None = None


@dataclass(frozen=True, slots=True)
class Lift:
    """
    A consent that lifts a limit while it lasts.

    Attributes:
        scope: what was consented to, e.g. contact_time or call_frequency.
        directly: only consent given to whoever would make the contact serves.
        dates_max: good for this many calendar dates, the date of receipt being the first; None: until it ends.
        once: used up by the next conversation about the debt.
    """

    scope: str
    directly: bool = False
    dates_max: int | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class Selector:
    """
    Which past contacts count. Empty sets mean any; contacts not over yet count, those never made do not.

    Attributes:
        outcomes: expanded; an outcome nobody knows counts as well.
        same: beside the person: debt, endpoint, actor (whoever makes the contact; else lender and agencies together).
        any_person: whoever was contacted, not only the person asked about: spouse, guarantor, co-borrower.
        where, except_where: home, work or elsewhere, as far as it is known where the contact went.
        since: a fact that counts the days since an event, e.g. days_in_stage; earlier contacts do not count. None: all do.
    """

    channels: frozenset[str] = frozenset()
    directions: frozenset[str] = frozenset({"out"})
    outcomes: frozenset[str] = frozenset()
    except_outcomes: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    except_purposes: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    any_person: bool = False
    where: frozenset[str] = frozenset()
    except_where: frozenset[str] = frozenset()
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """
    A window of time to count in.

    `dates`: n consecutive local dates, today included; `hours`: n rolling hours; `weeks`, `months`:
    n calendar weeks (from Monday) or months, this one included; `ever`: since always.
    """

    unit: Literal["dates", "hours", "weeks", "months", "ever"]
    n: int = 1


@dataclass(frozen=True, slots=True)
class Hours:
    """Open hours at the addressee's place, in every zone they may be in."""

    table: Timetable
    lifted_by: Lift | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """At most `max` contacts in each of the spans, the asked one included."""

    max: int
    spans: tuple[Span, ...]
    counts: Selector
    lifted_by: Lift | None = None


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Closed for a span after certain contacts; with dates, the date of the contact is the first."""

    after: Selector
    span: Span
    lifted_by: Lift | None = None


@dataclass(frozen=True, slots=True)
class Statements:
    """
    Kinds of statement that are honoured: refusals at every grain, inconvenient times and places.

    Attributes:
        as_one: channels of which a refusal closes all, whatever number, debt or purpose it names.
        oral_dates_max: an oral one is honoured on so many dates, that of its being said the first; None: always.
        hours_a_week_max, channels_max: of what people close only so much, in the order in which it was said; the one
            that goes beyond and all after it are not honoured by this rule. None: everything.
    """

    honours: frozenset[str]
    lifted_by: Lift | None = None
    as_one: frozenset[str] = frozenset()
    oral_dates_max: int | None = None
    hours_a_week_max: int | None = None
    channels_max: int | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """
    A basis the endpoint must have, or a consent of this scope on file.

    Attributes:
        basis: ways of having come to use the endpoint that serve.
        renewed_within_days: how old the basis, or the consent, may be; None: any age.
    """

    basis: frozenset[str]
    scope: str
    directly: bool = False
    renewed_within_days: int | None = None


@dataclass(frozen=True, slots=True)
class Holds:
    """Kinds of hold that forbid the act while they last."""

    kinds: frozenset[str]
    forms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Also:
    """
    A further role that may be addressed, on conditions.

    Attributes:
        given: facts that must have this value; unknown is not enough.
        unreachable_attempts: or, instead of `given`: this many attempts in a row to reach the debtor failed,
            the last of them on an earlier date.
        unreachable_dates: or: attempts failed on this many dates in a row, the last of them an earlier one.
    """

    roles: frozenset[str]
    purposes: frozenset[str] = frozenset()
    given: Mapping[str, bool | int | str] = field(default_factory=dict)
    unreachable_attempts: int | None = None
    unreachable_dates: int | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    """Who may be addressed at all."""

    roles: frozenset[str]
    also: tuple[Also, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What a message, call or visit must carry, must not, and how many of something it needs; unsaid is satisfied."""

    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    at_least: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Element:
    """
    Something that a text says, by the phrases that say it.

    Attributes:
        name: the fact about a message that it makes known to every limit, e.g. opt_out_notice.
        phrases: by language; `any` serves in every one. How a phrase is found: `compliance.phrases`.
    """

    name: str
    phrases: Mapping[str, tuple[str, ...]]

    def in_language(self, language: str) -> tuple[str, ...]:
        """The phrases by which a text in that language says it."""
        return self.phrases.get(ANY, ()) + self.phrases.get(language, ())

    def in_all(self) -> tuple[str, ...]:
        """Every phrase: what must not be said must not be said in another language either."""
        return tuple(phrase for phrases in self.phrases.values() for phrase in phrases)


@dataclass(frozen=True, slots=True)
class Wording:
    """
    What a text must say and must not, whoever wrote it.

    Attributes:
        before_due: only as long as nothing is overdue, or it is not known.
    """

    requires: tuple[Element, ...] = ()
    forbids: tuple[Element, ...] = ()
    before_due: bool = False


@dataclass(frozen=True, slots=True)
class Duty:
    """A notice that must have been in force for some days before the act; `to` narrows stage moves by target."""

    notice: str
    in_force_days: int
    to: frozenset[str] = frozenset()


Limit = Hours | Count | Cooldown | Statements | Consent | Holds | Addressee | Content | Wording | Duty


@dataclass(frozen=True, slots=True)
class Reach:
    """
    Where, whom and which loans a pack, or the law that a house rule tightens, binds.

    Attributes as those of `Pack`.
    """

    places: frozenset[str]
    actors: frozenset[str]
    products: frozenset[str]
    when: Condition | None

    def holds_in(self, countries: Collection[str]) -> bool:
        """Whether it can hold somewhere in one of these countries, e.g. US; none of them: somewhere at all."""
        return not countries or any(
            place == EVERYWHERE or place.partition("-")[0] in countries for place in self.places
        )

    def binds(self, actor: str, jurisdictions: tuple[str, ...], product: str | None) -> bool:
        """Whether it holds for this actor, these places and this product; its condition aside."""
        return (
            actor in self.actors
            and (EVERYWHERE in self.places or not self.places.isdisjoint(jurisdictions))
            and (not self.products or product is None or product in self.products)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One limit of one pack, or the days that it sets, which limit nothing by themselves.

    Attributes:
        start, end: first and last local date on which it is in force; no `end`: until further notice.
        review_on: when somebody must have read the source again.
        when: a condition over facts; unless it is known to be false, the rule binds.
        waived_to: in force, but by order of the authority not applied up to and with this date.
        binding: false for a draft that is shown and not followed.
        replaces: the rule of the same pack that it takes the place of from its first day on.
        tightens: the rule of law that a house rule is stricter than; empty: it stands on its own.
        reach: where that law binds; the house rule binds there only.
        source: the rule as it is written.
        override_grounds: of a presumption, the grounds on which people may set it aside for one contact.
    """

    id: str
    status: str
    provenance: str
    start: date
    end: date | None
    citation: str
    review_on: date
    says_en: str
    says_zh: str
    scope: Scope
    limit: Limit | Dated
    at: Place
    when: Condition | None = None
    waived_to: date | None = None
    binding: bool = True
    replaces: str = ""
    tightens: str = ""
    reach: Reach | None = None
    source: Table | None = field(default=None, repr=False)
    override_grounds: frozenset[str] = frozenset()

    @property
    def binds_from(self) -> date:
        """The first date on which it binds: its first day, or the day after its waiver."""
        return self.start if self.waived_to is None else max(self.start, self.waived_to + timedelta(days=1))

    def in_force(self, on: date) -> bool:
        """Whether it binds on a date."""
        return self.binding and self.binds_from <= on and (self.end is None or on <= self.end)

    def is_stale(self, on: date) -> bool:
        """Whether somebody should have read the source again before that date."""
        return self.review_on < on

    def yields_to(self, override: Override | None) -> bool:
        """Whether people have set it aside: it only presumes, and knows the ground."""
        return (
            override is not None
            and override.rule == self.id
            and self.status == "presumption"
            and override.ground in self.override_grounds
        )


@dataclass(frozen=True, slots=True)
class Pack:
    """
    Law or house policy as dated data.

    Attributes:
        places: jurisdictions it holds in, e.g. US, US-MA; `everywhere` for a house pack.
        actors: whom it binds.
        products: kinds of loan; empty means all. A loan of unknown product is bound.
        when: a condition over facts; unless it is known to be false, the pack binds.
        digest: SHA-256 of its content, layout and comments aside.
        text: the file, as it was read.
    """

    id: str
    title_en: str
    title_zh: str
    places: frozenset[str]
    actors: frozenset[str]
    products: frozenset[str]
    when: Condition | None
    rules: tuple[Rule, ...]
    digest: str
    file: str
    text: str = field(default="", repr=False)

    @property
    def is_house(self) -> bool:
        """Whether this is the lender's own policy, not law."""
        return self.id.startswith("house.")

    @property
    def reach(self) -> Reach:
        """Where, whom and which loans it binds."""
        return Reach(self.places, self.actors, self.products, self.when)
