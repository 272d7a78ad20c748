"""Sample data for development: fictional users, drawn X-rays, made-up answers, and reviews."""

import io
from datetime import datetime, timedelta

import numpy as np
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from classifier.core.models import Site, User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import receive_radiograph
from classifier.reviews.models import Review
from classifier.reviews.services import record_review
from tests.ml.drawings import BREAKS, draw_bone

# Each user's group; the admin has all permissions.
PEOPLE = {"alice": "", "rita": "Reviewers", "tess": "Trainers", "adam": "admin"}
PASSWORD = "only-for-development"
EMAIL_DOMAIN = "sample.invalid"
NUM_RADIOGRAPHS = 30
SIZE = (480, 672)
BONES = ("wrist", "forearm", "tibia", "humerus", "ankle")
PERIOD = timedelta(days=14)


class Refused(Exception):
    """The database holds other people's data; str(error) says so."""


def is_needed() -> bool:
    """Returns whether the database is empty.

    Raises:
        Refused: it holds users that fill() did not make.
    """
    if not User.objects.exists():
        return True
    if not User.objects.filter(username="alice", email=f"alice@{EMAIL_DOMAIN}").exists():
        raise Refused("This data folder holds the data of a portal in use. Choose another one.")
    return False


def fill() -> None:
    """Fills an empty, prepared portal with 30 X-rays of two weeks, answers and reviews."""
    people = _people()
    start = timezone.now() - PERIOD
    for number in range(NUM_RADIOGRAPHS):
        owner = people["tess" if number % 5 == 4 else "alice"]
        receive_radiograph(owner=owner, upload=_drawing(number))
    for number, prediction in enumerate(Prediction.objects.order_by("created_at")):
        _answer(prediction, number, start + PERIOD * number / NUM_RADIOGRAPHS)
    _review(people)


def _people() -> dict[str, User]:
    site = Site.objects.create(name="Sample clinic", allows_training=True)
    people = {}
    for name, group in PEOPLE.items():
        is_admin = group == "admin"
        user = User.objects.create_user(
            name,
            f"{name}@{EMAIL_DOMAIN}",
            PASSWORD,
            first_name=name.title(),
            last_name="Sample",
            site=site,
            is_staff=is_admin,
            is_superuser=is_admin,
        )
        if group and not is_admin:
            user.groups.add(Group.objects.get(name=group))
        people[name] = user
    return people


def _drawing(number: int) -> SimpleUploadedFile:
    content = io.BytesIO()
    pixels = draw_bone(BREAKS[number % len(BREAKS)], seed=number, size=SIZE)
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return SimpleUploadedFile(f"{BONES[number % len(BONES)]}-{number + 1:02}.png", content.getvalue())


def _answer(prediction: Prediction, number: int, at: datetime) -> None:
    """Writes an answer as the shipped model gives them. Its own would be "not a bone X-ray" for each drawing.

    Of ten answers, one fails, one is not recognized, two are doubtful and two see no fracture.
    """
    Radiograph.objects.filter(id=prediction.radiograph_id).update(created_at=at)
    prediction.created_at = prediction.started_at = at
    prediction.finished_at = at + timedelta(seconds=0.3)
    prediction.attempts = 1
    if number % 10 == 8:
        prediction.state, prediction.error = (
            Prediction.State.FAILED,
            "The stored image can no longer be read. Upload the X-ray again.",
        )
    else:
        random = np.random.default_rng(number)
        classes = prediction.model_version.classes
        shares = np.sort(random.dirichlet(np.full(len(classes), 0.3)))[::-1]
        names = [classes[place] for place in random.permutation(len(classes))]
        finding = _finding(number)
        probability = {"fracture_seen": 0.93, "doubtful": 0.12, "no_fracture_seen": 0.02}.get(finding)
        prediction.state = Prediction.State.SUCCEEDED
        prediction.finding, prediction.fracture_probability = finding, probability
        if finding != Prediction.Finding.NOT_RECOGNIZED:
            prediction.body_part = ("hand", "leg")[number % 2]
            prediction.calibrated = True
        if finding in (Prediction.Finding.FRACTURE_SEEN, Prediction.Finding.DOUBTFUL):
            width, height = prediction.radiograph.width, prediction.radiograph.height
            prediction.marks = [
                {
                    "x": width * 0.4,
                    "y": height * 0.45,
                    "width": width * 0.2,
                    "height": height * 0.1,
                    "score": 0.8,
                }
            ]
            prediction.in_distribution, prediction.abstained = True, number % 10 == 3
            prediction.class_name, prediction.confidence = names[0], float(shares[0])
            prediction.probabilities = [
                {"class": name, "probability": float(share)}
                for name, share in zip(names, shares, strict=True)
            ]
            prediction.prediction_set = names[: 5 if prediction.abstained else 2]
        rank = Prediction.ReviewRank
        is_doubtful = finding == Prediction.Finding.DOUBTFUL
        prediction.review_rank = rank.DOUBTFUL if is_doubtful else rank.UNREVIEWED
        prediction.review_order = 1 - (probability or 0)
    prediction.save()


def _finding(number: int) -> str:
    finding = Prediction.Finding
    special = {
        9: finding.NOT_RECOGNIZED,
        3: finding.DOUBTFUL,
        6: finding.DOUBTFUL,
        1: finding.NO_FRACTURE_SEEN,
    }
    return special.get(
        number % 10, finding.NO_FRACTURE_SEEN if number % 10 == 5 else finding.FRACTURE_SEEN
    ).value


def _review(people: dict[str, User]) -> None:
    """Rita confirms, corrects or cannot assess two answers in three; Tess disagrees on some."""
    answered = Prediction.objects.filter(state=Prediction.State.SUCCEEDED).select_related(
        "radiograph", "model_version"
    )
    for number, prediction in enumerate(answered.order_by("created_at")):
        classes = prediction.model_version.classes
        other = classes[number % len(classes)]
        if number % 3 == 0:
            record_review(
                reviewer=people["rita"],
                prediction=prediction,
                finding=Review.Finding.FRACTURE,
                class_name=prediction.class_name or other,
                boxes=_boxes(prediction) if number % 2 == 0 else [],
                comment="Seen in both views." if number % 2 else "",
            )
        elif number % 3 == 1:
            finding = Review.Finding.NO_FRACTURE if number % 2 else Review.Finding.NOT_ASSESSABLE
            record_review(reviewer=people["rita"], prediction=prediction, finding=finding)
        if number % 12 == 0:
            record_review(
                reviewer=people["tess"],
                prediction=prediction,
                finding=Review.Finding.NO_FRACTURE,
                comment="No fracture line.",
            )


def _boxes(prediction: Prediction) -> list[dict[str, float]]:
    """Returns one box around the middle of the bone, where the drawings are broken."""
    width, height = prediction.radiograph.width, prediction.radiograph.height
    return [{"x": width * 0.35, "y": height * 0.4, "width": width * 0.3, "height": height * 0.12}]
