"""Files and folders that hold personal data: whole or not there, and for this user's eyes alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from engine.errors import DataError, Problem

_MEND = "name a folder that is not there yet, where you may write and there is room"


def write_private(file: Path, content: bytes) -> None:
    """
    Write a file under another name first, then into place at once. A file that is replaced keeps its owner.

    Raises:
        DataError: it cannot be written; nothing is there then that was not there before.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            if os.geteuid() == 0 and file.exists():
                # An administrator who replaces a service's file must not shut the service out of it.
                os.fchown(descriptor, file.stat().st_uid, file.stat().st_gid)
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        mend = "name a file in a folder with room that you may write to"
        raise DataError(Problem(f"cannot write `{file}`: {said}", mend)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def new_folder(folder: Path) -> None:
    """
    Make an empty folder, for what is written into it piece by piece by several.

    Raises:
        DataError: something is there already, for nothing is ever written over; or it cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(Problem(f"`{folder}` is not an empty folder", "name a new one"))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DataError(Problem(f"cannot make `{folder}`: {said}", "name a folder that you may write to")) from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """
    Where to make a folder that appears whole or not at all: beside its place, into which it is moved when the block ends well.

    Raises:
        DataError: there is something at its place already, or it cannot be written.
    """
    making: Path | None = None
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise DataError(Problem(f"`{folder}` is there already", _MEND))
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        yield making
        making.replace(folder)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DataError(Problem(f"cannot write `{folder}`: {said}", _MEND)) from None
    finally:
        if making is not None:
            shutil.rmtree(making, ignore_errors=True)
