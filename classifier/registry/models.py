"""Model versions, promotions and requests for promotions."""

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import BooleanField, ExpressionWrapper, Max, Q, Subquery


def archive_path(version: "ModelVersion", name: str) -> str:
    """Returns the path of a version's bundle in the storage."""
    return f"models/{version.checksum}.zip"


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    """Selects model versions."""

    def live(self) -> "ModelVersion | None":
        """Returns the version that answers new uploads, which is the one promoted last."""
        # Every upload runs this query, so the large JSON columns are deferred.
        promotions = Promotion.objects.select_related("model_version")
        newest = promotions.defer("model_version__report", "model_version__card").order_by("-id").first()
        return newest.model_version if newest else None

    def newest_first(self) -> Self:
        return self.order_by("-number")

    def with_is_live(self) -> Self:
        """Annotates each version with `is_live` in one query."""
        newest = Promotion.objects.order_by("-id").values("model_version")[:1]
        return self.annotate(is_live=ExpressionWrapper(Q(id=Subquery(newest)), BooleanField()))

    def next_number(self) -> int:
        """Returns the number of the next version."""
        return (self.aggregate(highest=Max("number"))["highest"] or 0) + 1

    def class_names(self) -> list[str]:
        """Lists the classes of all versions in alphabetical order."""
        return sorted({name for names in self.values_list("card__classes", flat=True) for name in names})


class ModelVersion(models.Model):
    """A row is an immutable model bundle, named by its checksum. The shipped model is version 1."""

    class Source(models.TextChoices):
        SHIPPED = "shipped", "shipped with Callus"
        TRAINED = "trained", "trained here"
        RECALIBRATED = "recalibrated", "recalibrated here"

    number = models.PositiveIntegerField(unique=True)
    checksum = models.CharField(max_length=64, unique=True)
    archive = models.FileField(upload_to=archive_path, max_length=200)
    card = models.JSONField()
    source = models.CharField(max_length=20, choices=Source.choices)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    code_version = models.CharField(max_length=50, blank=True)
    # Its performance on the frozen test images: report.json of `python -m ml evaluate`.
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        permissions = [
            ("view_model", "Can view data sets, training runs and models"),
            ("train_model", "Can create data sets and train models"),
            ("promote_model", "Can promote and roll back models"),
        ]

    def __str__(self) -> str:
        return f"Model {self.number}"

    @property
    def classes(self) -> list[str]:
        """Lists the classes that this version predicts, in the order of its outputs."""
        classes: Any = self.card["classes"]
        return list(classes)

    @property
    def has_finding(self) -> bool:
        """Returns whether this version says if a bone is broken."""
        return "finding" in self.card


class PromotionQuerySet(models.QuerySet["Promotion"]):
    """Selects promotions."""

    def newest_first(self) -> Self:
        return self.order_by("-id")

    def with_comparison(self) -> Self:
        """Annotates each promotion with `comparison_id`, the comparison that the gate decided on, or None."""
        return self.annotate(comparison_id=Max("comparisons"))

    def before_live(self) -> "ModelVersion | None":
        """Returns the version that a rollback makes live, or None. Versions that were rolled back are skipped."""
        stack: list[ModelVersion] = []
        for promotion in self.order_by("id").select_related("model_version"):
            if promotion.kind == Promotion.Kind.ROLL_BACK:
                stack.pop()
            else:
                stack.append(promotion.model_version)
        return stack[-2] if len(stack) > 1 else None


class Promotion(models.Model):
    """A row makes a model version live. Append-only: the newest row names the live version."""

    class Kind(models.TextChoices):
        PROMOTE = "promote", "promoted"
        ROLL_BACK = "roll_back", "rolled back"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PROMOTE)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    # None if Callus itself promoted the shipped model.
    promoted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # The objection of the promotion gate, and the second person who confirmed the promotion despite it.
    objection = models.TextField(blank=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PromotionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.model_version} live from {self.created_at:%Y-%m-%d %H:%M}"


class PromotionRequestQuerySet(models.QuerySet["PromotionRequest"]):
    """Selects requests for promotions."""

    def waiting(self) -> Self:
        """Filters requests that wait for a second person."""
        return self.filter(state=PromotionRequest.State.WAITING)

    def newest_first(self) -> Self:
        return self.order_by("-id")


class PromotionRequest(models.Model):
    """A row asks a second person to confirm the promotion of a version to which the promotion gate objects.

    States: waiting -> confirmed | declined | withdrawn | lapsed. It lapses when another version becomes live.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting for a second person"
        CONFIRMED = "confirmed", "confirmed"
        DECLINED = "declined", "declined"
        WITHDRAWN = "withdrawn", "withdrawn"
        LAPSED = "lapsed", "lapsed"

    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="promotion_requests"
    )
    # The version that was live when it was requested.
    live = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    objection = models.TextField()
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # Who confirmed, declined or withdrew it; None if it lapsed.
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    # Why it lapsed, in a sentence.
    lapsed_because = models.CharField(max_length=300, blank=True)
    promotion = models.OneToOneField(Promotion, null=True, on_delete=models.PROTECT, related_name="request")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PromotionRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model_version"],
                condition=Q(state="waiting"),
                name="one_waiting_promotion_request",
            )
        ]

    def __str__(self) -> str:
        return f"Promotion request {self.pk}"
