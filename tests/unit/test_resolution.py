"""Resolution: moves, candidates, the gate's word, and one voice per person."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.gate import Endpoint, Hold, PastContact, Reason, Verdict
from engine.situation import RuleUse
from engine.strategy import Act, PromisePolicy, Repeat, Send
from tests.situations import (
    NOW,
    TODAY,
    FakeGate,
    book,
    deferring,
    denying,
    leaf,
    loan,
    move,
    only,
    person,
    resolve,
    rule,
    situation,
    states,
    strategy,
)  # fmt: skip

CALL = (Act("call", "first-call", "early"),)
MAIL = (Act("email", "reminder"),)


def use(rule_id: str, **changes: object) -> RuleUse:
    defaults: dict[str, object] = {
        "rule": rule_id,
        "on": TODAY - timedelta(days=1),
        "stage_entry": 2,
        "outcome": "sent",
    }
    return RuleUse(**(defaults | changes))  # type: ignore[arg-type]


def test_first_sendable_collect_rule_wins_in_file_order():
    """The first rule of the file that may go is the loan's choice; the ones behind it are not even asked about."""
    gate = FakeGate()
    answer = only(resolve(situation(loan()), book(strategy(rule("first"), rule("second"))), gate))
    assert (answer.outcome, answer.rule) == ("contact", "first")
    assert states(answer) == {"first": "chosen", "second": "not_reached"}
    assert len(gate.asked) == 1


def test_planned_contact_says_everything_dispatch_needs():
    """A planned contact names loan, rule, person, endpoint, instants and its slot."""
    (contact,) = only(resolve(situation(loan()), book(strategy(rule("sms", acts=CALL))))).contacts
    assert (contact.loan, contact.rule, contact.person, contact.role) == (100, "sms", 1, "borrower")
    assert (contact.channel, contact.endpoint, contact.name, contact.queue) == ("call", 10, "first-call", "early")
    assert (contact.not_before, contact.expires) == (NOW, NOW + timedelta(hours=24))
    assert contact.slot == "100:sms:2:episode:3#1:1:call"
    assert contact.stage_entry == 2


def test_a_denied_rule_leaves_the_next_one():
    """What the gate denies is recorded with its citation, and the next candidate is tried."""
    gate = denying(channel="call")
    answer = only(resolve(situation(loan()), book(strategy(rule("call", acts=CALL), rule("sms"))), gate))
    assert (answer.rule, states(answer)) == ("sms", {"call": "refused", "sms": "chosen"})
    verdicts = [act.verdict for act in answer.candidates[0].acts]
    assert [(v.outcome, v.reasons[0].citation) for v in verdicts if v] == [("deny", "a law")] * 2


def test_everything_denied_is_withheld():
    """A loan whose every candidate was refused is withheld, not forgotten."""
    answer = only(resolve(situation(loan()), book(strategy(rule("sms"))), denying(channel="sms")))
    assert (answer.outcome, answer.rule, answer.contacts) == ("withheld", None, ())


def test_a_deferral_within_validity_is_planned_for_its_instant():
    """Deferred to an instant within `valid_for`, the contact is planned for that instant, and the delay's reason kept."""
    until = NOW + timedelta(hours=5)
    answer = only(resolve(situation(loan()), book(strategy(rule("sms"))), deferring(until)))
    (contact,) = answer.contacts
    assert (contact.not_before, contact.expires) == (until, NOW + timedelta(hours=24))
    (act,) = answer.candidates[0].acts
    assert [reason.rule for reason in act.delays] == ["test.later"]


@pytest.mark.parametrize(("hours", "state"), [(23, "chosen"), (24, "too_late"), (25, "too_late")])
def test_a_deferral_to_or_past_the_end_of_validity_is_too_late(hours, state):
    """`valid_for` is exclusive: at its very end the contact would lapse the moment it may go."""
    answer = only(resolve(situation(loan()), book(strategy(rule("sms"))), deferring(NOW + timedelta(hours=hours))))
    assert states(answer) == {"sms": state}


def test_waiting_names_the_earliest_instant_of_all_candidates():
    """When all that is left is too late, the next look is the earliest instant any of it could go."""
    sooner, later = NOW + timedelta(days=2), NOW + timedelta(days=3)

    def answer(ask, now):
        until = later if ask.channel == "sms" else sooner
        return Verdict("defer", (Reason("r", "defer", "c", "s", until),), until) if now < until else None

    rules = book(strategy(rule("sms"), rule("mail", acts=MAIL)))
    decided = only(resolve(situation(loan()), rules, FakeGate(answer)))
    assert (decided.outcome, decided.next_look) == ("wait", sooner)


def test_a_deferral_that_names_no_later_instant_holds_the_contact():
    """A gate that defers to the past is broken, and a broken gate never lets a contact out."""

    def answer(_ask, now):
        return Verdict("defer", (), now - timedelta(seconds=1))

    decided = only(resolve(situation(loan()), book(strategy(rule("sms"))), FakeGate(answer)))
    assert (decided.outcome, decided.contacts) == ("withheld", ())
    assert decided.candidates[0].acts[0].note == "the gate deferred without naming a later instant"


def test_window_and_gate_are_brought_together():
    """The instant planned suits both the send window and the gate, whoever of the two asks for more time."""
    # In Berlin, 18:00 is 17:00 UTC in November; the gate opens at 18:30 local.
    gate = deferring(datetime(2026, 11, 24, 17, 30, tzinfo=UTC))
    evening = rule("evening", send=Send((), 18 * 60, 20 * 60))
    (contact,) = only(resolve(situation(loan()), book(strategy(evening)), gate)).contacts
    assert contact.not_before == datetime(2026, 11, 24, 17, 30, tzinfo=UTC)
    assert contact.expires == datetime(2026, 11, 24, 19, 0, tzinfo=UTC)
    assert [now for _, now in gate.asked] == [datetime(2026, 11, 24, 17, 0, tzinfo=UTC), contact.not_before]


def test_a_window_that_opens_after_validity_is_too_late_and_says_when():
    """A rule for Thursdays, swept on a Tuesday, waits for its Thursday without asking the gate."""
    gate = FakeGate()
    answer = only(resolve(situation(loan()), book(strategy(rule("thu", send=Send((3,), 600, 720)))), gate))
    assert (answer.outcome, gate.asked) == ("wait", [])
    assert answer.next_look == datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def test_unknown_zones_send_nothing_in_a_window():
    """Without a zone nobody knows when the window is open, so nothing goes."""
    lost = situation(loan(), borrower=person(zones=()))
    answer = only(resolve(lost, book(strategy(rule("sms", send=Send((), 600, 720))))))
    assert (answer.outcome, states(answer)) == ("withheld", {"sms": "refused"})


def test_the_next_endpoint_is_tried_in_rank_order():
    """A call goes to the mobile of the best rank that the gate lets through; an invalid number is passed over."""
    phones = (Endpoint(1, "landline"), Endpoint(2, "mobile", rank=2), Endpoint(3, "mobile", rank=1, valid=False),
              Endpoint(4, "mobile", rank=1))  # fmt: skip

    def answer(ask, _now):
        return Verdict("deny") if ask.endpoint.id == 4 else None

    case = situation(loan(), borrower=person(endpoints=phones))
    decided = only(resolve(case, book(strategy(rule("call", acts=CALL))), FakeGate(answer)))
    assert [act.endpoint for act in decided.candidates[0].acts] == [4, 2]
    assert decided.contacts[0].endpoint == 2


def test_nobody_reachable_is_said():
    """A rule without an endpoint for its channel is no_endpoint, and the loan withheld."""
    case = situation(loan(), borrower=person(endpoints=()))
    answer = only(resolve(case, book(strategy(rule("sms")))))
    assert (answer.outcome, states(answer)) == ("withheld", {"sms": "no_endpoint"})
    assert answer.candidates[0].acts[0].note == "no endpoint"


def test_a_legal_filing_needs_no_endpoint_and_is_asked_as_a_filing():
    """A filing reaches no person; the gate judges it as a filing."""
    gate = FakeGate()
    filing = rule("file", acts=(Act("legal", "referral", "legal-intake"),))
    decided = only(resolve(situation(loan(), borrower=person(endpoints=())), book(strategy(filing)), gate))
    assert (decided.contacts[0].channel, decided.contacts[0].endpoint) == ("legal", None)
    assert gate.asked[0][0].act == "filing"


def test_a_full_queue_tries_the_next_candidate():
    """When a queue has no room for a loan, its next candidate is tried."""
    rules = book(strategy(rule("call", acts=CALL), rule("sms")))
    decided = only(resolve(situation(loan()), rules, queue_open=lambda _loan, queue: queue != "early"))
    assert (decided.rule, states(decided)) == ("sms", {"call": "queue_full", "sms": "chosen"})


def test_notices_and_service_do_not_compete():
    """Every required notice and service contact that passes goes, beside the one dunning contact."""
    rules = book(strategy(
        rule("dun"), rule("dun-2", acts=MAIL), rule("notice", purpose="required_notice", acts=(Act("letter", "n"),)),
        rule("thanks", purpose="service", acts=MAIL),
    ))  # fmt: skip
    decided = only(resolve(situation(loan()), rules))
    assert states(decided) == {"dun": "chosen", "dun-2": "not_reached", "notice": "goes", "thanks": "goes"}
    assert [contact.rule for contact in decided.contacts] == ["notice", "thanks", "dun"]


def test_what_is_chosen_counts_as_history_for_later_questions():
    """The gate is told of the contacts this decision has already chosen, at the instant they are planned for."""
    gate = FakeGate()
    rules = book(strategy(rule("thanks", purpose="service", acts=MAIL), rule("dun")))
    resolve(situation(loan()), rules, gate)
    (past,) = gate.asked[1][0].history
    assert (past.channel, past.outcome, past.person, past.debts) == ("email", "planned", 1, (100,))
    assert datetime.fromtimestamp(past.at_us / 1_000_000, UTC) == NOW
    assert gate.asked[0][0].history == ()


def test_acts_of_one_rule_count_for_each_other():
    """The second act of a rule is asked about with the first one in the history."""
    gate = FakeGate()
    both = rule("both", acts=(Act("sms", "a"), Act("email", "b")))
    decided = only(resolve(situation(loan()), book(strategy(both)), gate))
    assert [contact.channel for contact in decided.contacts] == ["sms", "email"]
    assert [len(ask.history) for ask, _ in gate.asked] == [0, 1]


def test_addressees_by_role_each_get_theirs_once():
    """A rule to borrower and guarantor addresses each once, in role order, whatever order the parties came in."""
    case = situation(
        loan(parties=((3, "guarantor"), (2, "guarantor"), (1, "guarantor"))), others={2: person(2), 3: person(3)}
    )
    letter = rule("letter", purpose="required_notice", to=("borrower", "guarantor"), acts=(Act("letter", "n"),))
    decided = only(resolve(case, book(strategy(letter))))
    assert [(contact.person, contact.role) for contact in decided.contacts] == [
        (1, "borrower"), (2, "guarantor"), (3, "guarantor"),
    ]  # fmt: skip


def test_a_dispute_by_the_borrower_is_told_for_the_guarantor_too():
    """A hold on the debt stands in the question about the guarantor; one that shields the borrower in person does not."""
    dispute, bankrupt = Hold("dispute", 0, debts=(100,)), Hold("bankruptcy", 0)
    gate = FakeGate()
    case = situation(
        loan(parties=((2, "guarantor"),)), borrower=person(holds=(dispute, bankrupt)), others={2: person(2)}
    )
    resolve(case, book(strategy(rule("g", to=("guarantor",)))), gate)
    assert gate.asked[0][0].holds == (dispute,)


def test_what_was_tried_with_the_borrower_is_told_for_a_relative():
    """Some laws let others be asked once the borrower is lost: the gate hears who owes, and which calls to them failed."""
    tried = PastContact(1_000_000, "out", "call", "no_answer", "collect", 1, (100,))
    gate = FakeGate()
    case = situation(loan(parties=((2, "contact_person"),)), borrower=person(history=(tried,)), others={2: person(2)})
    resolve(case, book(strategy(rule("where", to=("contact_person",), purpose="location"))), gate)
    asked = gate.asked[0][0]
    assert (asked.person, asked.borrower, asked.shared) == (2, 1, (tried,))


# Repeats


@pytest.mark.parametrize(
    ("repeat", "uses", "why"),
    [
        (Repeat(1, per="episode"), [use("r", per={"episode": "3"})], "used 1 of 1 per episode"),
        (Repeat(1, per="episode"), [use("r", per={"episode": "2"})], ""),
        (Repeat(1, per="episode"), [use("old-r", per={"episode": "3"})], "used 1 of 1 per episode"),
        (Repeat(1, per="episode"), [use("other", per={"episode": "3"})], ""),
        (Repeat(1, per="stage"), [use("r")], "used 1 of 1 per stage"),
        (Repeat(1, per="stage"), [use("r", stage_entry=1)], ""),
        (Repeat(1, per="year"), [use("r", on=date(2026, 1, 1))], "used 1 of 1 per year"),
        (Repeat(1, per="year"), [use("r", on=date(2025, 12, 31))], ""),
        (Repeat(1, per="promise"), [], "no promise to count in"),
        (Repeat(2, per="episode"), [use("r", per={"episode": "3"}), use("r", per={"episode": "3"})], ""),
        (Repeat(1, days=7), [use("r", on=TODAY - timedelta(days=6))], "used 1 of 1 in 7 days"),
        (Repeat(1, days=7), [use("r", on=TODAY - timedelta(days=7))], ""),
        (Repeat(2, days=7), [use("r", on=TODAY)], "already planned for today or later"),
        (Repeat(2, days=7), [use("r", on=TODAY + timedelta(days=1))], "already planned for today or later"),
        (Repeat(2, days=7), [use("r", on=TODAY, outcome="cancelled")], ""),
        (Repeat(1, per="episode"), [use("r", per={"episode": "3"}, outcome="expired")], ""),
        (Repeat(1, days=7, outcomes=("conversation",)), [use("r", outcome="no_answer")], ""),
        (Repeat(1, days=7, outcomes=("conversation",)), [use("r", outcome="conversation")], "used 1 of 1 in 7 days"),
        (Repeat(1, days=7, outcomes=("conversation",)), [use("r", outcome="sending")], "used 1 of 1 in 7 days"),
    ],
)  # fmt: skip
def test_repeat_counts_the_contact_log(repeat, uses, why):
    """A rule fires again exactly when fewer than `max` counting firings lie in its period or window."""
    decided = only(resolve(situation(loan(uses=tuple(uses))), book(strategy(rule("r", was=("old-r",), repeat=repeat)))))
    (candidate,) = decided.candidates
    assert candidate.note == why
    assert decided.outcome == ("nothing" if why else "contact")


def test_contacts_that_share_a_slot_key_are_one_firing():
    """Four contacts of one firing count once: a rule that may fire twice still has one left."""
    fired = [
        use("r", per={"episode": "3"}, key="episode:3#1", channel=c, person=p) for c in ("sms", "email") for p in (1, 2)
    ]
    decided = only(
        resolve(situation(loan(uses=tuple(fired))), book(strategy(rule("r", repeat=Repeat(2, per="episode")))))
    )
    assert decided.contacts[0].slot == "100:r:2:episode:3#2:1:sms"


def test_a_cancelled_contact_gives_its_turn_back_but_not_its_slot():
    """After a cancellation the rule fires again under a slot the database has not seen."""
    gone = use("r", per={"episode": "3"}, key="episode:3#1", outcome="cancelled")
    decided = only(resolve(situation(loan(uses=(gone,))), book(strategy(rule("r")))))
    assert decided.contacts[0].slot == "100:r:2:episode:3#2:1:sms"


@pytest.mark.parametrize(
    ("keys", "number"),
    [([""], 2), (["", ""], 2), (["episode:3#2"], 3), (["episode:3#1", "episode:3#2"], 3), (["stage:2#1"], 2)],
)
def test_a_slot_is_new_whatever_the_log_holds(keys, number):
    """The number in a slot is one the log has not seen, even where earlier firings are missing from it or unnamed."""
    gone = tuple(use("r", per={"episode": "3"}, key=key, outcome="expired") for key in keys)
    decided = only(resolve(situation(loan(uses=gone)), book(strategy(rule("r")))))
    assert decided.contacts[0].slot == f"100:r:2:episode:3#{number}:1:sms"


def test_a_notice_that_reached_one_addressee_is_still_owed_to_the_other():
    """Notices repeat per addressee and channel: what the guarantor could not get yesterday, they get today."""
    sent = use("n", per={"episode": "3"}, key="episode:3#1", person=1, channel="letter")
    case = situation(loan(uses=(sent,), parties=((2, "guarantor"),)), others={2: person(2)})
    notice = rule("n", purpose="required_notice", to=("borrower", "guarantor"), acts=(Act("letter", "n"),))
    decided = only(resolve(case, book(strategy(notice))))
    assert [(contact.person, contact.slot) for contact in decided.contacts] == [(2, "100:n:2:episode:3#1:2:letter")]
    assert [act.note for act in decided.candidates[0].acts] == ["used 1 of 1 per episode", ""]


# Events, validity, promises, feeds


def test_a_rule_listens_to_its_events_only():
    """In a sweep only rules without `on` are heard; while an event is handled, only those that listen to it."""
    rules = book(strategy(rule("bounced", on=frozenset({"payment_reversed"})), rule("daily")))
    assert states(only(resolve(situation(loan()), rules))) == {"daily": "chosen"}
    case = situation(loan(), events=frozenset({"payment_reversed"}))
    assert states(only(resolve(case, rules))) == {"bounced": "chosen"}
    assert only(resolve(situation(loan(), events=frozenset({"payment"})), rules)).outcome == "nothing"


def test_an_event_of_one_loan_wakes_no_other():
    """A payment on one loan does not thank for the other."""
    rules = book(strategy(rule("thanks", purpose="service", on=frozenset({"payment"}))))
    decided = resolve(situation(loan(100, events=frozenset({"payment"})), loan(200)), rules)
    assert [answer.outcome for answer in decided.loans] == ["contact", "nothing"]


def test_a_deferred_event_rule_joins_the_sweep():
    """A rule whose event the gate deferred is heard again in the next sweep."""
    rules = book(strategy(rule("bounced", on=frozenset({"payment_reversed"}))))
    assert only(resolve(situation(loan(retry=frozenset({"bounced"}))), rules)).rule == "bounced"


@pytest.mark.parametrize(
    ("first", "last", "heard"),
    [(TODAY, TODAY, True), (TODAY + timedelta(days=1), None, False), (None, TODAY - timedelta(days=1), False)],
)
def test_a_campaign_has_its_days(first, last, heard):
    """`valid` bounds a rule by calendar days, both included."""
    decided = only(resolve(situation(loan()), book(strategy(rule("c", valid_from=first, valid_until=last)))))
    assert decided.outcome == ("contact" if heard else "nothing")


def test_a_campaign_contact_lapses_with_its_last_day():
    """A contact of a rule's last day does not go the day after: it lapses at midnight where the person is."""
    (contact,) = only(resolve(situation(loan()), book(strategy(rule("c", valid_until=TODAY))))).contacts
    assert contact.expires == datetime(2026, 11, 24, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(("promised", "chosen"), [(True, "mail"), (None, "mail"), (False, "call")])
def test_an_open_promise_holds_its_channels_back(promised, chosen):
    """While a promise is open, or nobody knows, dunning keeps off the channels that the policy blocks."""
    rules = book(strategy(rule("call", acts=CALL), rule("mail", acts=MAIL), promise=PromisePolicy(blocks=("call",))))
    assert only(resolve(situation(loan(facts={"promise_open": promised})), rules)).rule == chosen


def test_an_open_promise_does_not_hold_service_back():
    """The reminder of the promise itself still goes."""
    reminder = rule("remind", purpose="service", acts=CALL)
    rules = book(strategy(reminder, promise=PromisePolicy(blocks=("call",))))
    assert states(only(resolve(situation(loan(facts={"promise_open": True})), rules))) == {"remind": "goes"}


@pytest.mark.parametrize(("age", "outcome"), [(36, "contact"), (37, "stale_feed"), (None, "stale_feed")])
def test_a_stale_payment_feed_withholds_dunning(age, outcome):
    """Older than the strategy allows, or of unknown age, the payment feed withholds dunning."""
    rules = book(strategy(rule("dun"), feed_age_max=timedelta(hours=36)))
    assert only(resolve(situation(loan(facts={"feed_age": age})), rules)).outcome == outcome


def test_a_stale_feed_lets_service_through_and_nobody_up_the_ladder():
    """With stale payments no loan is treated worse, but a cure and a service contact still happen."""
    rules = strategy(
        rule("dun"), rule("thanks", purpose="service"), feed_age_max=timedelta(hours=1),
        moves=(move("up", "reminded", "phone"), move("cured", "phone", "current")),
    )  # fmt: skip
    decided = only(resolve(situation(loan()), book(rules)))
    assert states(decided) == {"dun": "stale_feed", "thanks": "goes"}
    assert (decided.stage_after, decided.moves[0].note) == ("reminded", "the payment feed is stale")
    assert only(resolve(situation(loan(stage="phone")), book(rules))).stage_after == "current"


# Moves


def test_the_first_matching_move_changes_the_stage_and_its_facts():
    """After a move the rules of the new stage are matched, with the stage's facts taken anew."""
    rules = strategy(
        rule("old"),
        rule("new", stage="phone", when=leaf("days_in_stage", 0)),
        moves=(move("no", "reminded", "legal", leaf("dpd", 90, ">=")), move("up", "reminded", "phone"), move("x", "reminded", "closed")),
    )  # fmt: skip
    decided = only(resolve(situation(loan()), book(rules)))
    assert (decided.stage_before, decided.stage_after, decided.rule) == ("reminded", "phone", "new")
    assert [(judged.rule, judged.taken) for judged in decided.moves] == [("up", True)]
    assert decided.contacts[0].stage_entry == 3
    assert decided.contacts[0].slot.startswith("100:new:3:")


def test_one_move_per_decision():
    """A loan climbs one step at a time, even where the next step matches as well."""
    moves = (move("a", "current", "reminded"), move("b", "reminded", "phone"))
    assert only(resolve(situation(loan(stage="current")), book(strategy(moves=moves)))).stage_after == "reminded"


def test_a_move_with_a_duty_asks_the_gate_with_its_evidence():
    """A move that owes a notice is taken only if the gate accepts the notices in force; else the next move is tried."""
    moves = (move("sue", "phone", "legal", notice_days=14), move("down", "phone", "reminded"))
    case = situation(loan(stage="phone", notices={"prelegal_notice": date(2026, 11, 1)}))
    gate = denying(act="stage_move")
    decided = only(resolve(case, book(strategy(moves=moves)), gate))
    assert [(judged.rule, judged.taken) for judged in decided.moves] == [("sue", False), ("down", True)]
    asked = gate.asked[0][0].move
    assert (asked.source, asked.target, asked.notice_days_required) == ("phone", "legal", 14)
    assert asked.notices == {"prelegal_notice": date(2026, 11, 1)}
    assert only(resolve(case, book(strategy(moves=moves)))).stage_after == "legal"


def test_a_deferred_move_is_not_taken():
    """A duty that is met only later leaves the loan where it is today."""

    def answer(ask, now):
        return Verdict("defer", (), now + timedelta(days=3)) if ask.act == "stage_move" else None

    moves = (move("visit", "phone", "field_visit"),)
    decided = only(resolve(situation(loan(stage="phone")), book(strategy(moves=moves)), FakeGate(answer)))
    assert (decided.stage_after, decided.moves[0].taken) == ("phone", False)


def test_every_move_that_makes_treatment_harsher_is_judged():
    """Where the gate lets nothing get harsher (a dispute, a stay) a move up waits, duty or not; moves back and cures go."""
    gate = denying(act="stage_move")
    up = book(strategy(moves=(move("up", "reminded", "phone"),)))
    assert only(resolve(situation(loan()), up, gate)).stage_after == "reminded"
    for target in ("current", "closed"):
        away = book(strategy(moves=(move("away", "reminded", target),)))
        assert only(resolve(situation(loan()), away, gate)).stage_after == target


# Strategies


def test_no_strategy_and_overlap_are_withheld():
    """A loan that no strategy or more than one applies to is left alone, and that is said."""
    rules = book(strategy(rule("r"), id="a", applies_to=leaf("dpd", 5)), strategy(rule("r"), id="b"))
    assert only(resolve(situation(loan()), rules)).outcome == "overlap"
    nobody = book(strategy(rule("r"), applies_to=leaf("dpd", 6)))
    assert only(resolve(situation(loan()), nobody)).outcome == "no_strategy"


# One person, one voice


def test_the_worst_loan_speaks_and_covers_the_others():
    """Of a person's loans the worst stage speaks, then the most days past due, then the lower id; the rest are covered."""
    rules = book(strategy(rule("dun"), rule("talk", stage="phone", acts=CALL)))
    decided = resolve(
        situation(loan(1, facts={"dpd": 90}), loan(2, "phone"), loan(3, "phone", facts={"dpd": 9})), rules
    )
    assert [(a.loan, a.outcome, a.covered_by) for a in decided.loans] == [
        (1, "covered", 3), (2, "covered", 3), (3, "contact", None),
    ]  # fmt: skip
    assert decided.loans[2].contacts[0].covers == (1, 2)
    assert states(decided.loans[0]) == {"dun": "covered"}
    assert decided.loans[0].rule is None


def test_equal_loans_are_led_by_the_lower_id():
    """Where stage and days are equal the lower id speaks."""
    decided = resolve(situation(loan(9), loan(4)), book(strategy(rule("dun"))))
    assert [(a.loan, a.outcome) for a in decided.loans] == [(4, "contact"), (9, "covered")]


def test_a_loan_that_may_not_be_spoken_of_neither_leads_nor_is_covered():
    """A disputed loan, however bad, is not mentioned: the other speaks for itself alone."""
    decided = resolve(
        situation(loan(1, "phone"), loan(2)), book(strategy(rule("dun"), rule("p", stage="phone"))), denying(debts=(1,))
    )
    assert [(a.loan, a.outcome) for a in decided.loans] == [(1, "withheld"), (2, "contact")]
    assert decided.loans[1].contacts[0].covers == ()


def test_a_loan_is_covered_only_on_a_channel_it_may_be_spoken_of():
    """A loan that may be written but not called about is not mentioned in the leading loan's call: it yields."""
    rules = book(strategy(rule("dun"), rule("talk", stage="phone", acts=CALL)))
    decided = resolve(situation(loan(1), loan(2, "phone")), rules, denying(channel="call", debts=(1,)))
    assert [(a.loan, a.outcome, states(a)) for a in decided.loans] == [
        (1, "wait", {"dun": "yields"}), (2, "contact", {"talk": "chosen"}),
    ]  # fmt: skip
    assert decided.loans[1].contacts[0].covers == ()


def test_one_role_does_not_speak_for_another():
    """Who guarantees one loan and shares the other hears of each in that role only: the second loan yields."""
    rules = book(strategy(rule("dun", to=("guarantor", "co_borrower"))))
    case = situation(
        loan(1, facts={"dpd": 9}, parties=((2, "guarantor"),)),
        loan(5, parties=((2, "co_borrower"),)),
        others={2: person(2)},
    )
    decided = resolve(case, rules)
    assert [(a.outcome, [c.covers for c in a.contacts]) for a in decided.loans] == [("contact", [()]), ("wait", [])]


def test_each_loan_still_speaks_to_the_people_nobody_else_speaks_to():
    """Two loans of one borrower with different guarantors: one word to the borrower, one to each guarantor."""
    to_all = strategy(rule("dun", to=("borrower", "guarantor")))
    case = situation(
        loan(1, facts={"dpd": 9}, parties=((2, "guarantor"),)),
        loan(5, parties=((3, "guarantor"),)),
        others={2: person(2), 3: person(3)},
    )
    decided = resolve(case, book(to_all))
    assert [(c.loan, c.person, c.covers) for a in decided.loans for c in a.contacts] == [
        (1, 1, (5,)),
        (1, 2, ()),
        (5, 3, ()),
    ]
    assert [(a.outcome, a.covered_by) for a in decided.loans] == [("contact", None), ("contact", 1)]


def test_a_filing_is_no_voice():
    """A court filing speaks to nobody: it neither silences another loan's message nor covers the loan."""
    rules = book(strategy(rule("dun"), rule("file", stage="legal", acts=(Act("legal", "referral", "legal-intake"),))))
    decided = resolve(situation(loan(1, "legal"), loan(2), loan(3, "legal")), rules)
    assert [(a.outcome, a.rule, a.contacts[0].covers) for a in decided.loans] == [
        ("contact", "file", ()), ("contact", "dun", ()), ("contact", "file", ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hour", "outcome", "silent"),
    [(-23, "sent", True), (-25, "sent", False), (30, "planned", True), (30, "cancelled", False)],
)
def test_a_second_sweep_of_the_day_does_not_speak_again(hour, outcome, silent):
    """Whoever is dunned today or from now on is not dunned by the next rule, nor about a loan that was covered."""
    # The day began in Berlin at 23:00 UTC the evening before: 22 hours and 59 minutes ago.
    now = datetime(2026, 11, 24, 21, 59, tzinfo=UTC)
    at_us = int((now + timedelta(hours=hour)).timestamp()) * 1_000_000 + 60_000_000
    past = PastContact(at_us, "out", "sms", outcome, "collect", 1, (9,))
    rules = book(strategy(rule("dun"), rule("thanks", purpose="service"), rule("event", on=frozenset({"reply"}))))
    case = situation(loan(), borrower=person(history=(past,)))
    assert states(only(resolve(case, rules, now=now))) == {"dun": "repeated" if silent else "chosen", "thanks": "goes"}
    awake = replace(case, events=frozenset({"reply"}))
    assert states(only(resolve(awake, rules, now=now))) == {"event": "chosen"}


def test_the_gate_hears_what_others_around_the_loan_were_told():
    """Beside the addressee's own contacts: those of others about these loans, planned ones among them, and no more."""
    said, heard, private = (
        PastContact(1_000_000, "out", "letter", "posted", "service", *about)
        for about in ((1, (1,)), (2, (1,)), (2, (9,)))
    )
    people = {"borrower": person(history=(said,)), "others": {2: person(2, history=(heard, private))}}
    rules = book(strategy(rule("both", to=("guarantor", "borrower"))))
    gate = FakeGate()
    resolve(situation(loan(1, parties=((2, "guarantor"),)), **people), rules, gate)
    guarantor, borrower = (ask for ask, _ in gate.asked)
    assert (guarantor.person, guarantor.history, guarantor.shared) == (2, (heard, private), (said,))
    assert (borrower.person, borrower.history, borrower.shared[:1]) == (1, (said,), (heard,))
    assert [(past.person, past.outcome) for past in borrower.shared[1:]] == [(2, "planned")]
    resolve(situation(loan(1), borrower=person(history=(said,))), book(strategy(rule("one"))), gate)
    assert gate.asked[-1][0].shared == ()


def test_notices_are_not_covered():
    """A notice is owed about its own loan, whoever else speaks to the person."""
    rules = book(strategy(rule("dun"), rule("n", purpose="required_notice", acts=(Act("letter", "n"),))))
    decided = resolve(situation(loan(1), loan(2)), rules)
    assert [[c.rule for c in a.contacts] for a in decided.loans] == [["n", "dun"], ["n"]]
    assert decided.loans[1].outcome == "contact"
    assert decided.loans[1].covered_by == 1


def test_the_same_situation_in_any_order_gives_the_same_decision():
    """Loans and parties may come in any order."""
    rules = book(strategy(rule("dun", to=("guarantor", "borrower"))))
    parties = ((2, "guarantor"), (3, "guarantor"))
    others = {2: person(2), 3: person(3)}
    one = resolve(situation(loan(1, parties=parties), loan(2), others=others), rules)
    two = resolve(situation(loan(2), loan(1, parties=parties[::-1]), others=others), rules)
    assert one == two


def test_a_missing_party_is_nobody_to_address():
    """A party whose record is not at hand is not addressed."""
    case = situation(loan(parties=((2, "guarantor"),)))
    assert states(only(resolve(case, book(strategy(rule("g", to=("guarantor",))))))) == {"g": "no_endpoint"}


def test_replacing_the_clock_zone_changes_nothing():
    """The same instant in another zone's notation gives the same decision."""
    rules = book(strategy(rule("dun")))
    assert resolve(situation(loan()), rules, now=NOW.astimezone()) == resolve(situation(loan()), rules)
