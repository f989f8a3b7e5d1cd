"""What is said to a person: one language, one source for every number, and nothing that is not known."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.render import Values, render
from channels.template_file import Template, read_templates
from channels.wording import amount, day, masked, opt_out, plain, product, sms_segments
from engine.errors import DataError

VALUES = Values(
    "王芳", "李强", "Example Lender", "+1 555 0100", "https://lender.example", "CF-2024-004821", "personal", "CNY",
    123_450, 900_000, 5_000, date(2026, 4, 5), date(2026, 2, 5), 28, 50_000, date(2026, 3, 9),
)  # fmt: skip
SHIPPED = Path(__file__).parents[2] / "rules" / "templates"


def template(body: str, *, html: str = "", channels: str = "sms, email, letter") -> Template:
    parts = {"subject": "About {{ loan.ref }}", "text": body, **({"html": html} if html else {})}
    wording = "".join(f"  {name}: '{value}'\n" for name, value in parts.items())
    text = f"template: t\nchannels: [{channels}]\npurpose: service\nen:\n{wording}zh:\n{wording}"
    return read_templates({"t.yaml": text}).by_name["t"]


def test_numbers_are_said_in_the_language_of_the_text():
    """Amounts with their currency, dates in words, the reference masked."""
    said = template("{{ loan.overdue }} | {{ loan.due_on }} | {{ loan.dpd }} | {{ loan.product }} | {{ opt_out }}")
    english, chinese = (render(said, "sms", language, VALUES).text for language in ("en", "zh"))
    assert english == "CNY 1,234.50 | April 5, 2026 | 28 | personal loan | Reply STOP to opt out."
    assert chinese == "1,234.50元 | 2026年4月5日 | 28 | 个人贷款 | 回复STOP退订。"
    assert render(said, "email", "en", VALUES).subject == "About ****4821"


def test_subject_text_and_html_say_the_same_number():
    """All parts of a mail come from the same values, formatted once (S05)."""
    said = template("{{ loan.overdue }}", html="<b>{{ loan.overdue }}</b>")
    for minor in (0, 1, 99, 100, 123_456_789):
        rendered = render(said, "email", "en", replace(VALUES, overdue_minor=minor))
        assert rendered.html == f"<b>{rendered.text}</b>"


@pytest.mark.parametrize(
    ("wanted", "fallback", "expected"),
    [("zh", "en", "zh"), ("zh-CN", "en", "zh"), ("zh_Hans", "en", "zh"), ("ZH", "en", "zh"), ("es", "zh", "zh"),
     ("", "en", "en")],
)  # fmt: skip
def test_the_borrowers_language_else_the_lenders_never_a_mixture(wanted: str, fallback: str, expected: str):
    """A language the template lacks falls back as a whole."""
    rendered = render(template("{{ loan.overdue }}"), "sms", wanted, VALUES, fallback=fallback)
    assert (rendered.language, rendered.text) == (expected, "CNY 1,234.50" if expected == "en" else "1,234.50元")


def test_a_language_nobody_wrote_is_refused():
    """There is no third choice."""
    english = "template: t\nchannels: [sms]\npurpose: service\nen: {text: hello}\n"
    only = read_templates({"t.yaml": english}, languages=("en",)).by_name["t"]
    with pytest.raises(DataError) as refused:
        render(only, "sms", "es", VALUES, fallback="zh")
    assert (
        str(refused.value) == "t.yaml:1:1: template `t` is written neither in `es` nor in `zh`\n  mend: add `zh:` to it"
    )


@pytest.mark.parametrize("dpd", [None, 0, -1])
def test_nobody_is_told_of_a_late_payment_that_is_not_late(dpd: int | None):
    """A number that only a late payment has waits for the due date to have passed, whatever rule asked for it (P10)."""
    with pytest.raises(DataError) as refused:
        render(template("your account is {{ loan.dpd }} days late"), "sms", "en", replace(VALUES, dpd=dpd))
    what = "t.yaml:1:1: template `t` says `loan.dpd`, and nothing is past due"
    assert str(refused.value) == f"{what}\n  mend: use it in rules that ask for `dpd >= 1`"


def test_what_is_not_known_is_not_said():
    """A missing value stops the message; asked for with `if`, it is left out."""
    unknown = replace(VALUES, promise_minor=None, promise_due_on=None)
    with pytest.raises(DataError) as refused:
        render(template("pay {{ promise.amount }}"), "sms", "en", unknown)
    what = "t.yaml:1:1: template `t` says `promise.amount`, which is not known"
    mend = "import it, or say it inside `{% if promise.amount %}...{% endif %}`"
    assert str(refused.value) == f"{what}\n  mend: {mend}"
    careful = template("pay{% if promise %} {{ promise.amount }}{% endif %}")
    assert render(careful, "sms", "en", unknown).text == "pay"
    assert render(careful, "sms", "en", VALUES).text == "pay CNY 500.00"


def test_values_are_text_and_never_code_or_markup():
    """A name cannot run, break out of HTML, or start a line of its own."""
    evil = replace(VALUES, borrower_name="{{ loan.balance }}\r\nBcc: x <b>&\x00")
    said = template("{{ borrower.name }}", html="<p>{{ borrower.name }}</p>")
    rendered = render(said, "email", "en", evil)
    assert rendered.text == "{{ loan.balance }} Bcc: x <b>&"
    assert rendered.html == "<p>{{ loan.balance }} Bcc: x &lt;b&gt;&amp;</p>"


@pytest.mark.parametrize(
    ("channel", "subject", "html", "opt_out_line"),
    [("sms", "", "", "Reply STOP to opt out."), ("email", "About ****4821", "<p>x</p>", "To stop these emails: https://u.example"),
     ("letter", "About ****4821", "", "")],
)  # fmt: skip
def test_each_channel_gets_the_parts_it_has(channel: str, subject: str, html: str, opt_out_line: str):
    """Texts have no subject, only mail has HTML, and a letter has no opt-out line and no gap where it stood."""
    said = template("Hello\\n{{ opt_out }}".replace("\\n", " "), html="<p>x</p>")
    rendered = render(said, channel, "en", replace(VALUES, unsubscribe_url="https://u.example"))
    assert (rendered.subject, rendered.html, rendered.text) == (subject, html, f"Hello {opt_out_line}".strip())


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_templates_render_for_every_channel_and_language(path: Path):
    """Every shipped text comes out whole, in one language, with the opt-out line where the law wants one."""
    (found,) = read_templates({str(path): path.read_text(encoding="utf-8")}).by_name.values()
    for channel in found.channels:
        for language in ("en", "zh"):
            rendered = render(found, channel, language, VALUES)
            assert "{" not in rendered.text + rendered.subject
            assert rendered.text == rendered.text.strip() != ""
            if channel in ("sms", "email") and found.purpose not in ("service", "opt_out_confirmation"):
                assert opt_out(channel, language) in rendered.text
            if channel == "sms":
                assert sms_segments(rendered.text) <= 3


@given(minor=st.integers(-(10**15), 10**15), currency=st.sampled_from(["CNY", "USD", "JPY", "BHD", "INR"]))
def test_an_amount_can_be_read_back_to_the_minor_unit(minor: int, currency: str):
    """No digit is lost or invented, whatever the currency's minor unit."""
    digits = {"JPY": 0, "BHD": 3}.get(currency, 2)
    for language in ("en", "zh"):
        number = "".join(c for c in amount(minor, currency, language) if c in "-.0123456789")
        assert Decimal(number).scaleb(digits) == minor


def test_how_amounts_days_and_references_look():
    """Examples of each."""
    assert amount(123_450, "USD", "en") == "$1,234.50"
    assert amount(-5, "EUR", "en") == "€-0.05"
    assert amount(500, "JPY", "zh") == "500日元"
    assert amount(1_500, "BHD", "zh") == "1.500 BHD"
    assert day(date(2026, 12, 1), "en") == "December 1, 2026"
    assert [masked(ref) for ref in ("CF-2024-004821", "123456", "12", "")] == ["****4821", "****456", "****2", "****"]
    assert product("gold_loan", "zh") == "gold loan"
    assert plain(" a\tb\u2028c\x7f ") == "a b c"
    with pytest.raises(DataError) as refused:
        amount(1, "XYZ", "en")
    assert str(refused.value) == "`XYZ` is no currency of ISO 4217\n  mend: write a code like `CNY`"


@pytest.mark.parametrize(
    ("channel", "language", "url", "expected"),
    [
        ("email", "en", "", "To stop these emails, reply with STOP."),
        ("email", "zh", "", "如不愿再收到此类邮件，请回复STOP。"),
        ("email", "en", "mailto:s@l.example?subject=1", "To stop these emails, write STOP to s@l.example."),
        ("email", "zh", "mailto:s@l.example", "如不愿再收到此类邮件，请发送STOP至s@l.example。"),
        ("email", "zh", "https://l.example/u", "退订此类邮件：https://l.example/u"),
        ("call", "en", "https://l.example/u", ""),
    ],
)
def test_how_to_opt_out_is_said_the_way_that_works(channel: str, language: str, url: str, expected: str):
    """By the channel's own means, in the language of the message."""
    assert opt_out(channel, language, url) == expected


@pytest.mark.parametrize(
    ("text", "segments"),
    [("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("{" * 80, 1), ("{" * 81, 2),
     ("还" * 70, 1), ("还" * 71, 2), ("还" * 134, 2), ("还" * 135, 3), ("a" * 70 + "“", 2), ("😀" * 35, 1), ("😀" * 36, 2)],
)  # fmt: skip
def test_text_messages_are_counted_as_carriers_count_them(text: str, segments: int):
    """GSM characters seven bits each, some of them twice; anything else turns the whole text to two bytes."""
    assert sms_segments(text) == segments


def test_the_reader_and_the_borrower_are_two_people():
    """A guarantor is addressed by name and told whose loan it is; whoever may not learn that is not told."""
    said = template("{{ addressee.name }}{% if borrower.name %}: {{ borrower.name }}{% endif %}")
    assert render(said, "letter", "en", VALUES).text == "李强: 王芳"
    assert render(said, "letter", "en", replace(VALUES, borrower_name="")).text == "李强"
    with pytest.raises(DataError) as refused:
        render(template("{{ borrower.name }}"), "letter", "en", replace(VALUES, borrower_name=""))
    assert str(refused.value).startswith("t.yaml:1:1: template `t` says `borrower.name`, which is not known")


def test_what_a_text_says_is_known_value_by_value():
    """A gateway that sends approved templates gets each value as the text says it, and none that it does not say."""
    said = template("{{ addressee.name }}: {{ loan.overdue }}{% if promise.amount %} {{ promise.amount }}{% endif %}")
    rendered = render(said, "sms", "en", replace(VALUES, promise_minor=None))
    assert rendered.text == f"{rendered.values['addressee.name']}: {rendered.values['loan.overdue']}"
    assert not {"promise.amount", "borrower.name", "lender.phone"} & set(rendered.values)
