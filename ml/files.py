"""Files and folders that appear complete or not at all: written under a hidden name, then renamed."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Gives an empty file in the same folder to write to. It becomes `path` at the end of the block.

    A file that is there is replaced. An error in the block leaves `path` as it was.

    Args:
        mode: permissions of the file, less those that the umask removes.
    """
    # Without the name of `path`: a reader that looks for a part of the name must not find it.
    aside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives a folder beside `path` to fill. It becomes `path` at the end of the block.

    Args:
        replace: replaces a folder that is there. By default that one stays, as the work of another process that was
            first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix="."))
    replaced = aside.with_name(f"{aside.name}-replaced")
    try:
        yield aside
        if replace and path.exists():
            path.rename(replaced)
        try:
            aside.rename(path)
        except OSError:
            if not path.exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
