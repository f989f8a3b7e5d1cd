"""May we contact this person, now, this way? And if not: why, and from when?"""

from compliance.bulk import BulkGate
from compliance.cases import CaseResult, run_cases
from compliance.gate import Gate
from compliance.law_diff import LawChange, law_diff
from compliance.pack import Pack, Rule
from compliance.pack_dates import Kept, Life, Matter, PackDates
from compliance.pack_file import load_packs, read_pack, shipped_packs
from compliance.sentence import sentence
from compliance.wording import Finding, check_text, text_facts

__all__ = [
    "BulkGate", "CaseResult", "Finding", "Gate", "Kept", "LawChange", "Life", "Matter", "Pack", "PackDates", "Rule", "check_text", "law_diff",
    "load_packs", "read_pack", "run_cases",
    "sentence", "shipped_packs", "text_facts",
]  # fmt: skip
