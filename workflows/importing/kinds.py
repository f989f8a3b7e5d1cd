"""Every kind of file, column by column, in the order in which a folder is imported: what is referred to comes first."""

from typing import Final, get_args

from compliance.limit_file import NOTICES
from compliance.pack import KNOWN_OUTCOMES
from engine.gate import CHANNELS, HOLDS, MARKS, STATEMENTS, Purpose, Role
from workflows.importing.contract import Column, Kind

MOVEMENTS: Final = (
    "payment", "pending_debit", "pending_cancelled", "reversal", "credit", "fee", "waiver", "forgiveness", "charge_off",
)  # fmt: skip
SCOPES: Final = ("call_frequency", "contact_time", "electronic", "prerecorded")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PLACES: Final = ("home", "work")
_PURPOSES: Final = get_args(Purpose)


def _ref(meaning: str) -> Column:
    return Column("ref", "ref", meaning, required=True)


_LOAN: Final = Column("loan", "loan", "the loan's ref", required=True)
_PERSON: Final = Column("person", "person", "the person's ref", required=True)

_PEOPLE: Final = Kind(
    "people",
    "person",
    "Borrowers, guarantors and everybody else who may be addressed.",
    (
        _ref("the lender's name for this person; never changes"),
        Column("name", "text", "as they are addressed", required=True),
        Column("language", "word", "what they read", required=True, values=("en", "zh")),
        Column("country", "country", "its law applies", required=True),
        Column("region", "region", "state or province; its law applies too"),
        Column("zones", "zones", "every zone they may be in; empty is unknown, and then nobody contacts them"),
        Column("preferred_channel", "word", "how they would rather be reached", values=CHANNELS),
    ),
    ("ref",),
    replaces=True,
)
_ENDPOINTS: Final = Kind(
    "endpoints",
    "endpoint",
    "Phone numbers, mail and postal addresses.",
    (
        _PERSON,
        Column("kind", "word", "what it is", required=True, values=("mobile", "landline", "email", "postal")),
        Column("value", "endpoint", "the number or address itself", required=True),
        Column("zone", "zone", "the zone it points to; empty: from the number's prefix where that names exactly one"),
        Column("place", "word", "where it is, if it is tied to a place", values=PLACES),
        Column("rank", "int", "lower is tried first", default="0"),
        Column("valid", "bool", "false: known not to work", default="true"),
        Column("basis", "text", "how the lender came to use it, e.g. direct_consent"),
        Column("basis_at", "instant", "when that basis was last renewed", past=True),
        Column("source", "text", "where it comes from, e.g. contract"),
        Column("marks", "words", "what is known against it; what our own people learnt stays beside it", values=MARKS),
        Column("area", "text", "where a postal address lies, e.g. a district: visits are planned by it"),
    ),
    ("person", "kind", "value"),
    replaces=True,
)
_LOANS: Final = Kind(
    "loans",
    "loan",
    "Loans as agreed. Arrears come from instalments and movements, or for `account` loans from the account feed.",
    (
        _ref("the lender's name for this loan; never changes"),
        Column("borrower", "person", "who owes it; never changes", required=True),
        Column("product", "text", "what strategies tell loans apart by; never changes", required=True),
        Column("currency", "currency", "of every amount of this loan; never changes", required=True),
        Column("principal", "amount", "amount paid out; never changes", required=True),
        Column("opened_on", "date", "day of payout; never changes", required=True),
        Column(
            "basis", "word", "what arrears come from; never changes", values=("schedule", "account"), default="schedule"
        ),
        Column("custody", "word", "who collects it", values=("in_house", "agency", "sold"), default="in_house"),
        Column("autopay", "bool", "a standing debit is agreed", default="false"),
        Column("accelerated", "bool", "the whole balance has been called in", default="false"),
        Column("charged_off_on", "date", "day it was written off in the books; changes no claim"),
        Column("limitation_on", "date", "last day to sue"),
    ),
    ("ref",),
    replaces=True,
)
_PARTIES: Final = Kind(
    "parties",
    "party",
    "Who else stands in which role for a loan.",
    (_LOAN, _PERSON, Column("role", "word", "their part in this loan", required=True, values=get_args(Role)[1:])),
    ("loan", "person", "role"),
)
_INSTALMENTS: Final = Kind(
    "instalments",
    "instalment",
    "Schedules. A loan's schedule is imported whole and replaces the one there was; one bad row rejects all of it.",
    (
        _LOAN,
        Column("number", "int", "1, 2, 3, ... in order of due dates", required=True),
        Column("due_on", "date", "due date as agreed; never computed here", required=True),
        Column("amount", "money", "what falls due", required=True),
    ),
    ("loan", "number"),
    replaces=True,
    whole="loan",
)
_MOVEMENTS: Final = Kind(
    "movements",
    "movement",
    "The ledger: movements of money or claim. They are only ever added; a mistake is taken back by a reversal.",
    (
        _ref("the source's name for this movement; the same again is the same movement"),
        _LOAN,
        Column("kind", "word", "what moved", required=True, values=MOVEMENTS),
        Column("amount", "amount", "the kind gives the sign", required=True),
        Column("effective_on", "date", "value date; of a pending debit the day it is to be collected", required=True),
        Column("recorded_at", "instant", "when the source knew it; empty: what the file is as of", past=True),
        Column("ends", "movement", "what a reversal takes back, or the pending debit that is settled or cancelled"),
    ),
    ("ref",),
    dated=True,
)
_ACCOUNTS: Final = Kind(
    "accounts",
    "account_snapshot",
    "The account-level feed of loans without a schedule: where each stands at the end of a day.",
    (
        _LOAN,
        Column("as_of_on", "date", "the day it describes", required=True, past=True),
        Column("dpd", "int", "days past due", required=True),
        Column("overdue", "money", "amount past due", required=True),
        Column("balance", "money", "amount outstanding", required=True),
        Column("min_payment", "money", "minimum payment of the present statement", default="0"),
        Column("next_due_on", "date", "next due date"),
    ),
    ("loan", "as_of_on"),
    dated=True,
)
_FACTS: Final = Kind(
    "facts",
    "fact_value",
    "Facts that somebody else computes, such as scores; `duecourse rules facts` lists those that can be imported.",
    (
        _LOAN,
        Column("name", "ref", "a fact whose supplier is `imported`", required=True),
        Column("value", "value", "the fact", required=True),
        Column("as_of", "instant", "when it was so; the latest counts", required=True, past=True),
    ),
    ("loan", "name", "as_of"),
)
_CONSENTS: Final = Kind(
    "consents",
    "consent",
    "What people said about being contacted. Only ever added; the latest of its scope counts, but a refusal dated less "
    "than an hour before a permission that another source had told us stands.",
    (
        _ref("the source's name for this statement"),
        _PERSON,
        Column("kind", "word", "what was said", required=True, values=STATEMENTS),
        Column("scope", "word", "of a consent, or of the consent that is taken back", values=SCOPES),
        Column("channels", "words", "what it is about; empty: all channels", values=CHANNELS),
        Column("endpoint", "endpoint", "the number or address it is about; empty: all of them"),
        Column("purposes", "words", "what it is about; empty: all purposes", values=_PURPOSES),
        Column("loan", "loan", "the loan it is about; empty: all of them"),
        Column("hours", "hours", "the local hours it is about; empty: the whole day"),
        Column("days", "words", "the days those hours are on; empty: every day", values=DAYS),
        Column("place", "word", "where contact is inconvenient; empty: everywhere", values=PLACES),
        Column("given_to", "text", "to whom it was said", default="lender"),
        Column("how", "text", "how it was said, e.g. contract, phone"),
        Column("evidence", "text", "where the proof is"),
        Column("received_at", "instant", "when it was received", required=True, past=True),
        Column("until_at", "instant", "when it lapses"),
    ),
    ("ref",),
)
_HOLDS: Final = Kind(
    "holds",
    "hold",
    "States that forbid something until they end, each with an owner and a day of review.",
    (
        _ref("the source's name for this hold"),
        _PERSON,
        Column("loan", "loan", "the loan it is about; empty: all of them"),
        Column("kind", "word", "why", required=True, values=HOLDS),
        Column("blocks", "words", "what it blocks; empty: everything", values=CHANNELS),
        Column("form", "word", "how it was declared", values=("written", "electronic", "oral")),
        Column("owner", "text", "who looks at it again", required=True),
        Column("review_on", "date", "when they do", required=True),
        Column("starts_at", "instant", "from when", required=True),
        Column("ends_at", "instant", "until when; empty: open"),
        Column("reason", "text", "without personal data"),
    ),
    ("ref",),
    replaces=True,
)
_NOTICES: Final = Kind(
    "notices",
    "notice",
    "Evidence of notices served before the book came here.",
    (
        _ref("the source's name for this notice"),
        _LOAN,
        _PERSON,
        Column("kind", "word", "what it announced", required=True, values=NOTICES),
        Column("sent_on", "date", "day it was sent", required=True, past=True),
        Column("effective_on", "date", "day from which it is deemed served", required=True),
        Column("how", "text", "e.g. registered letter", required=True),
    ),
    ("ref",),
)
_CONTACTS: Final = Kind(
    "contacts",
    "contact",
    "Contacts made elsewhere: by agents, by an agency, before the book came here. They count towards every limit.",
    (
        _ref("the source's name for this contact"),
        _LOAN,
        _PERSON,
        Column("role", "word", "the person's part in this loan", values=get_args(Role), default="borrower"),
        Column("channel", "word", "how", required=True, values=CHANNELS),
        Column("direction", "word", "out: by the lender; in: by the person", values=("out", "in"), default="out"),
        Column("at", "instant", "when", required=True, past=True),
        Column("outcome", "word", "what came of it", required=True, values=tuple(sorted(KNOWN_OUTCOMES))),
        Column("purpose", "word", "what for", values=_PURPOSES, default="collect"),
        Column("by", "text", "lender, or the agency's name", default="lender"),
    ),
    ("ref",),
)
_PROMISES: Final = Kind(
    "promises",
    "promise",
    "Promises to pay.",
    (
        _ref("the source's name for this promise"),
        _LOAN,
        Column("amount", "amount", "amount promised", required=True),
        Column("made_at", "instant", "when it was made", required=True, past=True),
        Column("due_on", "date", "the day promised", required=True),
        Column("status", "word", "where it stands", values=("open", "kept", "broken", "withdrawn"), default="open"),
    ),
    ("ref",),
    replaces=True,
)

KINDS: Final = {
    kind.name: kind
    for kind in (
        _PEOPLE, _ENDPOINTS, _LOANS, _PARTIES, _INSTALMENTS, _MOVEMENTS, _ACCOUNTS, _FACTS, _CONSENTS, _HOLDS, _NOTICES,
        _CONTACTS, _PROMISES,
    )
}  # fmt: skip
