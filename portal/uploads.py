"""How an incoming file is read: a request that is too large is refused before, a full disk keeps no half of it."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from classifier.core.permissions import TRAIN

# Multipart boundaries and field names around the file itself.
ENVELOPE_BYTES = 1024**2


class RefuseTooLarge(FileUploadHandler):
    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length <= settings.UPLOAD_MAX_BYTES + ENVELOPE_BYTES:
            return
        # Only a data set is larger. A token's user is known by now too: the API asks before it reads.
        user = self.request.user  # type: ignore[union-attr]
        limit = settings.DATASET_MAX_BYTES if user.has_perm(TRAIN) else settings.UPLOAD_MAX_BYTES
        if content_length > limit + ENVELOPE_BYTES:
            raise RequestDataTooBig(f"A file may have up to {limit // 1024**2} MB.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


class TemporaryFile(FileUploadHandler):
    """On the disk, but without a name: when the process is killed, the system removes it."""

    def new_file(self, *arguments: Any, **options: Any) -> None:
        super().new_file(*arguments, **options)
        folder = settings.FILE_UPLOAD_TEMP_DIR
        self.file = UploadedFile(
            tempfile.TemporaryFile(dir=folder),  # noqa: SIM115 - it is closed with the request
            self.file_name,
            self.content_type,
            0,
            self.charset,
            self.content_type_extra,
        )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        with self._closed_on_error():
            self.file.write(raw_data)

    def file_complete(self, file_size: int) -> Any:
        with self._closed_on_error():
            self.file.seek(0)
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """Django would leave one that could not be written to the garbage collector, on a disk that is full."""
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError):
                self.file.close()
            raise
