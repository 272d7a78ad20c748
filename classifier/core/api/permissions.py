from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from classifier.core.api.errors import NOTHING_HERE


class HasPermission(BasePermission):
    """The permissions that a view names by method in `needs`. Who lacks one gets 404, as if nothing were there.

    What is not named (HEAD, OPTIONS, methods that are not allowed) needs what the first one needs.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        needed = view.needs.get(request.method, next(iter(view.needs.values())))
        if not request.user.has_perm(needed):
            raise NotFound(NOTHING_HERE)
        return True
