"""What a reply of one word means, in three languages."""

import pytest

from engine.errors import RuleError
from workflows.inbox.reply_words import meaning_of, read_words

TCPA = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10): by any of these whoever says it has revoked."""


@pytest.mark.parametrize("word", TCPA)
@pytest.mark.parametrize("said", ["{}", "  {}!! ", "Please {}", "{}, thanks.", "{} {}"])
def test_the_words_of_the_telephone_statute_are_definitive(word: str, said: str) -> None:
    """Capitals, punctuation, politeness and saying it twice change nothing."""
    for spelt in (word, word.upper(), word.replace(" ", "-")):
        assert meaning_of(said.format(spelt, spelt)) == "stop"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("退订", "stop"), ("请不要再发了，谢谢", "stop"), ("ＴＤ", "stop"), ("t", "stop"), ("Don’t text me", "stop"),
        ("alto", "stop"), ("No más mensajes, por favor", "stop"), ("BAJA", "stop"),
        ("START", "start"), ("unstop", "start"), ("恢复", "start"), ("reanudar", "start"),
        ("help", "help"), ("帮助", "help"), ("¿Ayuda?", "help"), ("Información", "help"),
        ("Wrong number.", "wrong_person"), ("你发错了", "wrong_person"), ("número equivocado", "wrong_person"),
        ("stop by my office", "free"), ("I will end this debt in May", "free"), ("please", "free"), ("", "free"),
        ("yes", "free"), ("我下周还", "free"), ("stop start", "free"), ("I lost my job", "free"),
    ],
)  # fmt: skip
def test_a_message_counts_as_a_whole(text: str, meaning: str) -> None:
    """A word in a sentence is for a person to read; a whole message is a word, whatever the spelling."""
    assert meaning_of(text) == meaning


def test_words_that_do_not_hold_together_are_refused_with_their_place() -> None:
    """A phrase of two kinds and a kind that is missing: every problem at once."""
    with pytest.raises(RuleError) as caught:
        read_words("stop: {en: [stop, '!']}\nstart: {en: [Stop]}\nhelp: {en: [help]}\nodd: {en: [x]}\n", "w.yaml")
    assert [problem.what for problem in caught.value.problems] == [
        "a phrase of `en` says nothing", "`stop` means `stop` and `start`", "unknown kind `odd`",
        "`wrong_person` is missing", "`polite` is missing",
    ]  # fmt: skip
