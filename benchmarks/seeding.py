"""Makes up rows like those of a portal after years of use, without files."""

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.utils import timezone

from classifier.core.models import AuditEntry, Notification, User
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph, image_path, thumbnail_path
from classifier.registry.models import ModelVersion, Promotion
from classifier.reviews.models import Review

YEARS = timedelta(days=730)
TRASH = timedelta(days=30)
# The most frequent first.
BONES = ("wrist", "Handgelenk li", "elbow", "shoulder", "ankle", "knee", "hand", "foot", "tibia", "clavicle")
FORMS = ("{bone}-{day}-{n:04}.png", "{day}_{bone}.jpg", "IM-{n:04}-0001.dcm", "CR{n:06} {bone}.dcm")
# Share of the predictions that are the first for their X-ray.
FIRST = 0.85
IN_TRASH, FAILED, UNSURE, NO_XRAY, REVIEWED = 0.02, 0.015, 0.25, 0.04, 0.1
# The length of the queue depends on the workers, not on the age of the portal.
WAITING, RUNNING = 150, 4
QUEUE = timedelta(minutes=10)


class Maker:
    """Makes up rows for users and model versions (oldest first); the same rows for the same seed."""

    def __init__(self, people: dict[str, User], versions: list[ModelVersion], seed: int) -> None:
        self.people = people
        self.versions = versions
        # Counted, not drawn, so that also a small database has rows of each state.
        self.waiting, self.finished = count(), count()
        self.random = random.Random(seed)
        self.now = timezone.now()
        self.answers = [self._answer() for _ in range(500)]
        # X-rays that the newest version predicts again: id, owner, and whether they are reviewed.
        self.again: list[tuple[uuid.UUID, int, bool]] = []

    def rows(self, predictions: int) -> Iterator[models.Model]:
        """Yields all rows in chronological order, with rows before those that refer to them."""
        num_first = round(predictions * FIRST)
        num_waiting = min(WAITING + RUNNING, num_first // 5)
        answered_early = range((num_first - num_waiting) * (len(self.versions) - 1) // len(self.versions))
        again = set(self.random.sample(answered_early, predictions - num_first))
        num_answered = num_first - num_waiting
        for number, owner in enumerate(self._owners(num_first, num_waiting)):
            version = self.versions[number * len(self.versions) // num_first]
            if number < num_answered:
                age = YEARS * (1 - (number + self.random.random()) / num_answered)
                radiograph = self._radiograph(owner, self.now - QUEUE - age)
                yield from self._answered(radiograph, version, is_asked_again=number in again)
            else:
                radiograph = self._radiograph(owner, self.now - QUEUE * (num_first - number) / num_waiting)
                yield from (radiograph, self._waiting(radiograph, version))
        yield from self._answered_again()
        yield from self._notifications(max(60, predictions // 200))

    def _owners(self, number: int, num_waiting: int) -> list[User]:
        """Returns the owner of each X-ray, oldest first.

        One user has 500 X-rays and one 20,000; the others share the rest unevenly, including the queued ones.
        """
        named = {"made-typical": 500, "made-heavy": 20_000}
        owners = [
            self.people[name] for name, most in named.items() for _ in range(min(most, number * 2 // 5))
        ]
        num_others = number - len(owners)
        others = [person for name, person in self.people.items() if name not in named]
        shares = [self.random.expovariate(1) for _ in others]
        waiting = self.random.choices(others, shares, k=min(num_waiting, num_others))
        owners += self.random.choices(others, shares, k=num_others - len(waiting))
        self.random.shuffle(owners)
        return owners + waiting

    def _answered(
        self, radiograph: Radiograph, version: ModelVersion, *, is_asked_again: bool
    ) -> Iterator[models.Model]:
        prediction = self._prediction(radiograph.id, radiograph.owner_id, version, radiograph.created_at)
        if self.random.random() < IN_TRASH:
            age = self.now - radiograph.created_at
            radiograph.deleted_at = self.now - self.random.random() * min(TRASH, age)
        reviews: list[models.Model] = []
        if prediction.state == "succeeded" and self.random.random() < REVIEWED:
            reviews = list(self._reviews(radiograph, prediction))
        if is_asked_again:
            self.again.append((radiograph.id, radiograph.owner_id, bool(reviews)))
        if is_asked_again or reviews:
            prediction.review_rank = None
        yield from (radiograph, prediction, *reviews)

    def _waiting(self, radiograph: Radiograph, version: ModelVersion) -> Prediction:
        prediction = Prediction(
            id=self._id(),
            radiograph=radiograph,
            owner_id=radiograph.owner_id,
            model_version=version,
            send_at=radiograph.created_at,
            created_at=radiograph.created_at,
            trace=self._id().hex,
        )
        if next(self.waiting) < RUNNING:
            prediction.state, prediction.attempts = Prediction.State.RUNNING, 1
            prediction.started_at = self.now
            # Longer than a measurement: what is claimed next is the same before and after.
            prediction.lease_until = prediction.send_at = self.now + timedelta(days=1)
        return prediction

    def _radiograph(self, owner: User, at: datetime) -> Radiograph:
        radiograph = Radiograph(
            id=self._id(),
            owner=owner,
            _file_name=self.random.choice(FORMS).format(
                bone=self._pick(BONES), day=at.date(), n=self.random.randrange(10_000)
            ),
            sha256=self.random.randbytes(32).hex(),
            width=self.random.randrange(400, 3000),
            height=self.random.randrange(400, 3000),
            created_at=at,
        )
        radiograph.image, radiograph.thumbnail = image_path(radiograph), thumbnail_path(radiograph)
        return radiograph

    def _prediction(
        self, radiograph_id: uuid.UUID, owner_id: int, version: ModelVersion, at: datetime
    ) -> Prediction:
        prediction = Prediction(
            id=self._id(),
            radiograph_id=radiograph_id,
            owner_id=owner_id,
            model_version=version,
            attempts=1,
            send_at=at + timedelta(seconds=10),
            created_at=at,
            started_at=at + timedelta(seconds=0.2),
            finished_at=at + timedelta(seconds=0.2 + self.random.expovariate(5)),
            trace=self._id().hex,
        )
        if next(self.finished) % round(1 / FAILED) == 0:
            prediction.state = Prediction.State.FAILED
            prediction.error = "The stored image can no longer be read. Upload the X-ray again."
            return prediction
        for name, value in self.random.choice(self.answers).items():
            setattr(prediction, name, value)
        return prediction

    def _answer(self) -> dict[str, Any]:
        classes = self.versions[-1].classes
        weights = sorted((self.random.expovariate(1) ** 2 for _ in classes), reverse=True)
        first = self._pick(classes)
        names = [first, *self.random.sample([name for name in classes if name != first], len(classes) - 1)]
        pairs = [(name, weight / sum(weights)) for name, weight in zip(names, weights, strict=True)]
        is_xray, is_unsure = self.random.random() >= NO_XRAY, self.random.random() < UNSURE
        rank = Prediction.ReviewRank.DOUBTFUL if is_unsure else Prediction.ReviewRank.UNREVIEWED
        probability = 0.05 + 0.15 * pairs[0][1] if is_unsure else 0.2 + 0.8 * pairs[0][1]
        finding = Prediction.Finding.DOUBTFUL if is_unsure else Prediction.Finding.FRACTURE_SEEN
        return {
            "state": Prediction.State.SUCCEEDED,
            "finding": finding if is_xray else Prediction.Finding.NOT_RECOGNIZED,
            "fracture_probability": probability if is_xray else None,
            "calibrated": True if is_xray else None,
            "body_part": "hand" if is_xray else "",
            "class_name": names[0] if is_xray else "",
            "confidence": pairs[0][1],
            "probabilities": [{"class": name, "probability": share} for name, share in pairs],
            "prediction_set": names[:3],
            "abstained": is_unsure,
            "in_distribution": is_xray,
            "review_rank": rank,
            "review_order": 1 - probability,
        }

    def _reviews(self, radiograph: Radiograph, prediction: Prediction) -> Iterator[models.Model]:
        for reviewer in self.random.sample(["made-reviewer", "made-admin"], self.random.choice((1, 1, 1, 2))):
            person, at = self.people[reviewer], prediction.created_at + timedelta(hours=5)
            finding = self.random.choice((prediction.class_name, *self.versions[-1].classes[:2]))
            yield Review(
                radiograph=radiograph,
                prediction=prediction,
                reviewer=person,
                finding=Review.Finding.FRACTURE if finding else Review.Finding.NOT_ASSESSABLE,
                class_name=finding,
                created_at=at,
            )
            yield self._entry(person, "reviewed", radiograph, at, {"finding": finding})

    def _answered_again(self) -> Iterator[models.Model]:
        """Yields the predictions by the newest version for X-rays with earlier predictions."""
        newest, at = self.versions[-1], self.now - timedelta(days=1)
        admin = self.people["made-admin"]
        for place, (radiograph_id, owner_id, is_reviewed) in enumerate(self.again):
            if place % 1000 == 0:
                batch = PredictionBatch.objects.create(model_version=newest, created_by=admin)
                asked = {"batch": batch.pk, "images": min(1000, len(self.again) - place)}
                yield self._entry(admin, "predicted again", newest, at, asked)
            prediction = self._prediction(radiograph_id, owner_id, newest, at)
            prediction.batch_id = batch.pk
            if is_reviewed:
                prediction.review_rank = None
            yield prediction

    def _notifications(self, number: int) -> Iterator[models.Model]:
        for place in range(number):
            at = self.now - YEARS * (1 - place / number)
            yield Notification(
                user=self.people["made-admin"],
                text=f"Training run {place + 1} is done.",
                subject=Notification.Subject.TRAINING_RUN,
                subject_id=place + 1,
                created_at=at,
                read_at=None if place > number - 8 else at + timedelta(hours=1),
            )

    def _entry(
        self, person: User, action: str, about: models.Model, at: datetime, detail: dict[str, Any]
    ) -> AuditEntry:
        return AuditEntry(
            actor=person,
            actor_name=person.username,
            action=action,
            subject=str(about._meta.verbose_name),
            subject_id=str(about.pk),
            subject_name=str(about),
            detail=detail,
            created_at=at,
        )

    def _pick(self, names: Sequence[str]) -> str:
        return self.random.choices(names, range(len(names), 0, -1))[0]

    def _id(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)


# Made-up users have no password, so nobody can sign in as one of them.
NOWHERE = "@made.invalid"
NUM_VERSIONS = 5
BATCH_SIZE = 10_000


class Refused(Exception):
    """The database cannot be filled; str(error) says why."""


def seed(
    *, num_predictions: int, num_users: int, on_progress: Callable[[int], None] = lambda made: None
) -> int:
    """Fills the database of an empty portal with rows like those after years of use.

    Args:
        num_predictions: Number of predictions.
        num_users: Number of users.
        on_progress: Called with the number of rows so far.

    Returns:
        The number of rows.

    Raises:
        Refused: The portal has users or no live model, or the numbers are too small.
    """
    if User.objects.exclude(email__endswith=NOWHERE).exists():
        raise Refused("This portal has users, so its database is not changed.")
    if num_users < 4 or num_predictions < 20:
        raise Refused("At least 4 users and 20 predictions are needed.")
    live = ModelVersion.objects.live()
    if live is None:
        raise Refused("Run manage.py prepare first.")
    # A second run on the same database adds other rows.
    maker = Maker(_people(num_users), _versions(live), seed=Prediction.objects.count())
    rows = maker.rows(num_predictions)
    made = 0
    while some := list(islice(rows, BATCH_SIZE)):
        _insert(some)
        made += len(some)
        on_progress(made)
    return made


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
    """Returns the live model version and its made-up successors, the last of which is live."""
    versions = list(ModelVersion.objects.order_by("number"))
    while len(versions) < NUM_VERSIONS:
        image = {"path": f"{live.classes[0]}/0001.png", "label": live.classes[0], "confidence": 0.123456789}
        made = ModelVersion.objects.create(
            number=ModelVersion.objects.next_number(),
            checksum=uuid.uuid4().hex * 2,
            card=live.card,
            source=ModelVersion.Source.TRAINED,
            # As long as a real report, which lists the test images.
            report={"made_up": True, "images": [image] * 300},
        )
        Promotion.objects.create(model_version=made, reason="Made up for measuring")
        versions.append(made)
    return versions


@transaction.atomic
def _insert(rows: Sequence[models.Model]) -> None:
    """Inserts rows unchanged; bulk_create would replace their creation times."""
    by_model: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    database = connections[DEFAULT_DB_ALIAS]  # faster than the proxy, which is resolved for each value
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
            cursor.executemany(f"INSERT INTO {into} VALUES ({places})", list(values))
