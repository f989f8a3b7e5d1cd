"""
Reads scenario files: `rules/<strategy>.test.yaml`, one strategy and the cases that show what it does.

    strategy: personal-loan
    defaults:                                     # what every case starts from
      now: 2026-03-04T10:00:00+08:00
      facts: {product: personal, overdue_amount: 1200, feed_age: 6}
      borrower: {zones: [Asia/Shanghai], jurisdictions: [CN], endpoints: [mobile, email, postal]}
    cases:
      - name: The first reminder goes on the first day
        given: {stage: reminded, facts: {dpd: 1}}
        expect: {outcome: contact, rule: sms-day-1, because: [sms-day-1], not: [call-day-5]}

Facts, the borrower and notices of a case are laid over the defaults key by key; `null` makes a fact unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast, get_args
from zoneinfo import ZoneInfo

from engine.decision import LoanOutcome
from engine.errors import Problem, RuleError, unknown_name
from engine.facts import Catalogue
from engine.fields import Fields
from engine.gate import Role
from engine.rulebook import Rulebook
from engine.scenario import Expected, Scenario
from engine.scenario_facts import read_facts
from engine.scenario_people import ROLES, flag, read_person
from engine.situation import Loan, Person, RuleUse, Situation
from engine.source import Node, Table, Text, read_yaml
from engine.stages import STAGES, Duty, Stage
from engine.strategy import EVENTS, OUTCOMES, Strategy

_FILE_KEYS: Final = ("strategy", "defaults", "cases")
_CASE_KEYS: Final = ("name", "law", "given", "expect")
_GIVEN_KEYS: Final = (
    "now", "stage", "facts", "uses", "notices", "events", "retry", "queues_full", "actor", "borrower", "others",
)  # fmt: skip
_LAID_OVER: Final = ("facts", "borrower", "notices", "others")
_EXPECT_KEYS: Final = ("outcome", "because", "stage", "rule", "contacts", "not")
_USE_KEYS: Final = ("rule", "days_ago", "outcome", "earlier")
_OUTCOMES: Final[tuple[str, ...]] = get_args(LoanOutcome)
_DUTIES: Final[tuple[Duty, ...]] = get_args(Duty)
_ACTORS: Final = ("first_party", "agency", "debt_buyer")

_STAND_IN: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LOAN: Final = 1
_BORROWER: Final = 1
_STAGE_ENTRY: Final = 2
"""So that an earlier stay in the stage (1) can be told from this one."""
_THIS: Final = dict.fromkeys(("due_date", "episode", "promise"), "this")
_EARLIER: Final = dict.fromkeys(_THIS, "earlier")

_GIVEN: Final = "{stage: reminded, facts: {dpd: 3}}"
_CASE: Final = "{name: ..., given: {stage: reminded}, expect: {outcome: contact, because: [sms-day-1]}}"


def read_scenarios(text: str, file: str, rulebook: Rulebook) -> tuple[Scenario, ...]:
    """
    The scenarios of one file, in file order.

    Raises:
        RuleError: every unknown key, rule, fact and value of the file at once.
    """
    problems: list[Problem] = []
    fields = Fields.of(read_yaml(text, file), "scenario file", _FILE_KEYS, problems, example="strategy: personal-loan")
    if fields is None:
        raise RuleError(problems)
    name = fields.text("strategy", required="personal-loan")
    strategy = rulebook.strategies.get(name or "")
    if strategy is None:
        if name is not None:
            at = fields.table.items["strategy"].at
            otherwise = "name a strategy that is loaded"
            problems.append(unknown_name("strategy", name, rulebook.strategies, at=at, otherwise=otherwise))
        raise RuleError(problems)
    node = fields.node("defaults")
    defaults = node and Fields.of(node, "`defaults`", _GIVEN_KEYS, problems, example=f"defaults: {_GIVEN}")
    fields.required("cases", f"[{_CASE}]")
    reader = _Reader(strategy, rulebook.catalogue, defaults.table if defaults else None, problems)
    scenarios = [reader.case(node) for node in fields.listing("cases", _CASE)]
    _refuse_twins(scenarios, problems)
    if problems:
        # What is wrong in the defaults is found again in every case.
        raise RuleError(dict.fromkeys(problems))
    return tuple(scenario for scenario in scenarios if scenario is not None)


def _refuse_twins(scenarios: list[Scenario | None], problems: list[Problem]) -> None:
    seen: dict[str, int] = {}
    for scenario in scenarios:
        if scenario is None:
            continue
        if scenario.name in seen:
            what = f"scenario `{scenario.name}` stands twice, first on line {seen[scenario.name]}"
            problems.append(Problem(what, "say in its name what is different", scenario.at))
        seen.setdefault(scenario.name, scenario.at.line)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the cases of one file; `defaults` is what each of them is laid over."""

    strategy: Strategy
    catalogue: Catalogue
    defaults: Table | None
    problems: list[Problem]

    def case(self, node: Node) -> Scenario | None:
        found = len(self.problems)
        fields = Fields.of(node, "case", _CASE_KEYS, self.problems, example=_CASE)
        if fields is None:
            return None
        name = fields.text("name", required="The first reminder goes on the first day")
        expect = fields.required("expect", "{outcome: contact, because: [sms-day-1]}")
        given = self._given(fields)
        if given is None:
            return None
        stage = cast("Stage", given.one_of("stage", "stage", STAGES) or "current")
        now = self._now(given)
        situation = self._situation(given, now, stage)
        expected = self._expected(expect, stage) if expect is not None else None
        full = frozenset(given.names("queues_full"))
        if name is None or situation is None or expected is None or len(self.problems) > found:
            return None
        return Scenario(name, self.strategy.id, situation, now, full, expected, fields.at)

    def _given(self, fields: Fields) -> Fields | None:
        """What the case says is given, laid over the defaults."""
        node = fields.required("given", _GIVEN)
        given = node and Fields.of(node, "`given`", _GIVEN_KEYS, self.problems, example=f"given: {_GIVEN}")
        if not given or self.defaults is None:
            return given or None
        merged = _over(self.defaults, given.table)
        for key in _LAID_OVER:
            below, above = self.defaults.items.get(key), given.node(key)
            if isinstance(below, Table) and isinstance(above, Table):
                merged = Table({**merged.items, key: _over(below, above)}, merged.key_at, merged.at)
        return Fields(merged, given.what, self.problems)

    def _now(self, given: Fields) -> datetime:
        """The instant of the case; where it cannot be read, a stand-in to read the rest with."""
        node = given.required("now", "2026-03-04T10:00:00+08:00")
        if node is None:
            return _STAND_IN
        try:
            now = datetime.fromisoformat(node.raw if isinstance(node, Text) else "")
        except ValueError:
            now = _STAND_IN.replace(tzinfo=None)
        if now.tzinfo is None:
            given.refuse("`now` is no instant with an offset", "write `now: 2026-03-04T10:00:00+08:00`", node.at)
            return _STAND_IN
        return now

    def _situation(self, given: Fields, now: datetime, stage: Stage) -> Situation | None:
        node = given.required("borrower", "{zones: [Asia/Shanghai], jurisdictions: [CN], endpoints: [mobile]}")
        borrower = read_person(node, _BORROWER, _LOAN, now, "`borrower`", self.problems) if node else None
        if borrower is None:
            return None
        others = self._others(given, now)
        on = min((now.astimezone(ZoneInfo(zone)).date() for zone in borrower.zones), default=now.date())
        notices = {kind: on - timedelta(days=days) for kind, days in self._notices(given)}
        facts = read_facts(given.node("facts"), self.catalogue, self.strategy.currency, self.problems)
        for kind, effective_on in notices.items():
            if (fact := f"{kind}_effective_days") in self.catalogue.facts:
                facts.setdefault(fact, (on - effective_on).days)
        facts["stage"] = stage
        loan = Loan(
            id=_LOAN,
            ref="L1",
            stage=stage,
            stage_entry=_STAGE_ENTRY,
            facts={name: value for name, value in facts.items() if value is not None},
            parties=tuple((person.id, role) for role, person in others.items()),
            notices=notices,
            uses=tuple(self._use(item, now) for item in given.listing("uses", "{rule: sms-day-1, days_ago: 2}")),
            periods=_THIS,
            events=frozenset(given.words("events", "event", EVENTS)),
            retry=frozenset(self._known_rules(given, "retry")),
        )
        return Situation(
            borrower=borrower,
            loans=(loan,),
            others={person.id: person for person in others.values()},
            on=on,
            actor=given.one_of("actor", "actor", _ACTORS) or "first_party",
        )

    def _others(self, given: Fields, now: datetime) -> dict[Role, Person]:
        node = given.node("others")
        if node is None:
            return {}
        others = Fields.of(
            node, "`others`", ROLES, self.problems, example="others: {guarantor: {zones: [Asia/Shanghai]}}"
        )
        people: dict[Role, Person] = {}
        for number, role in enumerate(ROLES, start=_BORROWER + 1):
            one = others.node(role) if others else None
            person = read_person(one, number, _LOAN, now, f"`{role}`", self.problems) if one else None
            if person is not None:
                people[role] = person
        return people

    def _notices(self, given: Fields) -> Iterator[tuple[str, int]]:
        """Kinds of notice, and for how many days each has been in force."""
        node = given.node("notices")
        example = "notices: {visit_notice: 5}"
        notices = Fields.of(node, "`notices`", _DUTIES, self.problems, example=example) if node else None
        for kind in _DUTIES if notices else ():
            days = notices.whole(kind, 0, 3650) if notices else None
            if days is not None:
                yield kind, days

    def _use(self, node: Node, now: datetime) -> RuleUse:
        example = "{rule: sms-day-1, days_ago: 2}"
        use = Fields.of(node, "use of a rule", _USE_KEYS, self.problems, example=example)
        if use is None:
            return RuleUse("", now.date(), _STAGE_ENTRY, "delivered")
        use.required("rule", "sms-day-1")
        use.required("days_ago", "2")
        earlier = flag(use, "earlier", default=False)
        names = self._known_rules(use, "rule")
        return RuleUse(
            rule=names[0] if names else "",
            on=now.date() - timedelta(days=use.whole("days_ago", 0, 3650) or 0),
            stage_entry=_STAGE_ENTRY - 1 if earlier else _STAGE_ENTRY,
            outcome=use.one_of("outcome", "outcome", (*OUTCOMES, "cancelled", "expired", "planned")) or "delivered",
            per=_EARLIER if earlier else _THIS,
        )

    def _expected(self, node: Node, stage: Stage) -> Expected | None:
        example = "expect: {outcome: contact, because: [sms-day-1]}"
        expect = Fields.of(node, "`expect`", _EXPECT_KEYS, self.problems, example=example)
        if expect is None:
            return None
        expect.required("outcome", "contact")
        expect.required("because", "[sms-day-1]")
        rules = self._known_rules(expect, "rule")
        contacts = expect.names("contacts") if expect.node("contacts") is not None else None
        return Expected(
            outcome=expect.one_of("outcome", "outcome", _OUTCOMES) or "",
            because=frozenset(expect.names("because")),
            stage=cast("Stage", expect.one_of("stage", "stage", STAGES) or stage),
            rule=rules[0] if rules else None,
            contacts=contacts,
            silent=self._known_rules(expect, "not"),
        )

    def _known_rules(self, fields: Fields, key: str) -> tuple[str, ...]:
        """Names of rules or moves of the strategy, present or former."""
        names = fields.names(key)
        known = [move.id for move in self.strategy.moves]
        for rules in self.strategy.rules.values():
            known += [name for rule in rules for name in (rule.id, *rule.was)]
        for name in names:
            if name not in known:
                at = fields.table.items[key].at
                otherwise = "name a rule or move of the strategy"
                self.problems.append(unknown_name("rule", name, known, at=at, otherwise=otherwise))
        return names


def _over(below: Table, above: Table) -> Table:
    return Table({**below.items, **above.items}, {**below.key_at, **above.key_at}, above.at)
