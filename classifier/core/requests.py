"""Who may see a page: a signed-in person, or one who holds a permission."""

from collections.abc import Callable, Collection
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase

from classifier.core.errors import QueryRefused
from classifier.core.models import User


class UserRequest(HttpRequest):
    """A request behind `signed_in`."""

    user: User


Page = Callable[..., HttpResponseBase]


def signed_in(page: Page) -> Page:
    """The page for a signed-in person; others are sent to sign in.

    A script gets 401 instead: following the redirect, it would take the sign-in page for its answer.
    """
    page_or_sign_in = login_required(page)

    @wraps(page)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not request.user.is_authenticated and ("HX-Request" in request.headers or wants_json(request)):
            return HttpResponse("You are signed out.\n", status=401, content_type="text/plain")
        return page_or_sign_in(request, *args, **kwargs)

    return guarded


def may(*permissions: str) -> Callable[[Page], Page]:
    """The page for those who hold all of these permissions; others get 404."""

    def guard(page: Page) -> Page:
        @wraps(page)
        def page_or_404(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if not request.user.has_perms(permissions):
                raise Http404
            return page(request, *args, **kwargs)

        return signed_in(page_or_404)

    return guard


def check_query(request: HttpRequest, known: Collection[str]) -> None:
    """Checks the names of the query parameters. A misspelled filter would otherwise show everything.

    Raises:
        QueryRefused: one of them is not known.
    """
    if any(name not in known for name in request.GET):
        names = ", ".join(sorted(known))
        raise QueryRefused(f"The address has an unknown query parameter. This page knows: {names}.")


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"
