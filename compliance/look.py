"""One ask as the limits look at it: clocks found, contacts sorted by which limit counts them."""

from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain
from typing import Final

from compliance.calendars import Dates, calendar
from compliance.clock import DAY, HOUR, ZoneClock
from compliance.pack import KNOWN_OUTCOMES, MISDIRECTED, NEVER_WAS, PENDING, Selector
from engine.gate import Ask, PastContact, Statement
from engine.tree import FactValue

Judge = Callable[["Look", int], int]
"""
A limit, ready to be asked: the given instant when it has nothing against it; else a later one before which
nothing can pass; NEVER when it blocks with no scheduled end.
"""

Instants = list[int]
Found = list[list[Instants]]

_ONCE: Final = (0,)
_EVER: Final = 1 << 62
_Apart = Callable[[PastContact, Ask, int], bool]
"""Whether a contact of the right sort is none that counts after all, as of an instant."""
_Hit = tuple[int, bool, bool, bool, _Apart | None]
"""Which selector; whether it tells debts apart, takes in everybody's contacts, or whoever's at the same endpoint."""
_EVERY_DEBT: Final[tuple[frozenset[int], ...]] = (frozenset(),)


class Look:
    """
    An ask made ready for its limits.

    Attributes:
        now: the instant asked about, in microseconds.
        events: per selector, per asked debt (one list where debts do not matter): instants that count.
        beside: the same of contacts with other people, which no consent of this person excuses; None: there are none.
        holidays: public holidays at the addressee's place, as day numbers; None is unknown.
    """

    __slots__ = ("ask", "beside", "clocks", "events", "holidays", "now")

    def __init__(self, ask: Ask, clocks: tuple[ZoneClock, ...], now: int, selectors: "Selectors") -> None:
        self.ask = ask
        self.clocks = clocks
        self.now = now
        self.holidays = _holidays(ask)
        self.events, self.beside = selectors.sort(ask, now)

    def flag(self, name: str) -> FactValue:
        """A fact about the planned contact, else about the loan, else a mark of the endpoint; None is unknown."""
        ask = self.ask
        value = ask.content.get(name)
        if value is None:
            value = ask.facts.get(name)
        if value is None and ask.endpoint is not None and name in ask.endpoint.marks:
            return True
        return value

    @property
    def place(self) -> str | None:
        """Home or work, where the contact or its endpoint is tied to one."""
        ask = self.ask
        return ask.place or (ask.endpoint.place if ask.endpoint is not None else None)

    def may_reply(self) -> bool:
        """Whether a message of theirs on this channel still waits for its one answer."""
        return self.unanswered() is not None

    def unanswered(self) -> int | None:
        """When they wrote the message on this channel that still waits for its one answer; None: there is none."""
        ask = self.ask
        theirs = ours = None
        for contact in ask.history:
            # Also what lies ahead: an answer already planned uses up the permit of the message it answers.
            if contact.person != ask.person or contact.channel != ask.channel:
                continue
            if contact.direction == "in":
                theirs = max(contact.at_us, theirs or contact.at_us)
            elif contact.outcome not in NEVER_WAS and (contact.id is None or contact.id != ask.own_id):
                ours = max(contact.at_us, ours or contact.at_us)
        return None if theirs is None or (ours is not None and ours >= theirs) else theirs


def _holidays(ask: Ask) -> Container[int] | None:
    known = calendar(ask.jurisdictions)
    return Dates(known or (), ask.holidays) if ask.holidays else known


def refuses(statement: Statement, ask: Ask) -> bool:
    """Whether what a person refuses covers the ask; what is unknown about the ask is covered."""
    return (
        (not statement.channels or ask.channel is None or ask.channel in statement.channels)
        and (statement.endpoint is None or ask.endpoint is None or ask.endpoint.id == statement.endpoint)
        and (not statement.debts or not ask.debts or not set(statement.debts).isdisjoint(ask.debts))
        and (not statement.purposes or ask.purpose in statement.purposes)
    )


def permits(statement: Statement, ask: Ask) -> bool:
    """Whether what a person agrees to covers the ask whole; what is unknown about the ask is not covered."""
    return (
        (not statement.channels or ask.channel in statement.channels)
        and (statement.endpoint is None or (ask.endpoint is not None and ask.endpoint.id == statement.endpoint))
        and (not statement.debts or (bool(ask.debts) and set(ask.debts) <= set(statement.debts)))
        and (not statement.purposes or ask.purpose in statement.purposes)
    )


def given_directly(statement: Statement, ask: Ask) -> bool:
    """Whether it was said to whoever would make the contact, not to a creditor or collector before them."""
    if ask.actor == "first_party":
        return statement.given_to in {ask.by, "lender"}
    return statement.given_to in {ask.by, "collector"} - {"lender"}


def debt_keys(ask: Ask) -> tuple[frozenset[int], ...]:
    """Per asked debt, the debts that count as the same one; an empty set stands for "every debt"."""
    if not ask.debts:
        return _EVERY_DEBT
    if not ask.debt_groups:
        return tuple(frozenset((debt,)) for debt in ask.debts)
    accounts: dict[str, set[int]] = {}
    for debt, account in ask.debt_groups.items():
        accounts.setdefault(account, set()).add(debt)
    keys = (accounts.get(ask.debt_groups.get(debt, ""), set()) | {debt} for debt in ask.debts)
    return tuple(dict.fromkeys(frozenset(key) for key in keys))


class Selectors:
    """
    Sorts an ask's history into what each counting limit counts, in one pass.

    Args:
        selectors: with how long before the ask a contact can still count, in microseconds; None: ever.
    """

    __slots__ = ("_by_debt", "_hits", "_reaches", "_selectors")

    def __init__(self, selectors: Iterable[tuple[Selector, int | None]]) -> None:
        given = tuple(selectors)
        self._selectors = tuple(selector for selector, _ in given)
        self._reaches = tuple(_EVER if reach is None else reach for _, reach in given)
        self._by_debt = tuple("debt" in selector.same for selector in self._selectors)
        self._hits: dict[tuple[str, str, str, str], tuple[_Hit, ...]] = {}

    def sort(self, ask: Ask, now: int) -> tuple[Found, Found | None]:
        """
        Per selector, per asked debt: the instants of the contacts that can count from now on, in the history's order.

        Returns:
            those with the person asked about, and those with others where there are any.
        """
        if not (ask.history or ask.shared) or not self._selectors:
            return [[] for _ in self._selectors], None
        keys = debt_keys(ask)
        found = self._nothing(len(keys))
        beside: Found | None = None
        person, own, hits_of = ask.person, ask.own_id, self._hits
        endpoint = ask.endpoint.id if ask.endpoint is not None else None
        oldest = [now - reach for reach in self._reaches]
        debts_before: tuple[int, ...] | None = None
        about: Sequence[int] = ()
        for contact in chain(ask.history, ask.shared) if ask.shared else ask.history:
            kind = (contact.direction, contact.channel, contact.outcome, contact.purpose)
            hits = hits_of.get(kind)
            if hits is None:
                hits = self._learn(contact, kind)
            if not hits or contact.misdirected:
                continue
            if own is not None and contact.id == own:
                continue
            if contact.person == person:
                into = found
            else:
                hits = _with_others(hits, contact, endpoint)
                if not hits:
                    continue
                if beside is None:
                    beside = self._nothing(len(keys))
                into = beside
            debts = contact.debts
            if debts != debts_before:
                about = [n for n, key in enumerate(keys) if not debts or not key or not key.isdisjoint(debts)]
                debts_before = debts
            at = contact.at_us
            for index, by_debt, _, _, apart in hits:
                if at > oldest[index] and (apart is None or not apart(contact, ask, now)):
                    lists = into[index]
                    for n in about if by_debt else _ONCE:
                        lists[n].append(at)
        return found, beside

    def _nothing(self, debts: int) -> Found:
        return [[[] for _ in range(debts)] if by_debt else [[]] for by_debt in self._by_debt]

    def _learn(self, contact: PastContact, kind: tuple[str, str, str, str]) -> tuple[_Hit, ...]:
        if len(self._hits) > 10_000:
            # Outcomes come from outside: whoever invents a new one each time must not fill our memory.
            self._hits.clear()
        hits = tuple(
            (index, "debt" in selector.same, selector.any_person, "endpoint" in selector.same, _apart(selector))
            for index, selector in enumerate(self._selectors)
            if _counts(selector, contact)
        )
        self._hits[kind] = hits
        return hits


def _with_others(hits: tuple[_Hit, ...], contact: PastContact, endpoint: int | None) -> tuple[_Hit, ...]:
    """The selectors that count another person's contact: who is of no matter, or it went to the number they share."""
    # A number that is unknown may be the same one for one person; that two people share one must be known.
    there = endpoint is not None and contact.endpoint == endpoint
    return tuple(hit for hit in hits if hit[2] or (hit[3] and there))


def _apart(selector: Selector) -> _Apart | None:
    """What tells contacts of one sort apart for a selector; what is unknown on either side may be the same."""
    same, where, except_where, since = selector.same, selector.where, selector.except_where, selector.since
    tests: list[_Apart] = []
    if "endpoint" in same:
        tests.append(
            lambda contact, ask, _now: ask.endpoint is not None and contact.endpoint not in {None, ask.endpoint.id}
        )
    if "actor" in same:
        tests.append(lambda contact, ask, _now: bool(contact.by) and contact.by != ask.by)
    if where:
        tests.append(lambda contact, _ask, _now: contact.place is not None and contact.place not in where)
    if except_where:
        tests.append(lambda contact, _ask, _now: contact.place in except_where)
    if since is not None:
        tests.append(lambda contact, ask, now: _is_before(contact, ask.facts.get(since), now))
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda contact, ask, now: any(test(contact, ask, now) for test in tests)


def _is_before(contact: PastContact, days: FactValue, now: int) -> bool:
    """Whether it was before the event of so many days ago; where that is not known, nothing was."""
    # The event's date began less than a day, and an hour where the clocks changed, before as many days ago.
    return type(days) is int and contact.at_us < now - (days + 1) * DAY - HOUR


def _counts(selector: Selector, contact: PastContact) -> bool:
    outcome = contact.outcome
    if outcome in NEVER_WAS or outcome in MISDIRECTED or contact.direction not in selector.directions:
        return False
    if selector.channels and contact.channel not in selector.channels:
        return False
    if selector.purposes and contact.purpose not in selector.purposes:
        return False
    if contact.purpose in selector.except_purposes or outcome in selector.except_outcomes:
        return False
    if not selector.outcomes or outcome in selector.outcomes:
        return True
    # What is not over, or what nobody can read, may turn out to be one that counts; so may a task that an
    # agent has in hand, which is `sent` until its outcome comes back.
    in_hand = outcome == "sent" and contact.channel in {"call", "visit"}
    return in_hand or outcome in PENDING or outcome not in KNOWN_OUTCOMES
