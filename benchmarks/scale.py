"""Times the portal with a thousand predictions and with a million, and shows which index each question uses.

    python -m benchmarks.scale [--predictions 1000000] [--rounds 15]

It starts a PostgreSQL of its own, makes up the rows (benchmarks.seed_database), and lets both databases take turns,
so that other work on the machine slows both alike. With a million predictions it fills its places in docs/scale.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from benchmarks.promise import AT_ONCE, PROMISED
from benchmarks.servers import install_missing
from benchmarks.tables import DOCS, fill, table, when_and_where
from tests.servers import ROOT, Postgres, postgres_server

if TYPE_CHECKING:
    from benchmarks.plans import Index
    from benchmarks.turns import Measured

FEW, MANY = 1000, 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--predictions", type=int, default=MANY)
    parser.add_argument("--rounds", type=int, default=15, help=f"of {AT_ONCE} requests on each database")
    options = parser.parse_args()
    install_missing()
    with postgres_server() as server, tempfile.TemporaryDirectory(prefix="callus-scale-") as data_dir:
        os.environ.update(
            CALLUS_DATA_DIR=data_dir,
            DJANGO_SETTINGS_MODULE="portal.settings",
            # No person asks as often as a measurement does.
            API_READS_PER_MINUTE="1000000",
        )
        databases = ["few", "many"]
        for name, number in zip(databases, (FEW, options.predictions), strict=True):
            make_database(server, name, number)
        os.environ["DATABASE_URL"] = server.url
        import django

        django.setup()
        from benchmarks import plans, turns

        measured = turns.measure(databases, options.rounds)
        turns.use("many")
        found = plans.indexes()
        for thing in turns.things_to_do():
            plans.note_use(found, f"{thing.who}: {thing.name}", thing.do)
        sizes, version = plans.table_sizes(), plans.server_version()
    report(options, measured, found, sizes, version)


def make_database(server: Postgres, name: str, predictions: int) -> None:
    environment = {**os.environ, "DATABASE_URL": server.add_database(name)}
    started = time.monotonic()
    seeding = ["-m", "benchmarks.seed_database", "--for-measuring", "--predictions", str(predictions)]
    for arguments in (["manage.py", "prepare"], seeding):
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    # What autovacuum does by itself within minutes.
    server.run_sql(name, "VACUUM (ANALYZE)")
    print(f"{predictions:,} predictions made in {time.monotonic() - started:.0f} s", flush=True)


def report(
    options: argparse.Namespace,
    measured: "list[Measured]",
    found: "dict[str, Index]",
    sizes: list[tuple[str, int, float, float]],
    version: str,
) -> None:
    machine = f"{when_and_where()}, PostgreSQL {version}"
    places = {
        "pages": timings(
            measured, options.predictions, f"{machine}; median of {options.rounds * AT_ONCE} each"
        ),
        "indexes": uses(found, machine),
        "tables": space(sizes, options.predictions),
    }
    for name, text in places.items():
        if options.predictions == MANY:
            fill(DOCS / "scale.md", name, text)
        print(f"\n{text}")


def timings(measured: "list[Measured]", predictions: int, how: str) -> str:
    header = ["who", "what", "queries", f"ms, {FEW:,}", f"ms, {predictions:,}", "ratio"]
    broken = sum(not one.is_kept for one in measured)
    beyond = f"{broken} of {len(measured)} take more queries or more than {PROMISED} times the time"
    return f"{table(header, [one.row() for one in measured])}\n\n{how}. {beyond}."


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
    told = f"{each:,.0f} bytes a prediction with all that belongs to it, its heat map left out."
    return f"{table(['table', 'rows', 'MB of rows', 'MB of indexes'], rows)}\n\n{told}"


if __name__ == "__main__":
    main()
