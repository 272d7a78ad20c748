"""Zips whose bytes were changed at random."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifier.datasets.zip_checks import ZipRefused
from classifier.datasets.zip_intake import read_contents, unpack
from tests.data_sets import zip_of

IMAGE = b"not looked into here"
SEED = zip_of({f"set/{name}/Train/{number}.png": IMAGE * 20 for name in "AB" for number in range(3)})


@given(
    changes=st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 60),
)
@settings(max_examples=400, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zip_changed_at_random_is_read_or_refused_and_never_leaves_its_folder(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    file = io.BytesIO(bytes(data[: len(data) - cut]))
    root = tmp_path_factory.mktemp("fuzz")
    try:
        unpack(file, read_contents(file), root / "images", lambda number: None)
    except ZipRefused as refused:
        assert str(refused)
    assert all(path.is_relative_to(root / "images") for path in root.rglob("*"))
