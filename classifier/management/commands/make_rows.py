import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction

from classifier.made_rows import Maker
from classifier.models import ModelVersion, Prediction, Promotion, User

# Nobody can sign in as one of them: they have no password.
NOWHERE = "@made.invalid"
NUM_VERSIONS = 5
AT_ONCE = 10_000


class Command(BaseCommand):
    help = (
        "For measuring only: fill an empty portal's database with made-up people, X-rays (rows alone, no files), "
        "answers, reviews, notifications and audit entries. Never on a database that is used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--predictions", type=int, default=1_000_000)
        parser.add_argument("--users", type=int, default=2000)
        parser.add_argument(
            "--for-measuring",
            action="store_true",
            help="needed: says that this database is for measuring and may be thrown away",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["for_measuring"]:
            raise CommandError("This is for measuring only: add --for-measuring if that is what you want.")
        if User.objects.exclude(email__endswith=NOWHERE).exists():
            raise CommandError("There are people on this portal. It stays as it is.")
        if options["users"] < 4 or options["predictions"] < 20:
            raise CommandError("That is too few: 4 users and 20 predictions at least.")
        live = ModelVersion.objects.live()
        if live is None:
            raise CommandError("Run manage.py prepare first.")
        # Another run on the same database makes other rows.
        maker = Maker(_people(options["users"]), _versions(live), seed=Prediction.objects.count())
        rows = maker.rows(options["predictions"])
        made = 0
        while some := list(islice(rows, AT_ONCE)):
            _insert(some)
            made += len(some)
            self.stdout.write(f"{made:,} rows", ending="\r")
        self.stdout.write(f"{made:,} rows made.")


def _people(number: int) -> dict[str, User]:
    named = ["made-admin", "made-reviewer", "made-typical", "made-heavy"]
    names = [*named, *(f"made-{place:04}" for place in range(number - len(named)))]
    known = User.objects.filter(email__endswith=NOWHERE)
    if not known:
        User.objects.bulk_create(
            User(
                username=name,
                email=name + NOWHERE,
                password=make_password(None),
                is_superuser=name == "made-admin",
                is_staff=name == "made-admin",
            )
            for name in names
        )
        reviewers = Group.objects.get(name="Reviewers")
        reviewers.user_set.add(User.objects.get(username="made-reviewer"))
    return {user.username: user for user in known.order_by("id")}


def _versions(live: ModelVersion) -> list[ModelVersion]:
    """The live one and its made-up successors; the last of them is live afterwards."""
    versions = list(ModelVersion.objects.order_by("number"))
    while len(versions) < NUM_VERSIONS:
        image = {"path": f"{live.classes[0]}/0001.png", "label": live.classes[0], "confidence": 0.123456789}
        made = ModelVersion.objects.create(
            number=ModelVersion.objects.next_number(),
            checksum=uuid.uuid4().hex * 2,
            card=live.card,
            source=ModelVersion.Source.TRAINED,
            # As long as a real one, which lists its test images.
            report={"made_up": True, "images": [image] * 300},
        )
        Promotion.objects.create(model_version=made, reason="Made up for measuring")
        versions.append(made)
    return versions


@transaction.atomic
def _insert(rows: Sequence[models.Model]) -> None:
    """The rows as they are: bulk_create would put the present into the times at which they were made."""
    by_model: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    database = connections[DEFAULT_DB_ALIAS]  # not through the proxy: it is asked for each value
    for model, some in by_model.items():
        fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
        values = (
            tuple(field.get_db_prep_save(getattr(row, field.attname), database) for field in fields)
            for row in some
        )
        _write(model._meta.db_table, [str(field.column) for field in fields], values)


def _write(table: str, columns: list[str], values: Iterator[tuple[Any, ...]]) -> None:
    into = f"{table} ({', '.join(columns)})"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {into} VALUES ({places})", list(values))  # noqa: S608 - our names
