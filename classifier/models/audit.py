from typing import Any

from django.conf import settings
from django.db import models


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def newest_first(self) -> "AuditEntryQuerySet":
        return self.order_by("-id")

    def about(self, thing: models.Model) -> "AuditEntryQuerySet":
        return self.filter(subject=subject_of(thing), subject_id=str(thing.pk))

    def record(self, *, actor: Any, action: str, about: models.Model, **detail: Any) -> "AuditEntry":
        """Note who did what; the actor is None when Callus itself did it."""
        return self.create(
            actor=actor,
            actor_name=actor.get_username() if actor else "",
            action=action,
            subject=subject_of(about),
            subject_id=str(about.pk),
            subject_name=str(about),
            detail=detail,
        )


def subject_of(thing: models.Model) -> str:
    return str(thing._meta.verbose_name)


class AuditEntry(models.Model):
    """Who did what, and when. Append-only; it keeps the names of people and things that are gone."""

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=150, blank=True)
    action = models.CharField(max_length=50)
    # What it was done to: "training run", "model version", ...
    subject = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=50)
    subject_name = models.CharField(max_length=300)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_name or 'Callus'}: {self.action}, {self.subject_name}"
