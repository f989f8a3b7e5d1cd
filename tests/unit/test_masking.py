"""What is shown of a number or an address where nobody needs all of it."""

from hypothesis import given
from hypothesis import strategies as st

from duecourse.masking import masked


@given(st.from_regex(r"\+[1-9][0-9]{3,14}", fullmatch=True))
def test_of_a_number_most_stays_hidden(number: str) -> None:
    """Its last digits, never more than a third of it and never more than four."""
    shown = masked("mobile", number).removeprefix("***")
    assert number.endswith(shown)
    assert len(shown) <= min(4, len(number) / 3)


@given(st.from_regex(r"[a-z][a-z.]{2,20}@[a-z]{3,20}[.][a-z]{2,6}", fullmatch=True))
def test_of_a_mail_address_neither_name_nor_domain_can_be_read(address: str) -> None:
    """One letter of each, and the end of the domain."""
    name, _, domain = address.partition("@")
    host, _, end = domain.partition(".")
    assert masked("email", address) == f"{name[0]}***@{host[0]}***.{end}"


@given(st.text())
def test_of_a_postal_address_nothing_is_shown(text: str) -> None:
    """Where somebody lives has no harmless part; nor has what is of a kind that nobody knows."""
    assert {masked("postal", text), masked("pager", text)} == {"***"}


@given(st.text(max_size=30), st.sampled_from(["mobile", "landline", "email"]))
def test_whatever_stands_there_something_is_answered(text: str, kind: str) -> None:
    """A value that is none of its kind is masked as well."""
    assert "***" in masked(kind, text)
