"""What an import brings of contacts, holds and notices is vouched for by the log: whatever is changed afterwards is found."""

from datetime import UTC, datetime, timedelta

import pytest

from store.db import Database
from tests.imports import LATER, NOW, Importer, only_sqlite, rows
from tests.logs import SignedLog, past_everything

CONTACTS = """\
ref,loan,person,channel,at,outcome,by
K1,L1,P1,call,2026-02-05T10:00:00+08:00,conversation,North
K2,L1,P1,call,2026-02-06T10:00:00+08:00,wrong_number,North
"""
HOLDS = """\
ref,person,loan,kind,owner,review_on,starts_at,ends_at,reason
H1,P1,L1,dispute,mei,2026-04-01,2026-02-20T10:00:00+08:00,,says it is paid
"""
ENDED = HOLDS.replace(",,says", ",2026-03-02T10:00:00+08:00,says")
NOTICES = """\
ref,loan,person,kind,sent_on,effective_on,how
N1,L1,P1,prelegal_notice,2026-01-20,2026-01-25,registered letter
"""
FIRST = "1999-01-01"
WRONGS = (
    ("update contact set outcome = 'no_answer' where id = 'import-K1'", "altered: `contact:import-K1`: the log says otherwise of `outcome`"),
    ("update contact set at = (select min(at) from contact) where id = 'import-K2'", "altered: `contact:import-K2`: the log says otherwise of `at`"),
    ("update contact set \"by\" = 'lender' where id = 'import-K2'", "altered: `contact:import-K2`: the log says otherwise of `by`"),
    ("delete from contact where id = 'import-K2'", "deleted: `contact:import-K2`: its entries are there, and it is gone or cannot be read"),
    (f"update hold set review_on = '{FIRST}'", "altered: `hold:1`: the log says otherwise of `review_on`"),
    ("update hold set ends_at = null", "altered: `hold:1`: the log says otherwise of `ends_at`"),
    ("update hold set kind = 'house', person_id = 2", "altered: `hold:1`: the log says otherwise of `person_id`, `kind`"),
    ("delete from hold", "deleted: `hold:1`: deeds say how it stood, and it is gone or cannot be read"),
    (f"update notice set sent_on = '{FIRST}'", "altered: `notice:1`: the log says otherwise of `sent_on`"),
    ("update notice set voided_at = recorded_at", "altered: `notice:1`: the log says otherwise of `voided_at`"),
    ("delete from notice", "deleted: `notice:1`: deeds say how it stood, and it is gone or cannot be read"),
    (
        (
            "insert into notice (id, loan_id, person_id, kind, sent_on, effective_on, how, recorded_at, ref) "
            "select 9, loan_id, person_id, 'visit_notice', sent_on, effective_on, how, recorded_at, 'N9' from notice"
        ),
        "inserted: `notice:9`: no deed says how it stood",
    ),
)  # fmt: skip


@pytest.fixture
def log(book: Importer) -> SignedLog:
    """A small book with a past, a hold that has ended since, and a notice; signed."""
    book.take("contacts", CONTACTS)
    book.take("notices", NOTICES)
    book.take("holds", HOLDS)
    book.take("holds", ENDED, name="holds-2.csv", **LATER)
    log = SignedLog(book.database)
    log.now = NOW + timedelta(days=2)
    log.sign()
    return log


def test_what_imports_bring_has_nothing_against_it(log: SignedLog) -> None:
    """Brought, changed by a later file, and brought again."""
    verified = log.verify()
    assert (verified.findings, verified.unknown, verified.told) == ([], [], [])
    assert rows(log.database, "hold", "ends_at") == [(datetime(2026, 3, 2, 2, tzinfo=UTC),)]
    assert len(rows(log.database, "notice", "id")) == 1


@pytest.mark.parametrize(("wrong", "finding"), WRONGS)
def test_whatever_is_changed_afterwards_is_found(log: SignedLog, wrong: str, finding: str) -> None:
    """With its row and its column."""
    with past_everything(log.database) as run:
        run(wrong)
    assert log.found() == [finding]


@only_sqlite
def test_contacts_of_before_are_counted_and_no_more_than_were_brought(book: Importer) -> None:
    """Imports of earlier versions wrote no entries: that is told, and one contact more than they brought is found."""
    book.take("contacts", CONTACTS)
    with past_everything(book.database) as run:
        for trigger in ("contact_status_kept", "deed_unchanged"):
            run(f"drop trigger {trigger}")
        run("delete from contact_status")
        run("delete from log_queue where kind = 'contact_status'")
        run("update deed set detail_json = replace(detail_json, '\"entries\":2,', '')")
    log = SignedLog(book.database)
    log.sign()
    assert (log.found(), log.verify().told) == (
        [],
        ["not checked: 2 imported contacts, of which no entry was written then"],
    )
    with past_everything(book.database) as run:
        names = ", ".join(f'"{name}"' for name in _columns(book.database))
        run(
            f"insert into contact (id, slot, {names}) select 'import-K9', 'K9', {names} from contact where id = 'import-K1'"
        )
    found = "inserted: imported contacts: 3 of them have no entry, and imports without entries brought at most 2"
    assert log.found() == [found]


def _columns(database: Database) -> list[str]:
    from store.bulk_arrow import table_of

    return [column.name for column in table_of("contact").columns if column.name not in ("id", "slot")]
