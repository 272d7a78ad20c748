"""Answers a second with one prediction worker and with two, and what an upload and an answer cost.

    python -m benchmarks.throughput [--images 150] [--rounds 3] [--write]

It starts PostgreSQL, Redis and a web server, uploads drawn X-rays of two sizes, and has them answered by workers of
one process on one processor each, in turns with one worker and with two. Best on a machine with nothing else to do.
With --write it fills its places in docs/scale.md.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from PIL import Image

from benchmarks import thousand
from benchmarks.servers import install_missing
from benchmarks.tables import DOCS, fill, table, when_and_where
from benchmarks.usage import Servers, each
from tests.client import Client
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, Portal, postgres_server, redis_server, wait_until

SIZES = {"640 x 640": (640, 640), "2000 x 2500": (2000, 2500)}
WORKERS = (1, 2)
DISTINCT = 6
SENDERS = 4
# Answers before the clock starts: by then each worker has loaded its model.
WARM_UP = 10
PATIENCE_SECONDS = 1200.0
PARTS = ("claim", "read", "preprocess", "infer", "heat map", "write", "log and the rest")


@dataclass
class Figures:
    """Of one size of picture. Times are processor milliseconds, of one upload or one answer."""

    upload: dict[str, float] = field(default_factory=dict)
    # By number of workers, one for each round.
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    answer: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def rate(self, workers: int) -> float:
        return statistics.median(self.rates[workers])


class Bench:
    def __init__(self, portal: Portal, servers: Servers, images: int) -> None:
        self.portal = portal
        self.servers = servers
        self.images = images
        self.web = portal.processes["web"].pid
        portal.add_user("bench")
        self.client = Client(portal.url, "bench")

    def sql(self, query: str) -> list[tuple[float, ...]]:
        with psycopg.connect(self.servers.postgres_url) as connection:
            cursor = connection.execute(query)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def num_answered(self) -> int:
        return int(self.sql("SELECT count(*) FROM classifier_prediction WHERE state = 'succeeded'")[0][0])

    def upload(self, size: tuple[int, int]) -> dict[str, float]:
        """Uploads the pictures in place of those of the size before; what one took."""
        self.sql("DELETE FROM classifier_prediction; DELETE FROM classifier_radiograph")
        contents = [jpeg(size, seed) for seed in range(DISTINCT)]
        before = self.servers.look(web=self.web)
        with ThreadPoolExecutor(SENDERS) as senders:
            list(senders.map(lambda n: self.client.upload(contents[n % DISTINCT]), range(self.images)))
        return each(before, self.servers.look(web=self.web), self.images)

    def queue_again(self) -> None:
        """As after the upload: all wait, with a message each."""
        self.sql(
            "UPDATE classifier_prediction SET state = 'queued', attempts = 0, started_at = NULL, "
            "finished_at = NULL, lease_until = NULL, saliency = NULL, review_rank = NULL"
        )
        self.sql("SELECT pg_stat_force_next_flush()")
        self.portal.manage(
            *("shell", "--no-imports", "-c"),
            "from classifier import tasks; from classifier.models import Prediction\n"
            "for id in Prediction.objects.values_list('id', flat=True): tasks.predict.delay(str(id))",
        )

    def answer(self, workers: int) -> tuple[float, dict[str, float]]:
        """Answers a second, and what one took, once the workers are warm."""
        self.queue_again()
        pids = {}
        for number in range(workers):
            name = f"worker {number}"
            process = self.portal.start(name, "worker", "predict", "--name", f"predict{number}")
            os.sched_setaffinity(process.pid, {number})
            pids[name] = process.pid
        wait_until(
            lambda: self.num_answered() >= WARM_UP * workers, what="first answers", seconds=PATIENCE_SECONDS
        )
        done, before, started = self.num_answered(), self.servers.look(**pids), time.monotonic()
        wait_until(lambda: self.num_answered() == self.images, what="all answers", seconds=PATIENCE_SECONDS)
        seconds, number = time.monotonic() - started, self.images - done
        took = each(before, self.servers.look(**pids), number)
        for name in pids:
            process = self.portal.processes.pop(name)
            process.terminate()
            process.wait()
        took["worker"] = sum(took.pop(name) for name in pids)
        return number / seconds, took

    def parts(self) -> dict[str, float]:
        """Milliseconds of an answer, part by part."""
        self.queue_again()
        done = subprocess.run(
            ["taskset", "-c", "0", sys.executable, "-m", "benchmarks.parts"],
            cwd=ROOT,
            env=self.portal.environment,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def sizes(self) -> dict[str, float]:
        """Bytes of an X-ray in the storage, and of its heat map in the database."""
        files = self.portal.data_dir / "files"
        found = {
            folder: statistics.mean(path.stat().st_size for path in (files / folder).rglob("*.*"))
            for folder in ("radiographs", "thumbnails")
        }
        [(heat_map,)] = self.sql("SELECT avg(octet_length(saliency)) FROM classifier_prediction")
        return {**found, "heat map": float(heat_map or 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=150, help="of each size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="fill docs/scale.md")
    options = parser.parse_args()
    install_missing()
    found = {}
    for name, size in SIZES.items():
        found[name] = measure(size, options.images, options.rounds)
        print(name, found[name], flush=True)
    how = f"{when_and_where()}; {options.images} X-rays of each size, medians of {options.rounds} rounds"
    places = {
        "throughput": throughput_table(found, how),
        "costs": costs_table(found),
        "a thousand a second": thousand.table_of(found),
    }
    for place, text in places.items():
        if options.write:
            fill(DOCS / "scale.md", place, text)
        print(f"\n{text}")


def measure(size: tuple[int, int], images: int, rounds: int) -> Figures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callus-throughput-")))
        postgres, redis = stack.enter_context(postgres_server()), stack.enter_context(redis_server(folder))
        portal = Portal(
            folder / "var",
            {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "CALLUS_PREDICTION_PROCESSES": "1",
                "API_WRITES_PER_MINUTE": "1000000",
            },
        )
        stack.callback(portal.stop)
        portal.manage("prepare")
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.wait_until_live()
        assert redis.process is not None
        bench = Bench(portal, Servers(postgres.url, postgres.pid, redis.url, redis.process.pid), images)
        figures = Figures(upload=bench.upload(size))
        for _ in range(rounds):
            for workers in WORKERS:
                rate, took = bench.answer(workers)
                figures.rates[workers].append(rate)
                if workers == 1:
                    figures.answer = took
        figures.parts, figures.sizes = bench.parts(), bench.sizes()
        return figures


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(draw_bone(seed=seed, size=size)).save(content, "JPEG", quality=92)
    return content.getvalue()


def throughput_table(found: dict[str, Figures], how: str) -> str:
    rows = [
        [name, *(f"{one.rate(workers):.1f}" for workers in WORKERS), f"{one.rate(2) / one.rate(1):.2f}"]
        for name, one in found.items()
    ]
    header = ["X-rays", *(f"answers a second, {workers} worker{'s' * (workers > 1)}" for workers in WORKERS)]
    return f"{table([*header, 'ratio'], rows)}\n\n{how}."


def costs_table(found: dict[str, Figures]) -> str:
    def row(what: str, *cells: float, digits: int = 1) -> list[str]:
        return [what, *(f"{cell:,.{digits}f}" for cell in cells)]

    every = list(found.values())
    rows = [
        row("**an upload**: web", *(1000 * one.upload["web"] for one in every)),
        row("PostgreSQL", *(1000 * one.upload["postgres"] for one in every)),
        row("**an answer**: worker", *(1000 * one.answer["worker"] for one in every)),
        *(row(f"… {part}", *(one.parts.get(part, 0.0) for one in every)) for part in PARTS),
        row(
            "… Celery and the broker (what is left)",
            *(1000 * one.answer["worker"] - sum(one.parts.values()) for one in every),
        ),
        row("PostgreSQL", *(1000 * one.answer["postgres"] for one in every)),
        row("Redis", *(1000 * one.answer["redis"] for one in every)),
    ]
    return table(["processor milliseconds of", *found], rows)


if __name__ == "__main__":
    main()
