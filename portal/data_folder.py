"""The data folder, which holds the database, X-rays and keys: readable only by the user that runs Callus."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def prepare(folder: Path, subfolders: Iterable[Path]) -> None:
    """Creates the folders, and takes the permissions of other users away from everything in `folder`.

    Sets the umask of this process and of all that it starts, so that new files are private too.

    Raises:
        ImproperlyConfigured: a folder cannot be created or written to.
    """
    os.umask(OTHERS)
    try:
        for one in (folder, *subfolders):
            one.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {folder} cannot be created: {error.strerror}."
        ) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ImproperlyConfigured(
            f"The data folder {folder} cannot be written to by the user that runs Callus."
        )
    # Nobody else can enter a private folder, so what is in it needs no look at each start.
    if folder.stat().st_mode & OTHERS:
        _narrow(folder)


def _narrow(folder: Path) -> None:
    refused = 0
    for path in _everything_in(folder):
        mode = path.stat().st_mode
        try:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except PermissionError:
            refused += 1
    # Last: a start that was killed before this line looks again.
    with contextlib.suppress(PermissionError):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~OTHERS)
    is_private = not folder.stat().st_mode & OTHERS
    sys.stderr.write(
        f"Other users of this host could read the data folder {folder}. "
        + (
            "It is now private.\n"
            if is_private and not refused
            else "It belongs to another user, so it stays so.\n"
        )
    )


def _everything_in(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            # Another process may delete a file meanwhile.
            if not path.is_symlink() and path.exists():
                yield path
