"""What the log holds of a loan: by which law it was decided, what everybody around it said, and what was done with their data."""

from datetime import date

from sqlmodel import col, select

from store.bulk import reading
from store.consents import NewStatement, add_statement
from store.db import Database
from store.deeds import record_about
from store.tables import Consent, DecisionRow, Deed, Duty, Loan, Party, Published
from tests.replaying import NIGHT, decide_all, scalars, tampered
from workflows.duties_by_hand import close_duty
from workflows.log.prove import entries_of_loan


def evidence(database: Database, loan: int, kind: str) -> set[str]:
    """The keys of a kind of entry."""
    with reading(database) as reader:
        return {key for of, key in entries_of_loan(reader, loan) if of == kind}


def test_the_evidence_of_a_loan_is_whole(sqlite_database: Database) -> None:
    """The list of packs and each pack on it, the guarantor's word, the deeds about loan and borrower are in it; a stranger's are not."""
    decide_all(sqlite_database)
    loan = scalars(sqlite_database, select(DecisionRow.loan_id).order_by(col(DecisionRow.loan_id)))[0]
    with sqlite_database.write() as session:
        borrower = session.get_one(Loan, loan).borrower_id
        guarantor, stranger = session.exec(
            select(Loan.borrower_id).where(Loan.borrower_id != borrower).distinct().order_by(col(Loan.borrower_id).desc()).limit(2)
        ).all()  # fmt: skip
        session.add(Party(loan_id=loan, person_id=guarantor, role="guarantor"))
        for who in (borrower, guarantor, stranger):
            add_statement(session, NewStatement(who, "opt_out", NIGHT, source="test", ref=f"said-{who}"), now=NIGHT)
        about = [
            record_about(session, "reveal", "endpoint:1", {}, person=borrower, by="li", because="x", now=NIGHT),
            record_about(session, "evidence", f"loan:{loan}", {}, person=guarantor, by="li", because="x", now=NIGHT),
        ]
        record_about(session, "reveal", "endpoint:2", {}, person=stranger, by="li", because="x", now=NIGHT)
        on = date(2026, 3, 2)
        finding = Duty(
            rule="match.x", subject="contact:x", start_on=on, what="x", loan_id=loan, due_on=on, escalate_on=on,
            owner="li", recorded_at=NIGHT,
        )  # fmt: skip
        session.add(finding)
        session.flush()
        number = finding.id or 0
    close_duty(sqlite_database, number, by="li", evidence="x", today=on, now=NIGHT)
    law = set(scalars(sqlite_database, select(Published.digest).where(col(Published.kind).in_(("gate", "pack")))))
    assert len(law) > 3
    assert law <= evidence(sqlite_database, loan, "published")
    said = evidence(sqlite_database, loan, "consent")
    mine = select(Consent.id).where(col(Consent.person_id).in_((borrower, guarantor)))
    assert said == {str(one) for one in scalars(sqlite_database, mine)}
    settled = scalars(sqlite_database, select(Deed.id).where(Deed.kind == "settled"))
    assert evidence(sqlite_database, loan, "deed") == {str(one) for one in (*about, *settled)}
    tampered(sqlite_database, "update published set content = :odd where kind = 'gate'", odd=b"\xff")
    assert "gate" in scalars(sqlite_database, select(Published.kind).where(col(Published.digest).in_(evidence(sqlite_database, loan, "published"))))  # fmt: skip
