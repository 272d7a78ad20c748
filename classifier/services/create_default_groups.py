from django.contrib.auth.models import Group, Permission
from django.db import transaction

from classifier.permissions import DEFAULT_GROUPS


def create_default_groups() -> None:
    """Make the groups that hold the permissions of the retraining loop. Safe to call at each start.

    A group that exists stays as its admin made it.
    """
    for name, permissions in DEFAULT_GROUPS.items():
        codenames = [permission.partition(".")[2] for permission in permissions]
        with transaction.atomic():
            group, is_new = Group.objects.get_or_create(name=name)
            if is_new:
                found = Permission.objects.filter(
                    content_type__app_label="classifier", codename__in=codenames
                )
                group.permissions.set(found)
