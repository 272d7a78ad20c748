from pathlib import Path
from typing import Any

import pytest

from classifier.registry.models import ModelVersion
from tests.security.world import World, make_world


@pytest.fixture
def world(files: Path, no_failed_attempts: None, model: ModelVersion, settings: Any) -> World:
    settings.API_READS_PER_MINUTE = settings.API_WRITES_PER_MINUTE = 1_000_000
    return make_world(model)
