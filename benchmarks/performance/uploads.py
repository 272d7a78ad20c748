"""Measures uploads and answers through the API of a portal with its default settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.pictures import SIZES, jpeg
from benchmarks.resource_usage import cpu_seconds, descendants, peak_mib, raise_priority
from benchmarks.tables import table
from tests.client import FINISHED, Client
from tests.servers import ROOT, Portal, wait_until

SMALL, LARGE = SIZES
# More frequent requests would compete with the worker for the processors.
POLL_SECONDS = 0.025
# Uploads that start the decoder processes and load the model.
WARM_UP = 3
MAX_MS, MAX_WORKER_RATIO, MAX_WORKER_MIB = 200, 1.5, 300


@dataclass
class Costs:
    """What X-rays of one size cost.

    Attributes:
        ms: Milliseconds from the start of each upload to the answer.
        upload_ms: Milliseconds from the start of each upload to its acknowledgement.
        web_ms: Processor milliseconds of the web server and its decoders for an upload, of each round.
        worker_ms: Processor milliseconds of the worker for an answer, of each round.
    """

    ms: list[float] = field(default_factory=list)
    upload_ms: list[float] = field(default_factory=list)
    web_ms: list[float] = field(default_factory=list)
    worker_ms: list[float] = field(default_factory=list)


@dataclass
class UploadFigures:
    """The costs by size, and the memory of the worker.

    Attributes:
        costs: The costs by size.
        worker_mib: Largest memory of the process that answers.
        other_mib: Largest memory of the process that starts it.
    """

    costs: dict[str, Costs] = field(default_factory=lambda: {name: Costs() for name in SIZES})
    worker_mib: float = 0.0
    other_mib: float = 0.0


def measure_uploads(
    images: Sequence[Image.Image], folder: Path, rounds: int, uploads: int, checkout: Path = ROOT
) -> UploadFigures:
    """Uploads X-rays of each size in turns.

    Args:
        images: X-rays, which are resized.
        folder: Data folder of the portal.
        rounds: Turns of each size.
        uploads: Uploads in each turn, first one after the other with their answers, then all at once.
        checkout: The portal's code.
    """
    contents = {name: [jpeg(image.resize(size)) for image in images] for name, size in SIZES.items()}
    figures = UploadFigures()
    with running_portal(folder, checkout) as (portal, client):
        for name in SIZES:
            for _ in range(WARM_UP):
                _upload_and_wait(client, contents[name][0])
        for _ in range(rounds):
            for name, costs in figures.costs.items():
                turn = [contents[name][number % len(images)] for number in range(uploads)]
                for content in turn:
                    upload_ms, ms = _upload_and_wait(client, content)
                    costs.upload_ms.append(upload_ms)
                    costs.ms.append(ms)
                _add_costs(costs, portal, client, turn)
        worker = portal.processes["predict"].pid
        memory = sorted(peak_mib(pid) for pid in descendants(worker))
        figures.worker_mib, figures.other_mib = memory[-1], peak_mib(worker)
    return figures


@contextmanager
def running_portal(folder: Path, checkout: Path) -> Iterator[tuple[Portal, Client]]:
    """Starts the web server and the prediction worker of an empty portal, with the embedded defaults."""
    # Engines that are installed for a comparison only are not part of the default.
    settings = {"API_WRITES_PER_MINUTE": "1000000", "PYTHONPATH": ""}
    portal = Portal(folder, settings, folder=checkout)
    try:
        portal.manage("prepare")
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.start("predict", "worker", "predict")
        for process in portal.processes.values():
            raise_priority(process.pid)
        portal.wait_until_live()
        portal.add_users("bench")
        yield portal, Client(portal.url, "bench")
    finally:
        portal.stop()


def _upload_and_wait(client: Client, content: bytes) -> tuple[float, float]:
    """Returns the milliseconds to the acknowledgement and to the answer."""
    started = time.perf_counter()
    prediction = client.upload(content)["prediction"]["id"]
    acknowledged = time.perf_counter()
    while client.state(prediction) not in FINISHED:
        time.sleep(POLL_SECONDS)
    return 1000 * (acknowledged - started), 1000 * (time.perf_counter() - started)


def _add_costs(costs: Costs, portal: Portal, client: Client, turn: list[bytes]) -> None:
    """Uploads without asking for the answers, so that only uploads and answers use the processors."""
    web, worker = (portal.processes[name].pid for name in ("web", "predict"))
    before = cpu_seconds(web), cpu_seconds(worker)
    for content in turn:
        last = client.upload(content)["prediction"]["id"]
    costs.web_ms.append(1000 * (cpu_seconds(web) - before[0]) / len(turn))
    # Answers come in the order of the uploads of one person.
    wait_until(lambda: client.state(last) in FINISHED, what="the answers")
    costs.worker_ms.append(1000 * (cpu_seconds(worker) - before[1]) / len(turn))


def uploads_table(figures: UploadFigures) -> str:
    """Returns the table of both sizes, with the ratio of the larger to the smaller."""
    rows = []
    for title, attribute in (
        ("upload to answer through the API, median ms", "ms"),
        ("… fastest ms", "ms"),
        ("… to the acknowledgement, median ms", "upload_ms"),
        ("web server and decoder, processor ms of an upload", "web_ms"),
        ("worker, processor ms of an answer", "worker_ms"),
    ):
        of_all = min if "fastest" in title else statistics.median
        small, large = (of_all(getattr(figures.costs[name], attribute)) for name in SIZES)
        rows.append([title, f"{small:.0f}", f"{large:.0f}", f"{large / small:.2f}"])
    return table(["", *SIZES, "ratio"], rows)
