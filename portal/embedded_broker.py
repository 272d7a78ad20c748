"""The embedded broker: Celery's filesystem transport, with messages that appear complete or not at all.

The library's own transport writes into the file that a worker may read at the same moment. The worker then reads an
empty message, and ends.
"""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps

from ml.files import whole_file


class Channel(filesystem.Channel):  # type: ignore[misc]
    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        with whole_file(Path(self.data_folder_out) / f"{name}.{queue}.msg") as file:
            file.write_text(dumps(message), encoding="utf-8")


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel
