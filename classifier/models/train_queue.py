"""The queue of the training worker: audits, training runs and comparisons, one at a time, in order."""

from .comparison import Comparison
from .dataset import DatasetVersion
from .queued_work import QueuedWork
from .training_run import TrainingRun

KINDS: tuple[type[QueuedWork], ...] = (DatasetVersion, TrainingRun, Comparison)


def ahead_of(work: QueuedWork) -> list[QueuedWork]:
    """What a waiting row waits for: what runs now, then what was asked for earlier."""
    if work.state != "queued":
        return []
    ahead: list[QueuedWork] = []
    for kind in KINDS:
        unfinished = kind._default_manager.filter(state__in=("queued", "running"))
        ahead += unfinished.filter(created_at__lt=work.created_at)
    return sorted(ahead, key=lambda other: (other.state != "running", other.created_at))
