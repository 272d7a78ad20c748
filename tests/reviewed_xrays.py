"""Reviewed radiographs as rows, for tests of recalibration."""

from typing import Any

from classifier.core.models import Site, User
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from tests.retraining import answered, person


def owner(name: str = "owen", *, allows_training: bool = True) -> User:
    """A user of a site, which allows training or not."""
    site = Site.objects.create(name=f"Hospital of {name}", allows_training=allows_training)
    return person(name, site=site)


def reviewed(of: User, version: ModelVersion, *findings: str, seed: int = 0, **fields: Any) -> Radiograph:
    """A radiograph that one reviewer after the other gave these findings."""
    prediction = answered(of, version, seed=seed)
    radiograph = prediction.radiograph
    Radiograph.objects.filter(id=radiograph.id).update(**fields)
    for number, finding in enumerate(findings):
        reviewer, _ = User.objects.get_or_create(username=f"reviewer-{number}")
        Review.objects.create(
            radiograph=radiograph, prediction=prediction, reviewer=reviewer, finding=finding
        )
    return radiograph


def enough(of: User, version: ModelVersion, each: int = 30) -> list[Radiograph]:
    """Reviewed radiographs, as many with a fracture as without."""
    return [
        reviewed(
            of,
            version,
            "fracture" if number % 2 else "no_fracture",
            seed=number,
        )
        for number in range(2 * each)
    ]
