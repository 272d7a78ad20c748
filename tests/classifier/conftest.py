from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from knox.models import AuthToken
from rest_framework.test import APIClient

from classifier.models import User
from tests.conftest import PASSWORD, xray

__all__ = ["PASSWORD", "body_of", "send", "signed_in", "xray"]


@pytest.fixture(autouse=True)
def _apart(files: Path, no_failed_attempts: None) -> None:
    """Each test has its own storage, and pays for no failed sign-in of another."""


@pytest.fixture
def stored(files: Path) -> Callable[[], list[str]]:
    """Lists the files that are kept of X-rays."""
    return lambda: sorted(
        path.relative_to(files).as_posix()
        for folder in ("radiographs", "thumbnails")
        for path in (files / folder).rglob("*")
        if path.is_file()
    )


def signed_in(user: User) -> APIClient:
    _, token = AuthToken.objects.create(user=user)
    return APIClient(headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def as_alice(alice: User) -> APIClient:
    return signed_in(alice)


@pytest.fixture
def as_bob(bob: User) -> APIClient:
    return signed_in(bob)


def send(client: APIClient, file: SimpleUploadedFile | None = None) -> Any:
    """The response to an upload."""
    return client.post("/api/v1/radiographs/", {"file": file or xray()}, format="multipart")


def body_of(response: Any) -> bytes:
    """The body. Closing a streamed one unread would close the test's own database connection."""
    return b"".join(response.streaming_content) if response.streaming else response.content
