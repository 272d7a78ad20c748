"""Who may see which X-rays and predictions: users see their own, reviewers those of all users.

The querysets of the models have these rules. classifier.reviews.models has the one for reviews.
"""

import uuid
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.apps import apps
from django.db import models

from classifier.core.permissions import REVIEW
from classifier.core.queued_work import QueuedWorkQuerySet

if TYPE_CHECKING:
    from classifier.radiographs.models import Prediction, Radiograph

RadiographT = TypeVar("RadiographT", bound="Radiograph")
PredictionT = TypeVar("PredictionT", bound="Prediction")


def can_view_all(user: Any) -> bool:
    """Returns whether the user is a reviewer, who can view the X-rays of all users."""
    return bool(user.is_authenticated and user.has_perm(REVIEW))


class RadiographVisibilityQuerySet(models.QuerySet[RadiographT]):
    """Selects the radiographs that a user can view or delete."""

    def not_in_trash(self) -> Self:
        """Filters radiographs that are not in the trash."""
        return self.filter(deleted_at=None)

    def visible_to(self, user: Any) -> Self:
        """Filters what the user can view: their own radiographs, or all for a reviewer. Excludes the trash."""
        return self.not_in_trash() if can_view_all(user) else self.owned_by(user)

    def owned_by(self, user: Any) -> Self:
        """Filters the user's own radiographs, which only they can delete. Excludes the trash."""
        return self.not_in_trash().filter(owner=user) if user.is_authenticated else self.none()

    def get_visible(self, user: Any, radiograph_id: uuid.UUID) -> RadiographT | None:
        """Returns the radiograph with this id, or None if the user cannot view it.

        Looks up permissions only for radiographs of other users. A page of the history loads two dozen images of
        the user's own, so this saves a query for each.
        """
        found = self.not_in_trash().filter(id=radiograph_id).first()
        return found if found and (found.owner_id == user.pk or can_view_all(user)) else None

    def in_trash_of(self, user: Any) -> Self:
        """Filters what the user deleted and can still restore, the most recently deleted first."""
        trash = self.filter(owner=user, deleted_at__isnull=False) if user.is_authenticated else self.none()
        return trash.order_by("-deleted_at", "-id")


class PredictionVisibilityQuerySet(QueuedWorkQuerySet[PredictionT]):
    """Selects the predictions that a user can view."""

    def visible_to(self, user: Any) -> Self:
        """Filters predictions of radiographs that the user can view."""
        if can_view_all(user):
            return self.filter(radiograph__deleted_at=None)
        radiographs: Any = apps.get_model("radiographs", "Radiograph")._default_manager
        return self.filter(radiograph__in=radiographs.visible_to(user))

    def get_visible(self, user: Any, prediction_id: uuid.UUID) -> PredictionT | None:
        """Returns the prediction with this id, or None if the user cannot view it."""
        found = (
            self.select_related("radiograph").filter(radiograph__deleted_at=None, id=prediction_id).first()
        )
        return found if found and (found.radiograph.owner_id == user.pk or can_view_all(user)) else None
