"""`make faults` in a minute: a few faults one after the other on one portal. All of them are in docs/reliability.md."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import faults
from tests.faults.__main__ import running

EMBEDDED = [
    faults.kill_web,
    faults.kill_pool,
    faults.cut_upload,
    faults.deliver_twice,
    faults.kill_everything,
]
ENGINES = [*EMBEDDED, faults.kill_between_result_and_ack, faults.flush_redis, faults.restart_postgres]


@pytest.mark.parametrize(
    ("embedded", "chosen"), [(True, EMBEDDED), (False, ENGINES)], ids=["embedded", "postgres and redis"]
)
def test_what_was_acknowledged_is_answered_once_whatever_breaks(
    tmp_path: Path, embedded: bool, chosen: list[Callable[[faults.Running], None]]
) -> None:
    with running(tmp_path, embedded=embedded) as set_:
        # Two processors share the load with other tests.
        set_.load.pace_seconds = 0.5
        set_.load.start()
        for fault in chosen:
            fault(set_)
            faults.uploads(set_, 5)
        outcome = set_.load.finish("all of these", patience=120)
    assert outcome.acknowledged >= 5 * len(chosen)
    assert (outcome.lost, outcome.twice, outcome.failed) == (0, 0, 0)
