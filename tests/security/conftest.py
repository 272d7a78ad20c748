from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from classifier.models import ModelVersion, User
from tests.classifier.conftest import signed_in
from tests.security.world import World, make_world


@pytest.fixture
def as_alice(alice: User) -> APIClient:
    return signed_in(alice)


@pytest.fixture
def world(files: Path, no_failed_attempts: None, model: ModelVersion, settings: Any) -> World:
    settings.API_READS_PER_MINUTE = settings.API_WRITES_PER_MINUTE = 1_000_000
    return make_world(model)
