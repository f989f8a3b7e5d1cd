"""Who is named in what goes out: the reader always, the borrower to those who stand for the contract."""

from datetime import date, datetime

import pytest

from channels.template_file import Templates, read_templates
from config.settings import Lender
from duecourse.compose import Composer
from engine.errors import DataError
from store.db import Database
from store.tables import Contact
from tests.factories import at, make_loan, make_person

ON = date(2026, 3, 12)
NOW: datetime = at(ON, 4)
TEXT = "For {{ addressee.name }}: the loan of {{ borrower.name }}."
CAREFUL = "For {{ addressee.name }}{% if borrower.name %}: the loan of {{ borrower.name }}{% endif %}."


def templates(text: str) -> Templates:
    file = f"template: note\nchannels: [letter]\npurpose: service\nen: {{text: '{text}'}}\nzh: {{text: '{text}'}}\n"
    return read_templates({"note.yaml": file})


def brief(database: Database, role: str, text: str) -> str:
    """What a letter to somebody in that role says about a loan of Ada Borrower."""
    borrower = make_person(database, name="Ada Borrower")
    reader = borrower if role == "borrower" else make_person(database, name="Gus Reader")
    loan = make_loan(database, borrower_id=borrower, instalments=[(date(2026, 3, 1), 100_00)])
    contact = Contact(
        id="1-1-1", loan_id=loan, person_id=reader, role=role, channel="letter", purpose="service", name="note",
        slot="", status="planned", planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW,
    )  # fmt: skip
    composer = Composer(templates(text), Lender(name="Example Lender"), "en")
    with database.session() as session:
        return composer.brief(session, contact, {"dpd": 11}, ON)


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("borrower", "For Ada Borrower: the loan of Ada Borrower."),
        ("co_borrower", "For Gus Reader: the loan of Ada Borrower."),
        ("guarantor", "For Gus Reader: the loan of Ada Borrower."),
        ("attorney", "For Gus Reader: the loan of Ada Borrower."),
        ("contact_person", "For Gus Reader."),
        ("third_party", "For Gus Reader."),
        ("spouse", "For Gus Reader."),
    ],
)
def test_each_reader_is_addressed_and_only_parties_learn_whose_loan_it_is(
    sqlite_database: Database, role: str, said: str
):
    """A guarantor reads their own name on the letter and the borrower's in it; a contact person reads only their own."""
    assert brief(sqlite_database, role, CAREFUL).rpartition("\n")[2] == said


def test_a_text_that_must_name_the_borrower_does_not_go_to_an_outsider(sqlite_database: Database):
    """Rather no letter than one that tells whose loan it is."""
    with pytest.raises(DataError) as refused:
        brief(sqlite_database, "contact_person", TEXT)
    assert str(refused.value) == (
        "note.yaml:1:1: template `note` says `borrower.name`, which is not known\n"
        "  mend: import it, or say it inside `{% if borrower.name %}...{% endif %}`"
    )
