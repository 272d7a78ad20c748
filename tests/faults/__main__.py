"""make faults: break the running portal in every way we know, and count what became of the uploads.

Prints one row a fault: times it was done, uploads acknowledged, answered, failed with a reason, lost, answered twice,
longest delay.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults import faults
from tests.faults.load import Load, Outcome
from tests.servers import Portal, postgres_server, redis_server

# Leases run out and sweeps come by while somebody waits; and one person asks more than one person may.
QUICK = {
    "CALLUS_LEASE_SECONDS": "6",
    "CALLUS_SWEEP_SECONDS": "1",
    "API_READS_PER_MINUTE": "1000000",
    "API_WRITES_PER_MINUTE": "1000000",
}
BEFORE_AND_AFTER = 10
PATIENCE_SECONDS = 180.0


@contextmanager
def running(folder: Path, *, embedded: bool) -> Iterator[faults.Running]:
    with ExitStack() as stack:
        if embedded:
            portal = Portal(folder / "var", QUICK)
            stack.callback(portal.stop)
            limit_disk(portal.data_dir / "files", stack)
            portal.start_up()
            yield faults.Running(portal, Load(faults.new_client(portal)))
        else:
            postgres = stack.enter_context(postgres_server())
            redis = stack.enter_context(redis_server(folder))
            portal = Portal(folder / "var", {**QUICK, "DATABASE_URL": postgres.url, "REDIS_URL": redis.url})
            stack.callback(portal.stop)
            limit_disk(portal.data_dir / "files", stack)
            portal.manage("prepare")
            faults.start_set(portal)
            yield faults.Running(portal, Load(faults.new_client(portal)), redis, postgres)


def limit_disk(files: Path, stack: ExitStack) -> None:
    """A small file system of their own for the files, so that it can be filled."""
    if os.getuid() != 0:
        return
    files.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(files)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        stack.callback(subprocess.run, ["umount", "--lazy", str(files)], check=False)


def measure(fault: Callable[[faults.Running], None], *, times: int, embedded: bool) -> Outcome:
    """Each time on a set of its own, so that what one leaves behind does not help the next."""
    outcomes = [measure_once(fault, embedded=embedded) for _ in range(times)]
    return sum(outcomes[1:], outcomes[0])


def measure_once(fault: Callable[[faults.Running], None], *, embedded: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="callus-faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder), embedded=embedded) as set_:
            set_.load.start()
            faults.uploads(set_, BEFORE_AND_AFTER)
            fault(set_)
            faults.uploads(set_, BEFORE_AND_AFTER)
            return set_.load.finish(fault.__name__.replace("_", " "), PATIENCE_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--embedded", action="store_true", help="the embedded default instead of PostgreSQL and Redis"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="FAULT", help="for example: kill_web poison")
    parser.add_argument("--times", type=int, default=2, help="how often each fault is done")
    options = parser.parse_args()
    known = faults.faults(embedded=options.embedded)
    chosen = [fault for fault in known if not options.only or fault.__name__ in options.only]
    print("| fault | times | acknowledged | answered | failed with a reason | lost | twice | longest delay |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    harm = 0
    for fault in chosen:
        outcome = measure(fault, times=options.times, embedded=options.embedded)
        harm += outcome.lost + outcome.twice
        print(
            f"| {outcome.fault} | {options.times} | {outcome.acknowledged} | {outcome.answered} |"
            f" {outcome.failed} | {outcome.lost} | {outcome.twice} | {outcome.longest_delay:.1f} s |",
            flush=True,
        )
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {'embedded default' if options.embedded else 'PostgreSQL and Redis'}"
    )
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
