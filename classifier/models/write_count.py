import time

from django.db import connection, models

UPSERT = """
INSERT INTO {table} (who, since, number) VALUES (%s, %s, 1)
ON CONFLICT (who) DO UPDATE SET
    number = CASE WHEN {table}.since > %s THEN {table}.number + 1 ELSE 1 END,
    since = CASE WHEN {table}.since > %s THEN {table}.since ELSE excluded.since END
RETURNING number, since
"""


class WriteCountQuerySet(models.QuerySet["WriteCount"]):
    def add_one(self, who: str, seconds: float) -> tuple[int, float]:
        """Count a write; how many that makes in this span of so many seconds, and how many are left of it.

        One statement, so that of writes at the same moment each is counted.
        """
        now = time.time()
        with connection.cursor() as cursor:
            ends = now - seconds
            cursor.execute(UPSERT.format(table=self.model._meta.db_table), [who, now, ends, ends])
            number, since = cursor.fetchone()
        return number, since + seconds - now

    def past(self, seconds: float) -> "WriteCountQuerySet":
        return self.filter(since__lt=time.time() - seconds)


class WriteCount(models.Model):
    """How often somebody wrote through the API since a moment, in seconds as time.time() has them."""

    who = models.CharField(max_length=100, primary_key=True)
    since = models.FloatField()
    number = models.PositiveIntegerField()

    objects = WriteCountQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.who}: {self.number}"
