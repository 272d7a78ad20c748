"""The roles and sites of people. A role is one of Django's groups."""

from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q, QuerySet

from classifier.core.models import AuditEntry, Site, User
from classifier.core.permissions import SENTENCES


def search_people(text: str) -> QuerySet[User]:
    """Returns the people whose name or e-mail address contains a text, by user name, with their roles and sites."""
    found = User.objects.select_related("site").prefetch_related("groups").order_by("username", "id")
    if text:
        names = ("username", "email", "first_name", "last_name")
        condition = Q()
        for name in names:
            condition |= Q(**{f"{name}__icontains": text})
        found = found.filter(condition)
    return found


def describe_role(role: Group) -> str:
    """Returns what a role lets people do, in one sentence for each permission that the portal's pages check."""
    labels = [f"{p.content_type.app_label}.{p.codename}" for p in role.permissions.all()]
    known = [sentence for label, sentence in SENTENCES.items() if label in labels]
    if len(known) < len(labels):
        known.append("Has further rights in the administration.")
    return " ".join(known) or "Has no rights of its own."


def change_person(*, admin: User, person: User, roles: Iterable[Group], site: Site | None) -> None:
    """Gives a person these roles and no others, and this site, and records what changed in the audit log."""
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(id=person.id)
        before, after = set(person.groups.all()), set(roles)
        if before != after:
            person.groups.set(after)
            detail = {"before": _names(before), "after": _names(after)}
            AuditEntry.objects.record(actor=admin, action="roles changed", about=person, **detail)
        if person.site != site:
            detail = {"before": str(person.site or "none"), "after": str(site or "none")}
            person.site = site
            person.save(update_fields=["site"])
            AuditEntry.objects.record(actor=admin, action="site changed", about=person, **detail)


def _names(roles: Iterable[Group]) -> str:
    return ", ".join(sorted(role.name for role in roles)) or "none"
