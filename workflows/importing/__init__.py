"""Bring a lender's files into the book: good rows in bulk, bad rows back with reason and mend, all or nothing."""

from workflows.importing.contract import VERSION, Kind
from workflows.importing.delivery import Imported, Reason
from workflows.importing.files import find_files
from workflows.importing.kinds import KINDS
from workflows.importing.load import import_file, import_files, import_folder

__all__ = [
    "KINDS",
    "VERSION",
    "Imported",
    "Kind",
    "Reason",
    "find_files",
    "import_file",
    "import_files",
    "import_folder",
]
