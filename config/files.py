"""Reading a text file that somebody edits: the one place that says what may be wrong with it before a word is read."""

from pathlib import Path

from engine.errors import DataError, Place, Problem


def read_text(path: Path, name: str) -> str:
    """
    The text of a file.

    Args:
        name: what to call it in messages.
    Raises:
        DataError: it is not there, not a file, not ours to read, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problem = Problem("not UTF-8 text", "save the file as UTF-8", Place(name))
    except FileNotFoundError:
        problem = Problem(f"there is no file `{name}`", "write its name as it is on the disk")
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        problem = Problem(f"`{name}` cannot be read: {said}", "name a file that this user may read")
    raise DataError(problem)
