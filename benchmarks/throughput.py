"""Measures the predictions per second with one and two workers, and the resources of uploads and predictions.

    python -m benchmarks.throughput [--pictures DIR] [--images 300] [--rounds 3] [--write]

The command starts PostgreSQL, Redis and a web server, uploads X-rays of two sizes, and predicts them alternately with
one and with two workers of one process, each on its own processor. Without DIR the X-rays are drawn; the model takes
them for out of distribution. Run it on an otherwise idle machine. With --write it updates docs/scale.md.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import costs
from benchmarks.costs import Figures
from benchmarks.pictures import SIZES, jpeg, pictures
from benchmarks.prediction_load import PredictionLoad
from benchmarks.resource_usage import Servers, raise_priority
from benchmarks.servers import install_missing
from benchmarks.tables import DOCS, fill, table, when_and_where
from tests.servers import Portal, postgres_server, redis_server

WORKERS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="folder of X-rays")
    parser.add_argument("--images", type=int, default=300, help="number of X-rays of each size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="update docs/scale.md")
    options = parser.parse_args()
    install_missing()
    found = {}
    for name, size in SIZES.items():
        contents = [jpeg(picture.resize(size)) for picture in pictures(options.pictures)]
        found[name] = measure(contents, options.images, options.rounds)
        print(name, found[name], flush=True)
    kind = "real X-rays, resized" if options.pictures else "drawn X-rays"
    how = f"{when_and_where()}; {options.images} {kind}, of each size; medians of {options.rounds} rounds"
    places = {
        "throughput": f"{rates_table(found)}\n\n{how}.",
        "costs": f"{costs.of_one(found)}\n\n{how}.",
        "a thousand a second": costs.of_a_thousand_a_second(found),
    }
    for place, text in places.items():
        if options.write:
            fill(DOCS / "scale.md", place, text)
        print(f"\n{text}")


def measure(contents: list[bytes], images: int, rounds: int) -> Figures:
    with running() as (portal, servers):
        load = PredictionLoad(portal, servers, images)
        figures = Figures(upload=load.upload(contents))
        for _ in range(rounds):
            for workers in WORKERS:
                rate, took = load.answer(workers)
                figures.rates[workers].append(rate)
                if workers == 1:
                    figures.answers.append(took)
        figures.parts, figures.sizes = load.parts(), load.sizes()
        return figures


@contextmanager
def running() -> Iterator[tuple[Portal, Servers]]:
    """Starts PostgreSQL, Redis and the web server of an empty portal, without workers and scheduler."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callus-throughput-")))
        postgres, redis = stack.enter_context(postgres_server()), stack.enter_context(redis_server(folder))
        assert redis.process is not None
        settings = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "CALLUS_PREDICTION_PROCESSES": "1",
            "API_WRITES_PER_MINUTE": "1000000",
        }
        portal = Portal(folder / "var", settings)
        stack.callback(portal.stop)
        portal.manage("prepare")
        web = portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        for pid in (os.getpid(), web.pid, postgres.pid, redis.process.pid):
            raise_priority(pid)
        portal.wait_until_live()
        yield portal, Servers(postgres.url, postgres.pid, redis.url, redis.process.pid)


def rates_table(found: dict[str, Figures]) -> str:
    rates = {
        name: [statistics.median(one.rates[number]) for number in WORKERS] for name, one in found.items()
    }
    rows = [
        [name, f"{with_one:.1f}", f"{with_two:.1f}", f"{with_two / with_one:.2f}"]
        for name, (with_one, with_two) in rates.items()
    ]
    header = ["X-rays", "answers a second, 1 worker", "answers a second, 2 workers", "ratio"]
    return table(header, rows)


if __name__ == "__main__":
    main()
