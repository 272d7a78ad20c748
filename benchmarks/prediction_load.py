"""Uploads X-rays to a portal and has them predicted by one or several workers."""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from benchmarks.resource_usage import Servers, raise_priority, usage_per_operation
from tests.client import Client
from tests.servers import ROOT, Portal

NUM_UPLOADERS = 4
# Predictions before the measurement starts.
WARM_UP = 10
TIMEOUT_SECONDS = 1200.0


class PredictionLoad:
    """The load of one portal: uploads, and predictions by different numbers of workers."""

    def __init__(self, portal: Portal, servers: Servers, images: int) -> None:
        self.portal = portal
        self.servers = servers
        self.images = images
        self.connection = psycopg.connect(servers.postgres_url, autocommit=True)
        portal.add_users("bench")
        self.client = Client(portal.url, "bench")

    def upload(self, contents: list[bytes]) -> dict[str, float]:
        """Uploads X-rays, and returns the resources used for each."""
        web = self.portal.processes["web"].pid
        before = self.servers.counters(web=web)
        with ThreadPoolExecutor(NUM_UPLOADERS) as uploaders:
            list(
                uploaders.map(
                    lambda number: self.client.upload(contents[number % len(contents)]), range(self.images)
                )
            )
        return usage_per_operation(before, self.servers.counters(web=web), self.images)

    def answer(self, workers: int) -> tuple[float, dict[str, float]]:
        """Returns the predictions per second, and the resources used for each prediction.

        All X-rays are predicted twice, because in the first round the workers load the model at different times.
        """
        self._queue_again()
        pids = {}
        for number in range(workers):
            name = f"worker {number}"
            process = self.portal.start(name, "worker", "predict", "--name", f"predict{number}")
            os.sched_setaffinity(process.pid, {number})
            raise_priority(process.pid)
            pids[name] = process.pid
        self._wait_for(self.images)
        self._queue_again()
        done, before = self._wait_for(WARM_UP), self.servers.counters(**pids)
        self._wait_for(self.images)
        took = usage_per_operation(before, self.servers.counters(**pids), self.images - done)
        for name in pids:
            process = self.portal.processes.pop(name)
            process.terminate()
            process.wait()
        took["worker"] = sum(took.pop(name) for name in pids)
        return self._rate(), took

    def parts(self) -> dict[str, float]:
        """Returns the processor time in milliseconds of each part of a prediction."""
        self._queue_again()
        done = subprocess.run(
            ["taskset", "-c", "0", sys.executable, "-m", "benchmarks.prediction_profile"],
            cwd=ROOT,
            env=self.portal.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def sizes(self) -> dict[str, float]:
        """Returns the mean sizes in bytes of an X-ray's files."""
        files = self.portal.data_dir / "files"
        return {
            folder: statistics.mean(path.stat().st_size for path in (files / folder).rglob("*.*"))
            for folder in ("radiographs", "thumbnails")
        }

    def _queue_again(self) -> None:
        """Queues all predictions with a message each, as after the uploads."""
        self._sql(
            "UPDATE radiographs_prediction SET state = 'queued', attempts = 0, started_at = NULL, "
            "finished_at = NULL, lease_until = NULL, review_rank = NULL"
        )
        self.portal.manage(
            *("shell", "--no-imports", "-c"),
            "from classifier.radiographs import tasks; from classifier.radiographs.models import Prediction\n"
            "for _ in range(Prediction.objects.count()): tasks.predict_next.delay()",
        )

    def _wait_for(self, number: int) -> int:
        """Waits for a number of predictions, and returns how many are done; polls rarely to use few resources."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            [(done,)] = self._sql("SELECT count(*) FROM radiographs_prediction WHERE state = 'succeeded'")
            if done >= number:
                return int(done)
            time.sleep(0.3)
        raise SystemExit(f"Timed out waiting for {number} predictions:\n{self.portal.console()[-2000:]}")

    def _rate(self) -> float:
        """Returns the predictions per second after the warm-up, by the times when they finished."""
        finished = self._sql("SELECT extract(epoch FROM finished_at) FROM radiographs_prediction ORDER BY 1")
        return (len(finished) - WARM_UP) / float(finished[-1][0] - finished[WARM_UP - 1][0])

    def _sql(self, query: str) -> list[tuple[float, ...]]:
        cursor = self.connection.execute(query)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []
