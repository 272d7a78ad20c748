"""The embedded broker: Celery's filesystem transport with atomic writes.

Kombu's transport writes directly to the final file. A worker that takes the file at that moment reads an empty message
and crashes.
"""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps

from ml.files import whole_file


class Channel(filesystem.Channel):  # type: ignore[misc]
    """Writes each message to a temporary file and then renames it."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        with whole_file(Path(self.data_folder_out) / f"{name}.{queue}.msg") as file:
            file.write_text(dumps(message), encoding="utf-8")


class Transport(filesystem.Transport):  # type: ignore[misc]
    """The filesystem transport with atomic writes."""

    Channel = Channel
