"""Which index answers which question: the plans of PostgreSQL, on the rows of the measurement."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from classifier.core.models import AuditEntry, Notification
from classifier.radiographs.models import Prediction, Radiograph
from classifier.reviews.models import Review

# The tables that grow with each X-ray; the others stay small.
TABLES = [model._meta.db_table for model in (Radiograph, Prediction, Review, Notification, AuditEntry)]
MOST_LETTERS = 110
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
    # The scan with its condition and buffers, as the plan says it.
    proof: str = ""


def indexes() -> dict[str, Index]:
    """Those of our own tables that grow with use."""
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
    """Has each query of `do` explained, and notes for each index that it was used, by whom, and how."""
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            do()
        transaction.set_rollback(True)
    with transaction.atomic(), connection.cursor() as cursor:
        for query in queries.captured_queries:
            if query["sql"].startswith(EXPLAINABLE):
                # The query as it was sent, with its values: nothing is left to fill in.
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + query["sql"].replace("%", "%%"), ())
                _read_plan(known, who, [line for (line,) in cursor.fetchall()])
        transaction.set_rollback(True)


def table_sizes() -> list[tuple[str, int, float, float]]:
    """Name, rows, megabytes of rows and of indexes."""
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
    """What a plan says of the node above: its condition and buffers, until the next node."""
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
    """A condition may list two dozen ids."""
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + " …"
