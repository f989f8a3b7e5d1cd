"""How a phrase of a pack is found in a text, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance import shipped_packs
from compliance.pack import Wording
from compliance.phrases import UnreadablePhrase, read, source

SHIPPED = sorted(
    {
        phrase
        for pack in shipped_packs()
        for rule in pack.rules
        if isinstance(rule.limit, Wording)
        for element in (*rule.limit.requires, *rule.limit.forbids)
        for phrase in element.in_all()
    }
)


def found(phrase: str, text: str, **values: str) -> list[str]:
    """The words of a text that are the phrase."""
    said = {name.replace("_", ".", 1): value for name, value in values.items()}
    return [text[start:end] for start, end in read(text, said).found([phrase])]


@pytest.mark.parametrize(
    ("phrase", "text", "words"),
    [
        # Capitals, gaps, full-width letters, kinds of dash and apostrophe, and what nobody sees make no difference.
        ("past due", "It is PAST  DUE.", ["PAST  DUE"]),
        ("past due", "It is past\n    due.", ["past\n    due"]),
        ("past due", "It is ｐａｓｔ ｄｕｅ.", ["ｐａｓｔ ｄｕｅ"]),
        ("past due", "It is pa\u200bst\u00a0due.", ["pa\u200bst\u00a0due"]),
        ("past due", "It is past\u200b due.", ["past\u200b due"]),
        ("past-due", "a past\u2011due bill", ["past\u2011due"]),
        ("you're late", "You’re late.", ["You’re late"]),
        ("past due", "It is pastdue.", []),
        # Latin words stand alone; an asterisk is the rest of one.
        ("sue", "an issue, sued, sue", ["sue"]),
        ("sue*", "an issue, sued, sue", ["sued", "sue"]),
        ("arrest*", "Arrested!", ["Arrested"]),
        ("criminal charge*", "criminal charges follow", ["criminal charges"]),
        ("debt", "debt_id", []),
        ("reply STOP", "回复请用 reply stop退订", ["reply stop"]),
        # Chinese is found anywhere, with gaps or without.
        ("逾期", "您的贷款已逾 期三天", ["逾 期"]),
        ("回复T退订", "回复 t 退订", ["回复 t 退订"]),
        ("回复T", "回复TD退订", []),
        # Values, groups of values, and money.
        ("{{ opt_out }}", "Bye. {{opt_out}}", ["{{opt_out}}"]),
        ("{{ loan.* }}", "{{ loan.ref }}, {{- promise.amount -}}", ["{{ loan.ref }}"]),
        ("loan", "{{ loan.ref }} {{ loan.overdue }}", []),
        ("overdue", "{{ loan.overdue }} overdue", ["overdue"]),
        ("欠款{{ loan.overdue }}", "欠款 {{ loan.overdue }}", ["欠款 {{ loan.overdue }}"]),
        ("{amount}", "pay $1,234.50 or 5元 or CNY 7", ["$1,234.50", "5元", "CNY 7"]),
        ("{amount}", "call 12345", []),
        ("{{ opt_out }}", "\ue00f \ue010 \ue011 \ue012", []),
    ],
)
def test_what_a_phrase_finds(phrase: str, text: str, words: list[str]):
    """As a person reads the text, and with the words as they stand in it."""
    assert found(phrase, text) == words


def test_a_value_that_is_written_out_is_the_value():
    """An agent types the lender's name where a template would have it filled in; what is in the name is not a phrase."""
    assert found("{{ lender.name }}", "example lender here", lender_name="Example Lender") == ["example lender"]
    assert found("{{ lender.name }}", "Another Lender here", lender_name="Example Lender") == []
    assert found("loan*", "Good Loan Company, a loan", lender_name="Good Loan Company") == ["loan"]
    assert found("{{ lender.phone }}", "call us", lender_phone=" ") == []


@pytest.mark.parametrize(
    ("phrase", "what", "mend"),
    [
        ("{{ loan.overdu }}", "unknown value `{{ loan.overdu }}`", "write `{{ loan.overdue }}`"),
        ("{{ loans.* }}", "unknown value `{{ loans.* }}`", "write `{{ loan.* }}`"),
        ("{{ * }}", "unknown value `{{ * }}`", "write `{{ loan.* }}`"),
        ("{{ weather }}", "unknown value `{{ weather }}`", "write `{{ lender.* }}`"),
        ("{amuont}", "unknown pattern `{amuont}`", "write `{amount}` for money written out, or words"),
        ("*", "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"),
        ("sue *", "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"),
        ("s*e", "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"),
        ("逾*", "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"),
        ("sue**", "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"),
        ("...", "there is nothing to find in it", "write the words that are meant"),
        ("", "there is nothing to find in it", "write the words that are meant"),
    ],
)  # fmt: skip
def test_what_no_phrase_is(phrase: str, what: str, mend: str):
    """A phrase that could never find anything, or does not say what, is refused when it is read."""
    with pytest.raises(UnreadablePhrase) as refused:
        source(phrase)
    assert (refused.value.what, refused.value.mend) == (what, mend)


_FILLER = st.text(st.characters(blacklist_categories=("Cs",)) | st.sampled_from("  \n词句,."), max_size=30)


@given(phrase=st.sampled_from(SHIPPED), before=_FILLER, after=_FILLER)
def test_a_shipped_phrase_is_found_where_it_stands_whatever_is_around_it(phrase: str, before: str, after: str):
    """No text, however odd, hides a phrase between gaps; the place named is the place in the text as it was written."""
    words = phrase.replace("*", "").replace("{amount}", "$5").replace("{{ loan. }}", "{{ loan.ref }}")
    words = words.replace("{{ promise. }}", "{{ promise.amount }}")
    text = f"{before}\n{words}\n{after}"
    spots = list(read(text).found([phrase]))
    assert any(start <= len(before) + 1 and end >= len(before) + 1 + len(words) for start, end in spots)
    assert all(0 <= start < end <= len(text) for start, end in spots)
    assert [start for start, _ in spots] == sorted(start for start, _ in spots)
