"""What people said about being contacted: refusals and closed times honoured, consents needed, limits lifted."""

from functools import lru_cache
from typing import Final

from compliance.clock import DAY, date_of
from compliance.look import Judge, Look, given_directly, permits, refuses
from compliance.pack import OUTCOMES, Consent, Lift, Statements
from compliance.refusals import REFUSALS, beyond_budget, lapses, stands, taken_back, widened
from compliance.timetable import DAY_MINUTES, NEVER, Timetable, Window, next_open
from engine.gate import Ask, LocalWindow, Statement

HONOURED: Final = REFUSALS | {"inconvenient_time", "inconvenient_place", "no_work_contact"}
CONSENT_SCOPES: Final = frozenset({"call_frequency", "contact_time", "electronic", "prerecorded"})

_WHOLE_DAY: Final[tuple[LocalWindow, ...]] = (LocalWindow(0, DAY_MINUTES),)


def statements_judge(limit: Statements) -> Judge:
    """Closed by every statement of an honoured kind that stands, covers the ask, and was not taken back."""

    def judge(look: Look, at: int) -> int:
        until = at
        beyond = beyond_budget(look.ask, limit, at)
        for said in look.ask.statements:
            if said.kind not in limit.honours or not stands(said, at) or said in beyond:
                continue
            statement = widened(said, limit.as_one) if limit.as_one else said
            reopens = _closed_until(look, statement, at)
            if reopens > at:
                # A statement that lapses closes nothing from then on.
                until = max(until, min(reopens, lapses(look, limit, statement, at)))
        return until

    return lifting(judge, limit.lifted_by)


def consent_judge(limit: Consent) -> Judge:
    """Open only with a fresh basis for the endpoint, or a fresh consent of the scope that covers the ask."""
    age_max = None if limit.renewed_within_days is None else limit.renewed_within_days * DAY

    def judge(look: Look, at: int) -> int:
        endpoint = look.ask.endpoint
        if endpoint is not None and endpoint.basis in limit.basis:
            renewed = endpoint.basis_us
            if age_max is None or (renewed is not None and at - renewed < age_max):
                return at
        for statement in look.ask.statements:
            if (
                agreed(look.ask, statement, limit.scope, at, directly=limit.directly)
                and (age_max is None or at - statement.at_us < age_max)
                and _within(look, statement, at)
            ):
                return at
        return NEVER

    return judge


def lifting(judge: Judge, lift: Lift | None) -> Judge:
    """The same limit, but open while a consent lifts it."""
    if lift is None:
        return judge

    def lifted(look: Look, at: int) -> int:
        until = judge(look, at)
        if until == at or not look.ask.statements:
            return until
        return at if lifts(look, lift, at) else min(until, _next_lift(look, lift, at))

    return lifted


def lifts(look: Look, lift: Lift, at: int) -> bool:
    """Whether a consent lifts the limit at an instant."""
    return any(
        agreed(look.ask, statement, lift.scope, at, directly=lift.directly)
        and _lasts(look, lift, statement, at)
        and _within(look, statement, at)
        for statement in look.ask.statements
    )


def excused(look: Look, lift: Lift, instants: list[int]) -> list[int]:
    """The instants that count: those at which no consent lifted the limit."""
    if not look.ask.statements:
        return instants
    return [instant for instant in instants if not lifts(look, lift, instant)]


def _closed_until(look: Look, statement: Statement, at: int) -> int:
    """Until when the statement closes the ask, its own lapse aside; `at` when it does not."""
    ask, kind = look.ask, statement.kind
    if not refuses(statement, ask):
        return at
    if kind == "inconvenient_time":
        return max(next_open(windows_table(statement.windows, opens=False), clock, (), at) for clock in look.clocks)
    if kind == "inconvenient_place":
        hit = look.place is not None and statement.place in {None, look.place}
    elif kind == "no_work_contact":
        hit = look.place == "work"
    else:
        hit = is_refusal(statement, ask, recorded=look.flag("prerecorded") is True) and not taken_back(
            ask, statement, at
        )
    return NEVER if hit else at


def is_refusal(statement: Statement, ask: Ask, *, recorded: bool) -> bool:
    """Whether it refuses the channel asked about; `recorded`: a recording would be played."""
    if statement.kind not in REFUSALS:
        return False
    # An opt-out with a scope revokes that consent only; the electronic one covers texts and mail.
    if not statement.scope or statement.kind != "opt_out":
        return True
    if statement.scope == "electronic":
        return ask.channel in {"sms", "email"}
    return statement.scope == "prerecorded" and recorded


def agreed(ask: Ask, statement: Statement, scope: str, at: int, *, directly: bool) -> bool:
    """Whether it is a consent of that scope that covers the ask and was not taken back."""
    return (
        statement.kind == "consent"
        and statement.scope == scope
        and stands(statement, at)
        and permits(statement, ask)
        and (not directly or given_directly(statement, ask))
        and not any(
            later.at_us >= statement.at_us
            and stands(later, at)
            and later.kind in REFUSALS
            and later.scope in {"", scope}
            and refuses(later, ask)
            for later in ask.statements
        )
    )


def _lasts(look: Look, lift: Lift, statement: Statement, at: int) -> bool:
    """Whether the consent is not used up: by its number of dates, or by a conversation since."""
    if lift.dates_max is not None and any(
        clock.day(at) - clock.day(statement.at_us) >= lift.dates_max for clock in look.clocks
    ):
        return False
    return not lift.once or not any(
        contact.outcome in OUTCOMES["conversation"]
        and contact.person == look.ask.person
        and not contact.misdirected
        and statement.at_us < contact.at_us < at
        and (not contact.debts or not look.ask.debts or not set(contact.debts).isdisjoint(look.ask.debts))
        for contact in look.ask.history
    )


def _within(look: Look, statement: Statement, at: int) -> bool:
    """Whether the instant is on the dates and in the hours agreed to, in every zone."""
    if statement.only_on and any(date_of(clock.day(at)) not in statement.only_on for clock in look.clocks):
        return False
    if not statement.windows:
        return True
    table = windows_table(statement.windows, opens=True)
    return all(next_open(table, clock, (), at) == at for clock in look.clocks)


def _next_lift(look: Look, lift: Lift, at: int) -> int:
    """An instant after `at` before which no consent on file begins to lift the limit."""
    soonest = NEVER
    for statement in look.ask.statements:
        if not agreed(look.ask, statement, lift.scope, at, directly=lift.directly):
            continue
        for clock in look.clocks:
            for on in statement.only_on:
                day = (on - date_of(0)).days
                if day > clock.day(at):
                    soonest = min(soonest, clock.day_start(day, at))
            if statement.windows:
                opens = next_open(windows_table(statement.windows, opens=True), clock, (), at)
                soonest = min(soonest, opens) if opens > at else soonest
    return soonest


@lru_cache(maxsize=65_536)
def windows_table(windows: tuple[LocalWindow, ...], *, opens: bool) -> Timetable:
    """A person's own windows as a timetable; no windows means the whole day, every day."""
    days: list[list[Window]] = [[] for _ in range(7)]
    for window in windows or _WHOLE_DAY:
        start, end = window.from_minute, window.to_minute
        if start == end or not 0 <= start < DAY_MINUTES or not 0 <= end <= DAY_MINUTES:
            # What cannot be read as hours closes the whole day, and opens none of it.
            if opens:
                continue
            start, end = 0, DAY_MINUTES
        for day in window.days or range(7):
            days[day].append((start, end))
    return Timetable(tuple(map(tuple, days)), opens)
