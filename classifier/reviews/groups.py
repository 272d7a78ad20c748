"""Groups of the reviewed radiographs."""

from typing import Any

from classifier.radiographs.groups import group_names
from classifier.radiographs.models import Radiograph


def reviewed_groups() -> dict[Any, str]:
    """Returns the group of each reviewed radiograph by its id, also of those that may not be used for training.

    A radiograph in the trash can still join two others of one patient.
    """
    reviewed = Radiograph.objects.filter(reviews__isnull=False).distinct().order_by()
    return group_names(reviewed.values_list("id", "patient_hash", "study_hash").iterator())
