"""Times the portal with a thousand and with a million predictions, and shows which indexes its queries use.

    python -m benchmarks.scale [--predictions 1000000] [--rounds 15]

The command starts PostgreSQL, fills two databases with made-up rows (benchmarks.seed_database) and measures them
alternately, so that other load on the machine affects both alike. With a million predictions it updates docs/scale.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from benchmarks.servers import install_missing
from benchmarks.tables import DOCS, fill, table, when_and_where
from benchmarks.targets import MAX_RATIO, REQUESTS_PER_TURN
from tests.servers import ROOT, Postgres, postgres_server

if TYPE_CHECKING:
    from benchmarks.paired_timing import Measurement
    from benchmarks.plans import Index

FEW, MANY = 1000, 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--predictions", type=int, default=MANY)
    parser.add_argument(
        "--rounds", type=int, default=15, help=f"of {REQUESTS_PER_TURN} requests on each database"
    )
    options = parser.parse_args()
    install_missing()
    with postgres_server() as server, tempfile.TemporaryDirectory(prefix="callus-scale-") as data_dir:
        os.environ.update(
            CALLUS_DATA_DIR=data_dir,
            DJANGO_SETTINGS_MODULE="portal.settings",
            # Disables the rate limit.
            API_READS_PER_MINUTE="1000000",
        )
        databases = ["few", "many"]
        for name, number in zip(databases, (FEW, options.predictions), strict=True):
            make_database(server, name, number)
        os.environ["DATABASE_URL"] = server.url
        import django

        django.setup()
        from benchmarks import paired_timing, plans

        measurements = paired_timing.measure(databases, options.rounds)
        paired_timing.use("many")
        found = plans.indexes()
        for call in paired_timing.timed_calls():
            plans.note_use(found, f"{call.who}: {call.name}", call.do)
        sizes, version = plans.table_sizes(), plans.server_version()
    report(options, measurements, found, sizes, version)


def make_database(server: Postgres, name: str, predictions: int) -> None:
    environment = {**os.environ, "DATABASE_URL": server.add_database(name)}
    started = time.monotonic()
    seeding = ["-m", "benchmarks.seed_database", "--for-measuring", "--predictions", str(predictions)]
    for arguments in (["manage.py", "prepare"], seeding):
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    # Autovacuum would do this within minutes.
    server.run_sql(name, "VACUUM (ANALYZE)")
    print(f"{predictions:,} predictions made in {time.monotonic() - started:.0f} s", flush=True)


def report(
    options: argparse.Namespace,
    measurements: "list[Measurement]",
    found: "dict[str, Index]",
    sizes: list[tuple[str, int, float, float]],
    version: str,
) -> None:
    machine = f"{when_and_where()}, PostgreSQL {version}"
    places = {
        "pages": timings(
            measurements,
            options.predictions,
            f"{machine}; median of {options.rounds * REQUESTS_PER_TURN} each",
        ),
        "indexes": uses(found, machine),
        "tables": space(sizes, options.predictions),
    }
    for name, text in places.items():
        if options.predictions == MANY:
            fill(DOCS / "scale.md", name, text)
        print(f"\n{text}")


def timings(measurements: "list[Measurement]", predictions: int, how: str) -> str:
    header = ["who", "what", "queries", f"ms, {FEW:,}", f"ms, {predictions:,}", "ratio"]
    broken = sum(not one.is_within_target for one in measurements)
    beyond = f"{broken} of {len(measurements)} take more queries or more than {MAX_RATIO} times the time"
    return f"{table(header, [one.row() for one in measurements])}\n\n{how}. {beyond}."


def uses(found: "dict[str, Index]", how: str) -> str:
    rows = [
        [
            f"`{index.name}` {index.columns}",
            f"{index.megabytes:.1f}",
            "<br>".join(index.used_by[:3]),
            f"`{index.proof}`",
        ]
        for index in found.values()
        if index.used_by
    ]
    unused = [name for name, index in found.items() if not index.used_by]
    header = ["index", "MB", "used by, among others", "the plan"]
    return f"{table(header, rows)}\n\n{how}. Indexes without use: {', '.join(unused) or 'none'}."


def space(sizes: list[tuple[str, int, float, float]], predictions: int) -> str:
    rows = [[f"`{name}`", f"{rows:,}", f"{heap:.0f}", f"{index:.0f}"] for name, rows, heap, index in sizes]
    each = sum(heap + index for _, _, heap, index in sizes) * 1e6 / predictions
    summary = f"{each:,.0f} bytes a prediction with all that belongs to it."
    return f"{table(['table', 'rows', 'MB of rows', 'MB of indexes'], rows)}\n\n{summary}"


if __name__ == "__main__":
    main()
