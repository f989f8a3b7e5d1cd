"""Template files are read whole or refused whole, with every problem, its place and its mend."""

from pathlib import Path

import pytest

from channels.template_file import Template, read_templates
from engine.content import VARIABLES
from engine.errors import DataError, RuleError

GOOD = """\
template: friendly-reminder
channels: [sms, email]
purpose: collect
en:
  subject: A payment may have slipped your mind
  text: >-
    {{ lender.name }}: {{ loan.overdue }} was due on {{ loan.first_unpaid_on }}. {{ opt_out }}
zh:
  subject: 还款提醒
  text: >-
    【{{ lender.name }}】有{{ loan.overdue }}应于{{ loan.first_unpaid_on }}归还。
    {{ opt_out }}
"""
SHIPPED = Path(__file__).parents[2] / "rules" / "templates"


def read(text: str) -> Template:
    return next(iter(read_templates({"t.yaml": text}).by_name.values()))


def refusal(text: str) -> str:
    with pytest.raises(RuleError) as refused:
        read_templates({"t.yaml": text})
    return str(refused.value)


def test_a_good_file_says_what_it_is_for():
    """Channels, purpose and variables are known before anything is sent."""
    template = read(GOOD)
    assert (template.name, template.channels, template.purpose) == ("friendly-reminder", ("sms", "email"), "collect")
    assert template.uses == {"lender.name", "loan.overdue", "loan.first_unpaid_on", "opt_out"}
    assert len(template.digest) == 64


def test_shipped_templates_are_good():
    """Every template that ships can be read, in both languages."""
    files = {str(path): path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.yaml")}
    templates = read_templates(files)
    assert len(templates.by_name) == len(files) > 0
    assert all(set(template.wordings) == {"en", "zh"} for template in templates.by_name.values())


def test_every_problem_of_a_file_is_said_at_once():
    """Unknown keys, channels, purposes and variables, missing languages and parts, all with place and mend."""
    text = """\
template: Friendly Reminder
chhannels: [sms]
channels: [smss, email]
purpose: colect
en:
  subject: ''
  txt: hello
  html: |
    {{ lender.nme }}
    {{ loan.overdue | round }}
    {% for x in loan %}{% endfor %}
fr: {text: bonjour}
"""
    assert refusal(text) == (
        "t.yaml:2:1: unknown key `chhannels`\n  mend: write `channels`\n"
        "t.yaml:12:1: unknown key `fr`\n  mend: write one of template, channels, purpose, recorded, en, zh\n"
        "t.yaml:1:11: the template has no name\n  mend: write `template: friendly-reminder`\n"
        "t.yaml:3:12: unknown channel `smss`\n  mend: write `sms`\n"
        "t.yaml:4:10: unknown purpose `colect`\n  mend: write `collect`\n"
        "t.yaml:6:12: `subject` is no text\n  mend: write `subject: >-` and the text below it\n"
        "t.yaml:7:3: unknown key `txt`\n  mend: write `text`\n"
        "t.yaml:9: unknown variable `lender.nme`\n  mend: write `lender.name`\n"
        "t.yaml:10: a text cannot use a filter; amounts and dates come formatted\n"
        "  mend: say a value with `{{ loan.ref }}`, or test that it is known with `{% if promise %}`\n"
        "t.yaml:11: a text cannot use a loop\n"
        "  mend: say a value with `{{ loan.ref }}`, or test that it is known with `{% if promise %}`\n"
        "t.yaml:5:1: `en` has no text\n  mend: write `en: {text: ...}`\n"
        "t.yaml:1:1: language `zh` is missing\n  mend: write `zh: {text: ...}`"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "t.yaml: the file is empty\n  mend: write it, or delete it"),
        ("- a", "t.yaml:1:1: a template is a table\n  mend: write `template: name` on its first line"),
        (GOOD.replace("channels: [sms, email]\n", ""),
         "t.yaml:1:1: the template names no channel\n  mend: write `channels: [sms, email]`"),
        (GOOD.replace("purpose: collect\n", ""),
         "t.yaml:1:1: the template has no purpose\n  mend: write `purpose: collect`"),
        (GOOD.replace("[sms, email]", "[pigeon, sms, email]"),
         "t.yaml:2:12: unknown channel `pigeon`\n  mend: write one of sms, email, call, visit, letter, legal"),
        (GOOD.replace("  subject: 还款提醒\n", ""),
         "t.yaml:8:1: `zh` has no subject for its email\n  mend: write `subject: ...`"),
        (GOOD.replace("{{ loan.overdue }}应", "1,234.50元应"),
         ("t.yaml:11:25: `zh` writes out the amount `1,234.50元`\n  mend: use a value such as `{{ loan.overdue }}`\n"
         "t.yaml:8:1: `zh` does not say `loan.overdue`, which `en` says\n"
         "  mend: say the same numbers in every language")),
        (GOOD.replace("{{ opt_out }}\nzh", "{{ opt_out }}\n  html: <p>{{ lender.name }} {{ loan.overdue }} {{ opt_out }}</p>\nzh"),
         ("t.yaml:4:1: `en` says `loan.first_unpaid_on` in only one of `text` and `html`\n"
         "  mend: say the same numbers in both")),
        (GOOD.replace("was due", "was due " + "and very " * 120),
         "t.yaml:4:1: `en` makes 8 text messages; at most 6 are sent as one\n  mend: say less, or use another channel"),
        (GOOD.replace("{{ loan.overdue }} was", "{{ loan.overdue } was"),
         ("t.yaml:6:9: the text does not parse: unexpected `}`\n"
         "  mend: write `{{ loan.ref }}` or `{% if promise %}...{% endif %}`")),
        (GOOD.replace("{{ loan.overdue }} was", "{{ overdue }} was"),
         "t.yaml:6:9: unknown variable `overdue`\n  mend: write `loan.overdue`"),
        (GOOD.replace("{{ loan.overdue }} was", "{{ xyzzy }} was"),
         "t.yaml:6:9: unknown variable `xyzzy`\n  mend: there are " + ", ".join(f"`{v}`" for v in VARIABLES)),
    ],
)  # fmt: skip
def test_what_is_refused_and_how_it_is_mended(text: str, what: str):
    """One mistake, one message."""
    assert refusal(text) == what


SPOKEN = """\
template: call-back
channels: [call]
purpose: collect
recorded: true
en:
  text: This is {{ lender.name }}. Please call us at {{ lender.phone }}.
zh:
  text: 这里是{{ lender.name }}，请回电{{ lender.phone }}。
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SPOKEN.replace("This is", "For {{ addressee.name }}, {{ loan.ref }}, from"),
         ("t.yaml:5:1: `en` says `addressee.name`, `loan.ref` to whoever picks up\n"
         "  mend: say only `lender.name`, `lender.phone`, `lender.url`: who calls, and where to call back")),
        (SPOKEN.replace("{{ lender.phone }}。", "我们。"),
         ("t.yaml:7:1: `zh` does not say `lender.phone`, which a recorded call owes whoever hears it\n"
         "  mend: say who calls and the number to call back")),
        (SPOKEN.replace("Please", "Please " * 120),
         "t.yaml:5:1: `en` takes more than a minute to hear: 898 characters, at most 800\n  mend: say less: it is heard twice"),
        (SPOKEN.replace("[call]", "[call, sms]"),
         ("t.yaml:4:11: a text that is read out in a call is for other channels too\n"
         "  mend: write `channels: [call]`, and another template for the others")),
        (SPOKEN.replace("true", "yes"), "t.yaml:4:11: `recorded` is not `true`\n  mend: write `recorded: true`, or leave it out"),
    ],
)  # fmt: skip
def test_what_whoever_picks_up_may_hear(text: str, what: str):
    """A recorded call says who calls and where to call back, and nothing that a child who picks up must not hear."""
    assert read(SPOKEN).recorded
    assert not read(GOOD).recorded
    assert refusal(text) == what


@pytest.mark.parametrize(
    "expression",
    [
        "{{ ''.__class__.__mro__ }}", "{{ loan.__class__ }}", "{{ loan.items() }}", "{{ loan['ref'] }}", "{{ 7 * 7 }}",
        "{% set x = 1 %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% macro m() %}{% endmacro %}",
        "{% raw %}{{ loan.ref }}{% endraw %}", "{{ lender.name if promise else lender.url }}", "{% if loan.dpd > 30 %}x{% endif %}", "{{ self }}",
        "{% raw %}{{ x }}{% endraw %}{{ cycler }}", "{{ loan.ref ~ loan.ref }}", "{% if promise is defined %}x{% endif %}",
    ],
)  # fmt: skip
def test_nothing_but_values_and_presence(expression: str):
    """No calls, no attributes of our objects, no arithmetic, no comparisons, no inclusion of other files."""
    with pytest.raises(RuleError):
        read(GOOD.replace("was due", f"was due {expression}"))


def test_presence_of_a_value_or_a_group_may_be_asked():
    """`{% if %}` takes a variable or a group, with not, and, or."""
    asked = "{% if promise and not loan.min_payment %}on {{ promise.due_on }}{% endif %}"
    both = GOOD.replace("{{ opt_out }}", asked + " {{ opt_out }}")
    assert "promise.due_on" in read(both).uses


def test_chinese_sentences_are_not_torn_apart_by_line_breaks():
    """A line break of the file leaves no space between two Chinese sentences, and keeps those around a value."""
    text = read(GOOD.replace("归还。\n", "归还。\n    谢谢。\n")).wordings["zh"].text
    assert text.endswith("归还。谢谢。 {{ opt_out }}")


def test_a_name_is_given_once_and_problems_of_all_files_come_together():
    """Two files of one name, and a broken third, are one refusal."""
    with pytest.raises(RuleError) as refused:
        read_templates({"b.yaml": GOOD, "a.yaml": GOOD, "c.yaml": "- a"})
    assert str(refused.value) == (
        "b.yaml:1:1: template `friendly-reminder` is written twice, first in a.yaml\n"
        "  mend: rename or delete one of them\n"
        "c.yaml:1:1: a template is a table\n  mend: write `template: name` on its first line"
    )


def test_a_template_is_asked_for_by_name_and_channel():
    """A wrong name and a wrong channel each say what to do."""
    templates = read_templates({"t.yaml": GOOD})
    assert templates.get("friendly-reminder", "sms").name == "friendly-reminder"
    with pytest.raises(DataError) as refused:
        templates.get("friendly-remainder", "sms")
    assert str(refused.value) == "unknown template `friendly-remainder`\n  mend: write `friendly-reminder`"
    with pytest.raises(DataError) as refused:
        templates.get("friendly-reminder", "letter")
    what = "t.yaml:1:1: template `friendly-reminder` is not written for letter"
    assert str(refused.value) == f"{what}\n  mend: add `letter` to its `channels:`"


def test_a_lender_may_write_one_language_only():
    """Which languages every template must have is the lender's choice."""
    english = GOOD.partition("zh:")[0]
    assert set(read_templates({"t.yaml": english}, languages=("en",)).by_name["friendly-reminder"].wordings) == {"en"}
