"""Profiles the processor time of the parts of a prediction, with the queued predictions of a portal.

benchmarks.throughput runs this module on one processor with the settings of the portal that it started.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import django

django.setup()

from classifier.radiographs import jobs  # noqa: E402
from classifier.radiographs.models import Prediction, PredictionQuerySet  # noqa: E402
from ml.serve import answer, finding, inference, preprocessing  # noqa: E402

# Predictions that load the model, connect to the servers and fill the caches.
WARM_UP = 5


class Parts:
    """Processor time in milliseconds by part; nested parts are not counted in the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def time(self, place: Any, name: str, part: str) -> None:
        do: Callable[..., Any] = getattr(place, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            self._within.append(0.0)
            started = time.process_time()
            try:
                return do(*arguments, **options)
            finally:
                took = 1000 * (time.process_time() - started)
                self.spent[part] += took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        setattr(place, name, timed)


def main() -> None:
    parts = Parts()
    parts.time(jobs, "run_next_prediction", "log and the rest")
    parts.time(PredictionQuerySet, "claim_next", "claim")
    for name in ("_answer", "read_image"):
        parts.time(jobs, name, "read")
    for module in (inference, finding):
        parts.time(module, "preprocess", "preprocess")
    for name in ("is_blank", "_content_box"):
        parts.time(preprocessing, name, "preprocess")
    parts.time(answer.AnswerPredictor, "predict", "infer")
    parts.time(jobs, "write_answer", "write")
    number = -WARM_UP
    while Prediction.objects.filter(state="queued").exists():
        if number == 0:
            parts.spent.clear()
        jobs.run_next_prediction()
        number += 1
    print(json.dumps({part: spent / number for part, spent in parts.spent.items()}))


if __name__ == "__main__":
    main()
