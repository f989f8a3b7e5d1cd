"""Explanations: everything a decision rests on, drawn from the moment it is made and again from the log."""

from dataclasses import replace
from datetime import timedelta

from engine.explain import ExplainNode, explain, explain_loan, from_json, to_json, trace_json
from engine.facts import Catalogue, Fact
from engine.gate import Reason, Verdict
from engine.rulebook import Rulebook
from engine.situation import RuleUse
from engine.strategy import Act, Repeat
from engine.tree import All
from tests.situations import (
    HERE,
    NOW,
    TODAY,
    FakeGate,
    book,
    deferring,
    denying,
    leaf,
    loan,
    move,
    resolve,
    rule,
    situation,
    strategy,
)

MONEY = Fact("overdue_amount", "money", "minor units", 0, 10**9, (), None, "", "ledger", "", "", HERE)
CALL = (Act("call", "first-call", "early"),)


def drawn(node: ExplainNode, depth: int = 0) -> list[str]:
    """The tree as indented text, so that a test reads like the screen."""
    lines = [f"{'  ' * depth}{node.mark} {node.label}"]
    for child in node.children:
        lines += drawn(child, depth + 1)
    return lines


def test_a_decision_is_drawn_whole():
    """Strategy, moves, every rule of the stage, each value seen, each verdict with its citation, and why the winner won."""
    plan = strategy(
        rule("used", repeat=Repeat(1, per="stage")),
        rule("call", acts=CALL, when=All((leaf("dpd", 3, ">="), leaf("overdue_amount", 5000, ">=")))),
        rule("sms", because="Most people simply forgot."),
        rule("late", when=leaf("dpd", 30, ">=")),
        rule("unsure", when=leaf("calls_7d", 1)),
        rule("bounced", on=frozenset({"payment_reversed"})),
        rule("over", valid_until=TODAY - timedelta(days=1)),
        rule("behind"),
        moves=(move("to-phone", "reminded", "phone", leaf("dpd", 8, ">=")), move("other", "phone", "legal")),
    )
    rules = Rulebook({"test": plan}, Catalogue({"overdue_amount": MONEY}, {}), "")
    used = RuleUse("used", TODAY - timedelta(days=3), 2, "sent")
    case = situation(loan(facts={"overdue_amount": 123456, "arm": "champion"}, uses=(used,)))
    decision = resolve(case, rules, denying(channel="call"))
    assert drawn(explain(decision, case, rules)) == [
        "note borrower 1 on 2026-11-24",
        "  ok loan L100: contact, a contact is planned",
        "    ok strategy test, arm champion",
        "      ok always",
        "    no stage reminded: stays",
        "      no move to-phone to phone: does not match",
        "        no dpd >= 8 (saw 5)",
        "    note rules of stage reminded",
        "      no rule used (collect): not again yet (used 1 of 1 per stage)",
        "        ok always",
        "        note because: a test",
        "      no rule call (collect): refused",
        "        ok all of",
        "          ok dpd >= 3 (saw 5)",
        "          ok overdue_amount >= 5000 (saw 1234.56 EUR)",
        "        note because: a test",
        "        no call to borrower 1, endpoint 10: denied",
        "          no gate: deny",
        "            no test.deny: deny: no [a law]",
        "        no call to borrower 1, endpoint 11: denied",
        "          no gate: deny",
        "            no test.deny: deny: no [a law]",
        "      ok rule sms (collect): chosen",
        "        ok always",
        "        note because: Most people simply forgot.",
        "        ok sms to borrower 1, endpoint 10: may go at 2026-11-24 09:30 UTC",
        "          ok gate: allow",
        "      no rule late (collect): does not match",
        "        no dpd >= 30 (saw 5)",
        "        note because: a test",
        "      unknown rule unsure (collect): unknown",
        "        unknown calls_7d = 1 (saw nothing: unknown)",
        "        note because: a test",
        "      no rule bounced (collect): matches, but listens only to payment_reversed",
        "        ok always",
        "        note because: a test",
        "      no rule over (collect): matches, but ended on 2026-11-23",
        "        ok always",
        "        note because: a test",
        "      note rule behind (collect): not reached: a rule above it goes",
        "        ok always",
        "        note because: a test",
        "    ok sms wins: the rules before it could not: used, call",
        "    ok planned: sms `reminder` to borrower 1, 2026-11-24 09:30 UTC to 2026-11-25 09:30 UTC",
    ]


def test_a_move_and_its_duty_are_drawn_with_the_facts_after_it():
    """A taken move shows its verdict, and the new stage's rules show the stage facts as the move made them."""
    plan = strategy(
        rule("brief", stage="legal", when=leaf("days_in_stage", 0)),
        moves=(move("sue", "reminded", "legal"), move("never", "reminded", "phone")),
    )
    case = situation(loan())
    lines = drawn(explain(resolve(case, book(plan)), case, book(plan)))
    assert lines[4:9] == [
        "    ok stage reminded → legal",
        "      ok move sue to legal: taken",
        "        ok always",
        "        ok gate: allow",
        "      note move never to phone: not reached",
    ]
    assert "        ok days_in_stage = 0 (saw 0)" in lines


def test_waiting_covered_and_overlapping_loans_say_so():
    """A wait shows when it could go; a covered loan shows who speaks; an overlap shows every strategy's condition."""
    case = situation(loan())
    later = explain(
        resolve(case, book(strategy(rule("r"))), deferring(NOW + timedelta(days=2))), case, book(strategy(rule("r")))
    )
    assert "    note could go from 2026-11-26 09:30 UTC; the sweeps until then look again" in drawn(later)
    two = situation(loan(1), loan(2))
    covered = drawn(explain(resolve(two, book(strategy(rule("r")))), two, book(strategy(rule("r")))))
    assert "  no loan L2: covered, another loan's contact speaks for it" in covered
    assert "    note loan L1 speaks for this loan" in covered
    both = book(strategy(id="a", applies_to=leaf("dpd", 5)), strategy(id="b"))
    assert drawn(explain(resolve(case, both), case, both))[1:] == [
        "  no loan L100: overlap, more than one strategy applies",
        "    ok strategy a",
        "      ok dpd = 5 (saw 5)",
        "    ok strategy b",
        "      ok always",
    ]


def test_a_delay_keeps_its_reason_in_the_drawing():
    """Why a contact goes only at six is shown with the act that goes at six."""
    case = situation(loan())
    plan = book(strategy(rule("r")))
    lines = drawn(explain(resolve(case, plan, deferring(NOW + timedelta(hours=5))), case, plan))
    assert "          no test.later: defer until 2026-11-24 14:30 UTC: later [a law]" in lines


def test_the_log_alone_can_be_drawn():
    """Without facts and strategy the stored decision still shows what was judged and what was said."""
    plan = book(strategy(rule("call", acts=CALL), rule("sms"), moves=(move("up", "reminded", "legal"),)))
    (answer,) = resolve(situation(loan()), plan, denying(act="stage_move")).loans
    assert drawn(explain_loan(from_json(trace_json(answer)), on=TODAY)) == [
        "ok loan 100: contact, a contact is planned",
        "  ok strategy test",
        "  no stage reminded: stays",
        "    no move up to legal: the gate does not let it",
        "      no gate: deny",
        "        no test.deny: deny: no [a law]",
        "  note rules of stage reminded",
        "    ok rule call (collect): chosen",
        "      ok call to borrower 1, endpoint 10: may go at 2026-11-24 09:30 UTC",
        "        ok gate: allow",
        "    note rule sms (collect): not reached: a rule above it goes",
        "  ok call wins: the first rule that matched may go",
        "  ok planned: call `first-call` to borrower 1, 2026-11-24 09:30 UTC to 2026-11-25 09:30 UTC",
    ]


def test_the_tree_as_json():
    """Every line becomes label, mark and children."""
    node = ExplainNode("a", "ok", (ExplainNode("b", "unknown"),))
    assert to_json(node) == {
        "label": "a",
        "mark": "ok",
        "children": [{"label": "b", "mark": "unknown", "children": []}],
    }


def test_a_stored_decision_reads_back_equal():
    """Verdicts, delays, contacts, covers and instants survive the log unchanged."""
    until = NOW + timedelta(hours=3)

    def answer(ask, now):
        reasons = (Reason("a.b", "defer", "law 1", "später", until, "稍后", "house"),)
        return Verdict("defer", reasons, until) if ask.channel == "sms" and now < until else None

    plan = book(
        strategy(
            rule("call", acts=CALL, valid_until=TODAY),
            rule("n", purpose="required_notice", acts=(Act("letter", "n"), Act("sms", "n"))),
            moves=(move("up", "phone", "legal"),),
        )
    )
    decision = resolve(situation(loan(1), loan(2), loan(3, "phone")), plan, FakeGate(answer))
    for each in decision.loans:
        assert from_json(trace_json(each)) == each
        assert from_json(trace_json(replace(each, next_look=until))) == replace(each, next_look=until)
    assert '"verdict":{"outcome":"allow"' in trace_json(decision.loans[0])
