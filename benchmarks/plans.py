"""The indexes that PostgreSQL uses for each query, from its query plans."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from classifier.core.models import AuditEntry, Notification
from classifier.radiographs.models import Prediction, Radiograph
from classifier.reviews.models import Review

# The tables that grow with each X-ray.
TABLES = [model._meta.db_table for model in (Radiograph, Prediction, Review, Notification, AuditEntry)]
MAX_LENGTH = 110
EXPLAINABLE = ("SELECT", "UPDATE", "DELETE", "INSERT")
SCAN = re.compile(r"(?:(\w[\w ]*Scan)(?: Backward)? using (\w+) on \w+|(Bitmap Index Scan) on (\w+))")
COST = re.compile(r"\(cost=[^)]*\) ")


@dataclass
class Index:
    table: str
    name: str
    columns: str
    megabytes: float
    is_constraint: bool
    used_by: list[str] = field(default_factory=list)
    # The line of the scan in a query plan, with its condition and buffers.
    proof: str = ""


def indexes() -> dict[str, Index]:
    """Returns the indexes of TABLES by name."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.relname, i.relname, pg_get_indexdef(i.oid), pg_relation_size(i.oid) / 1e6, x.indisunique
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
            WHERE t.relname = ANY(%s) ORDER BY t.relname, i.relname
            """,
            [TABLES],
        )
        return {
            name: Index(table, name, definition.partition("USING btree ")[2], float(size), unique)
            for table, name, definition, size, unique in cursor.fetchall()
        }


def note_use(known: dict[str, Index], who: str, do: Callable[[], object]) -> None:
    """Explains each query of `do`, and records the indexes that it uses, with the user and the plan."""
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            do()
        transaction.set_rollback(True)
    with transaction.atomic(), connection.cursor() as cursor:
        for query in queries.captured_queries:
            if query["sql"].startswith(EXPLAINABLE):
                # The captured query contains its parameters.
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + query["sql"].replace("%", "%%"), ())
                _read_plan(known, who, [line for (line,) in cursor.fetchall()])
        transaction.set_rollback(True)


def table_sizes() -> list[tuple[str, int, float, float]]:
    """Returns the name, the rows, and the megabytes of rows and of indexes of each table."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT relname, reltuples::bigint, (pg_table_size(oid) / 1e6)::float, (pg_indexes_size(oid) / 1e6)::float
            FROM pg_class WHERE relname = ANY(%s)
            ORDER BY pg_total_relation_size(oid) DESC
            """,
            [TABLES],
        )
        return list(cursor.fetchall())


def server_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0].split()[0])


def _read_plan(known: dict[str, Index], who: str, plan: list[str]) -> None:
    for place, line in enumerate(plan):
        found = SCAN.search(line)
        name = found and (found[2] or found[4])
        if not name or name not in known or "never executed" in line:
            continue
        index = known[name]
        if who not in index.used_by:
            index.used_by.append(who)
        details = [_cut(_short(detail)) for detail in _details(plan[place + 1 :])]
        index.proof = index.proof or "; ".join([_short(line), *details])


def _details(lines: list[str]) -> list[str]:
    """Returns the condition and the buffers of a node of the plan, which precede the next node."""
    details: list[str] = []
    for line in lines:
        if "->" in line or line.startswith("Planning"):
            break
        if line.lstrip().startswith(("Index Cond", "Buffers")):
            details.append(line)
    return details


def _short(line: str) -> str:
    return COST.sub("", line.replace("->", "")).replace("  ", " ").strip()


def _cut(text: str) -> str:
    """Truncates a text: a condition may contain many ids."""
    return text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + " …"
