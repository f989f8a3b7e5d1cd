"""A folder that appears whole or not at all, for this user's eyes alone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from engine.errors import DataError, Problem

_MEND = "name a folder that is not there yet, where you may write and there is room"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """
    Where to make it: beside its place, into which it is moved when the block ends well.

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
