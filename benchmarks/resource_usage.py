"""Measures the resources that processes and servers use, and sets their priority."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root: int) -> float:
    """Returns the processor time of a process and its descendants, including those that have ended."""
    return sum(used for _, used in _family(root))


def descendants(root: int) -> list[int]:
    """Returns the ids of the processes that descend from a process."""
    return [pid for pid, _ in _family(root) if pid != root]


def _family(root: int) -> list[tuple[int, float]]:
    """Returns the id and the processor time of a process and of each of its descendants."""
    used = {}
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the process, in parentheses, may contain spaces.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = sum(int(ticks) for ticks in fields[11:15]) / TICKS
    family, found = [root], []
    while family:
        pid = family.pop()
        found.append((pid, used.get(pid, 0.0)))
        family += children.get(pid, [])
    return found


def peak_mib(pid: int) -> float:
    """Returns the largest resident memory that a process had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def raise_priority(pid: int) -> None:
    """Lets the session of a process go before others on a shared machine, where the system allows it."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-12", encoding="ascii")


@dataclass
class Servers:
    postgres_url: str
    postgres_pid: int
    redis_url: str
    redis_pid: int

    def counters(self, **processes: int) -> dict[str, float]:
        """Returns all counters by name, with the processor seconds of further processes, given by their ids."""
        with psycopg.connect(self.postgres_url) as connection:
            row = connection.execute(
                "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') FROM pg_stat_database "
                "WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        with redis.Redis.from_url(self.redis_url) as client:
            info = client.info()
        seconds = {name: cpu_seconds(pid) for name, pid in processes.items()}
        return {
            "commits": float(row[0]),
            "wal_bytes": float(row[1]),
            "redis_commands": float(info["total_commands_processed"]),
            "redis_bytes": float(info["total_net_input_bytes"] + info["total_net_output_bytes"]),
            "postgres": cpu_seconds(self.postgres_pid),
            "redis": cpu_seconds(self.redis_pid),
            **seconds,
        }


def usage_per_operation(before: dict[str, float], after: dict[str, float], number: int) -> dict[str, float]:
    """Returns the difference of all counters, divided by a number of operations."""
    return {name: (after[name] - before[name]) / number for name in before}
