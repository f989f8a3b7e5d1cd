"""What holds of every decision, over random borrowers, strategies and gates."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from engine.decision import Decision
from engine.explain import from_json, trace_json
from engine.gate import CHANNELS, Ask, PastContact, Reason, Verdict
from engine.judging import remember
from engine.rulebook import Rulebook
from engine.situation import Loan, RuleUse, Situation
from engine.slots import repeat_key
from engine.stages import EDGE, SEVERITY, STAGES
from engine.strategy import Act, MoveRule, PromisePolicy, Repeat, Rule, Send, Strategy
from tests.situations import HERE, NOW, TODAY, FakeGate, book, leaf, loan, person, resolve, rule, situation, strategy

ZONES = ("Europe/Berlin", "Asia/Shanghai", "America/New_York", "America/Los_Angeles")
STAGE = st.sampled_from(STAGES[:4])
CHANNEL = st.sampled_from(CHANNELS)
OUTCOME = st.sampled_from(["sent", "planned", "cancelled", "expired", "no_answer"])


@st.composite
def sends(draw: st.DrawFn) -> Send:
    if draw(st.booleans()):
        return Send()
    opens = draw(st.integers(0, 22))
    days = draw(st.sets(st.integers(0, 6)).map(sorted))
    return Send(tuple(days), opens * 60, draw(st.integers(opens + 1, 24)) * 60)


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    rules = [_rule(draw, f"r{n}") for n in range(draw(st.integers(1, 6)))]
    moves = [
        MoveRule(f"m{n}", (source,), target, leaf("dpd", draw(st.integers(0, 20)), ">="), HERE)
        for n, (source, target) in enumerate(draw(st.lists(st.sampled_from(sorted(EDGE)), max_size=3)))
    ]
    blocks = tuple(sorted(draw(st.sets(CHANNEL, max_size=2))))
    return strategy(*rules, moves=tuple(moves), promise=PromisePolicy(blocks=blocks), feed_age_max=timedelta(hours=24))


def _rule(draw: st.DrawFn, rule_id: str) -> Rule:
    repeats = [Repeat(1, per="episode"), Repeat(2, days=7), Repeat(2, per="stage"), Repeat(1, per="promise")]
    return rule(
        rule_id,
        stage=draw(STAGE),
        when=leaf("dpd", draw(st.integers(0, 20)), draw(st.sampled_from(["<=", ">="]))),
        acts=tuple(Act(channel, "t") for channel in sorted(draw(st.sets(CHANNEL, min_size=1, max_size=2)))),
        purpose=draw(st.sampled_from(["collect", "collect", "required_notice", "service"])),
        to=draw(st.sampled_from([("borrower",), ("guarantor",), ("guarantor", "borrower")])),
        repeat=draw(st.sampled_from(repeats)),
        send=draw(sends()),
        valid_for=timedelta(hours=draw(st.sampled_from([1, 24, 100]))),
    )


@st.composite
def loans(draw: st.DrawFn, loan_id: int) -> Loan:
    uses = [
        RuleUse(
            f"r{draw(st.integers(0, 5))}",
            TODAY - timedelta(days=draw(st.integers(0, 9))),
            2,
            draw(OUTCOME),
            {"episode": "3"},
            draw(st.sampled_from(["", "episode:3#1", "stage:2#1", "episode:3#2", f"{TODAY}#1"])),
            draw(st.sampled_from([None, 1, 2])),
            draw(st.sampled_from(["sms", "email"])),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    facts = {
        "dpd": draw(st.none() | st.integers(0, 20)),
        "feed_age": draw(st.sampled_from([1, 1, 1, 30, None])),
        "promise_open": draw(st.sampled_from([False, False, True, None])),
    }
    parties = draw(st.lists(st.sampled_from([(2, "guarantor"), (3, "guarantor")]), unique=True))
    return loan(loan_id, draw(STAGE), facts=facts, uses=tuple(uses), parties=tuple(parties))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    people = [person(n, zones=tuple(draw(st.sets(st.sampled_from(ZONES), max_size=2)))) for n in (1, 2, 3)]
    held = [draw(loans(loan_id)) for loan_id in range(100, 100 + draw(st.integers(1, 4)))]
    return situation(*held, borrower=people[0], others={each.id: each for each in people[1:]})


def gates() -> st.SearchStrategy[FakeGate]:
    """Gates that are pure functions of the question: they deny some, defer some, allow the rest."""
    return st.builds(
        _gate,
        denied=st.sets(st.tuples(CHANNEL, st.integers(100, 103)), max_size=6),
        deferred=st.dictionaries(CHANNEL, st.integers(1, 60), max_size=3),
    )


def _gate(denied: set[tuple[str, int]], deferred: dict[str, int]) -> FakeGate:
    def answer(ask: Ask, now: datetime) -> Verdict | None:
        if any((ask.channel, debt) in denied for debt in ask.debts):
            return Verdict("deny", (Reason("deny", "deny", "law", "no"),))
        until = NOW + timedelta(hours=deferred.get(ask.channel or "", 0))
        return Verdict("defer", (Reason("later", "defer", "law", "later", until),), until) if now < until else None

    return FakeGate(answer)


def contacts(decision: Decision) -> list[tuple[str, datetime]]:
    return [(contact.slot, contact.not_before) for answer in decision.loans for contact in answer.contacts]


CASE = {"case": situations(), "plan": strategies(), "gate": gates()}


@given(**CASE, seed=st.randoms(use_true_random=False))
def test_the_order_of_loans_and_parties_does_not_matter(case, plan, gate, seed):
    """Shuffled loans, parties, uses and endpoints give the same decision, bit for bit."""

    def shuffled(items):
        return tuple(seed.sample(items, len(items)))

    other = replace(
        case,
        borrower=replace(case.borrower, endpoints=shuffled(case.borrower.endpoints)),
        loans=shuffled(
            [replace(each, parties=shuffled(each.parties), uses=shuffled(each.uses)) for each in case.loans]
        ),
    )
    assert resolve(case, book(plan), gate) == resolve(other, book(plan), gate)


@given(**CASE)
def test_at_most_one_collect_voice_per_person(case, plan, gate):
    """A person hears of dunning from one loan only."""
    decision = resolve(case, book(plan), gate)
    speaking: dict[int, set[int]] = {}
    for answer in decision.loans:
        for contact in answer.contacts:
            if contact.purpose == "collect" and contact.channel != "legal":
                speaking.setdefault(contact.person, set()).add(contact.loan)
    assert all(len(voices) == 1 for voices in speaking.values())


@given(**CASE)
def test_every_contact_was_allowed_at_its_instant(case, plan, gate):
    """Each planned contact's very instant was put to the gate and allowed, for its loan and every loan it covers."""
    decision = resolve(case, book(plan), gate)
    allowed = {(a.person, a.channel, debt, at) for a, at in gate.asked for debt in a.debts
               if gate.answer(a, at) is None}  # fmt: skip
    for answer in decision.loans:
        for contact in answer.contacts:
            for debt in (contact.loan, *contact.covers):
                assert (contact.person, contact.channel, debt, contact.not_before) in allowed


@given(**CASE)
def test_every_contact_lies_in_its_window_and_validity(case, plan, gate):
    """From its instant until it lapses, a contact is inside its rule's send window in every zone, and not past validity."""
    people = {case.borrower.id: case.borrower, **case.others}
    for answer in resolve(case, book(plan), gate).loans:
        for contact in answer.contacts:
            made_by = plan.rule(contact.rule)
            assert made_by is not None
            assert NOW <= contact.not_before < contact.expires <= NOW + made_by.valid_for
            send = made_by.send
            for zone in people[contact.person].zones if send != Send() else ():
                for at in (contact.not_before, contact.expires - timedelta(microseconds=1)):
                    wall = at.astimezone(ZoneInfo(zone))
                    assert send.from_minute <= wall.hour * 60 + wall.minute < send.to_minute
                    assert not send.days or wall.weekday() in send.days


@given(**CASE)
def test_no_slot_is_planned_twice(case, plan, gate):
    """Slots are new within a decision, and never one that the contact log already holds."""
    decision = resolve(case, book(plan), gate)
    slots = [slot for slot, _ in contacts(decision)]
    assert len(slots) == len(set(slots))
    by_id = {each.id: each for each in case.loans}
    for answer in decision.loans:
        for contact in answer.contacts:
            taken = {
                use.key
                for use in by_id[contact.loan].uses
                if use.rule == contact.rule and use.person in {None, contact.person} and use.channel == contact.channel
            }
            assert repeat_key(contact.slot) not in taken


@given(**CASE)
def test_a_second_sweep_of_the_day_adds_nothing(case, plan, gate):
    """Once its contacts stand in the log as planned, no rule plans the same act again, and nobody is dunned again."""
    first = resolve(case, book(plan), gate)
    moved = []
    for each in sorted(case.loans, key=lambda loan: loan.id):
        answer = next(a for a in first.loans if a.loan == each.id)
        made = tuple(
            RuleUse(c.rule, TODAY, c.stage_entry, "planned", {"episode": "3"}, repeat_key(c.slot), c.person, c.channel)
            for c in answer.contacts
        )
        entry = each.stage_entry + (answer.stage_after != answer.stage_before)
        moved.append(replace(each, stage=answer.stage_after, stage_entry=entry, uses=each.uses + made))
    planned: dict[int, tuple[PastContact, ...]] = {}
    for answer in first.loans:
        for contact in answer.contacts:
            remember(planned, contact)
    people = [replace(p, history=planned.get(p.id, ())) for p in (case.borrower, *case.others.values())]
    later = replace(case, loans=tuple(moved), borrower=people[0], others={p.id: p for p in people[1:]})
    second = resolve(later, book(plan), gate)

    def acts(decision):
        return {(c.loan, c.rule, c.person, c.channel) for a in decision.loans for c in a.contacts}

    def dunned(decision):
        return {c.person for a in decision.loans for c in a.contacts if c.purpose == "collect" and c.channel != "legal"}

    assert not acts(first) & acts(second)
    assert not dunned(first) & dunned(second)


@given(**CASE, shut=st.sets(CHANNEL, min_size=1, max_size=3))
def test_a_stricter_gate_never_lets_more_be_said(case, plan, gate, shut):
    """With one rule a stage, a gate that denies more gives a subset of the contacts: nothing new appears."""
    # With several rules a denial hands the turn to the next rule, so only single-rule stages can compare one to one.
    single = replace(plan, moves=(), rules={stage: rules[:1] for stage, rules in plan.rules.items()})
    alone = replace(case, loans=case.loans[:1])
    strict = FakeGate(lambda ask, now: Verdict("deny") if ask.channel in shut else gate.answer(ask, now))
    wide = {slot for slot, _ in contacts(resolve(alone, book(single), gate))}
    narrow = {slot for slot, _ in contacts(resolve(alone, book(single), strict))}
    assert narrow <= wide
    assert not any(slot.endswith(f":{channel}") for slot in narrow for channel in shut)


@given(case=situations(), plan=strategies())
def test_a_gate_that_denies_everything_lets_nothing_out(case, plan):
    """Nothing is planned and nobody who owes a duty moves, whatever the rules say."""
    decision = resolve(case, book(plan), FakeGate(lambda _ask, _now: Verdict("deny")))
    assert contacts(decision) == []
    for answer in decision.loans:
        if answer.stage_after != answer.stage_before:
            assert EDGE[answer.stage_before, answer.stage_after].duty is None


@given(**CASE)
def test_every_loan_is_answered_and_every_silence_has_its_reason(case, plan, gate):
    """One answer per loan; contacts exactly where the outcome says so; a covered loan is covered by one that speaks."""
    decision = resolve(case, book(plan), gate)
    assert [a.loan for a in decision.loans] == sorted(each.id for each in case.loans)
    speaking = {a.loan for a in decision.loans if a.contacts}
    for answer in decision.loans:
        assert (answer.outcome == "contact") == bool(answer.contacts)
        assert answer.covered_by is None or answer.covered_by in speaking
        assert (answer.outcome == "covered") <= (answer.covered_by is not None)
        if answer.outcome == "nothing":
            assert all(candidate.state == "repeated" for candidate in answer.candidates)
        if answer.next_look is not None:
            assert answer.next_look > decision.now


@given(**CASE)
def test_the_leading_loan_is_the_worst_that_may_speak(case, plan, gate):
    """Whoever is covered stands no higher on the ladder than the loan that speaks for it."""
    answers = {a.loan: a for a in resolve(case, book(plan), gate).loans}
    for answer in answers.values():
        if answer.covered_by is not None:
            leader = answers[answer.covered_by]
            assert SEVERITY[leader.stage_after] >= SEVERITY[answer.stage_after]


@given(**CASE)
def test_every_decision_reads_back_from_the_log(case, plan, gate):
    """Whatever was decided is stored and read back without loss."""
    for answer in resolve(case, book(plan), gate).loans:
        assert from_json(trace_json(answer)) == answer


def test_the_fakes_are_what_they_say():
    """The gate above defers and denies: properties over a gate that always allows would prove little."""
    gate = _gate({("sms", 100)}, {"email": 5})
    rules: Rulebook = book(strategy(rule("r", acts=(Act("sms", "t"), Act("email", "t")))))
    (answer,) = resolve(situation(loan(100)), rules, gate, now=NOW.astimezone(UTC)).loans
    assert [(act.verdict.outcome if act.verdict else None, act.at) for act in answer.candidates[0].acts] == [
        ("deny", None), ("allow", NOW + timedelta(hours=5)),
    ]  # fmt: skip
