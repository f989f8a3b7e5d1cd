"""
Every table, each in the module of what it is about. Names of people, numbers and addresses stand in `person` and `endpoint` only.

What identifies somebody, or was written by or about them in free words, is `Sealed`, in the tables of the log too. References
(`ref`) are the lender's own and stay as they are, and so do the names of whoever works for the lender.

Suffixes: `_at` an aware instant, `_on` a date, `_minor` an amount in the currency's minor units. `_json`
columns are text on both databases, so that every path that writes them writes the same bytes.
"""

from store.tables.contacts import Contact, ContactLoan, ContactStatus, MessageText, OverrideRow
from store.tables.decisions import DecisionRow, Published, Run, Snapshot
from store.tables.desk import Batch, BatchItem, Proof, Visit
from store.tables.inbox import Arrival, Event, Feed
from store.tables.ledger import AccountSnapshot, Instalment, Movement, Position
from store.tables.loans import FactValue, Loan, Party, StageChange
from store.tables.log import Deed, LogCheckpoint, LogErased, LogHandover, LogLeaf, LogNode, LogQueue
from store.tables.obligations import Duty, Hold, Notice, Promise
from store.tables.people import Consent, Endpoint, Person
from store.tables.privacy import DeedNote, ErasedRef
from store.tables.running import Job, JobAct, Setting

__all__ = [
    "AccountSnapshot",
    "Arrival",
    "Batch",
    "BatchItem",
    "Consent",
    "Contact",
    "ContactLoan",
    "ContactStatus",
    "DecisionRow",
    "Deed",
    "DeedNote",
    "Duty",
    "Endpoint",
    "ErasedRef",
    "Event",
    "FactValue",
    "Feed",
    "Hold",
    "Instalment",
    "Job",
    "JobAct",
    "Loan",
    "LogCheckpoint",
    "LogErased",
    "LogHandover",
    "LogLeaf",
    "LogNode",
    "LogQueue",
    "MessageText",
    "Movement",
    "Notice",
    "OverrideRow",
    "Party",
    "Person",
    "Position",
    "Promise",
    "Proof",
    "Published",
    "Run",
    "Setting",
    "Snapshot",
    "StageChange",
    "Visit",
]
