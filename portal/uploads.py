"""Upload handlers that refuse large requests before reading them, and leave no partial files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser
from django.utils.datastructures import MultiValueDict

from classifier.core.permissions import TRAIN
from portal.multipart import UNNAMED, PartsWithNames

# Allowance for multipart boundaries and the other form fields.
ENVELOPE_BYTES = 1024**2


class SizeLimitUploadHandler(FileUploadHandler):
    """Refuses a request by its Content-Length before reading it, and names files that are sent without a name."""

    _is_parsing = False

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]] | None:
        if self._is_parsing:
            return None
        self._check_length(content_length)
        self._is_parsing = True
        handlers = self.request.upload_handlers  # type: ignore[union-attr]
        # Django passes the boundary as bytes.
        parts: Any = PartsWithNames(input_data, cast(bytes, boundary))
        fields, files = MultiPartParser(META, parts, handlers, encoding).parse()
        for name, sent in files.lists():
            # A form whose file was not chosen sends an empty name and no content.
            files.setlist(name, [file for file in sent if file.size or file.name != UNNAMED])
        chosen = {name: sent for name, sent in files.lists() if sent}
        return fields, MultiValueDict(chosen)

    def _check_length(self, content_length: int) -> None:
        if content_length <= settings.UPLOAD_MAX_BYTES + ENVELOPE_BYTES:
            return
        # Only data sets may be larger. The user of an API token is known too, because the API authenticates before it
        # reads the body.
        user = self.request.user  # type: ignore[union-attr]
        limit = settings.DATASET_MAX_BYTES if user.has_perm(TRAIN) else settings.UPLOAD_MAX_BYTES
        if content_length > limit + ENVELOPE_BYTES:
            raise RequestDataTooBig(f"The limit is {limit // 1024**2} MB per file.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


class UnnamedFileUploadHandler(FileUploadHandler):
    """Writes the upload to an unnamed temporary file, which the system removes even if the process is killed."""

    def new_file(self, *arguments: Any, **options: Any) -> None:
        super().new_file(*arguments, **options)
        folder = settings.FILE_UPLOAD_TEMP_DIR
        self.file = UploadedFile(
            tempfile.TemporaryFile(dir=folder),  # noqa: SIM115 - closed at the end of the request
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
        """Closes the file on a write error. Django would leave it, and its disk space, to the garbage collector."""
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError):
                self.file.close()
            raise
