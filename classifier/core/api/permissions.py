"""The permission rule of resources that are not open to every user."""

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from classifier.core.api.errors import NOTHING_HERE


class HasPermission(BasePermission):
    """Checks the permission, or each of several, that the view set names for the action in `needs`.

    A user without it gets 404, as for an address that does not exist. OPTIONS and methods that are not allowed
    need the permission of the first action at the address.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        action = view.action if view.action in view.needs else next(iter(view.action_map.values()))
        needed = view.needs[action]
        if not request.user.has_perms([needed] if isinstance(needed, str) else needed):
            raise NotFound(NOTHING_HERE)
        return True
