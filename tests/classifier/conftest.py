from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _apart(files: Path, no_failed_attempts: None) -> None:
    """Each test has its own storage, and starts with no failed sign-in attempts counted."""
