"""The embedded broker: Celery's filesystem transport, in which a message appears whole or not at all.

The library's own writes into the file that a worker may take at the same moment: the worker then reads an empty
message, and ends.
"""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):  # type: ignore[misc]
    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        folder = Path(self.data_folder_out)
        aside = folder / f".{name}.part"
        try:
            aside.write_text(dumps(message), encoding="utf-8")
            aside.rename(folder / f"{name}.{queue}.msg")
        except OSError:
            aside.unlink(missing_ok=True)
            raise


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel
