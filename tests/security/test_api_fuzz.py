import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.security.api_fuzz import PEOPLE, ask
from tests.security.live_world import LiveWorld, running_world


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    with running_world(tmp_path_factory.mktemp("portal")) as target:
        yield target


@pytest.mark.parametrize("person", PEOPLE)
def test_the_api_does_what_its_schema_says_and_nothing_else(
    target: LiveWorld, tmp_path: Path, person: str
) -> None:
    """A little of it; `python -m tests.security.api_fuzz` asks for longer."""
    done = ask(target, person, tmp_path, examples=5)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Selected: (\d+)/\1\n +Tested: \1\n", done.stdout), done.stdout
    headers = {"Authorization": f"Bearer {target.tokens[person]}"}
    answer = urllib3.request("GET", f"{target.url}/api/v1/radiographs/", headers=headers, timeout=30)
    assert answer.status == 200, "It asked as this person to the end."
