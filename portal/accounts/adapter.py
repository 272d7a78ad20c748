"""The django-allauth adapter."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils.http import url_has_allowed_host_and_scheme

from classifier.core.models import WriteCount
from classifier.core.write_limit import PERIOD_SECONDS
from portal.links import absolute, with_public_origin


@dataclass(frozen=True)
class MailSite:
    """What the mail templates of django-allauth call the site. Their own is the Host header of the request."""

    name: str = "Callus"

    @property
    def domain(self) -> str:
        """Returns the host of the public address."""
        return urlsplit(absolute("")).netloc


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closes sign-up unless SIGN_UP is open, and sends mails with links to the public address."""

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Sends a mail whose links do not follow the Host header of the request, which the sender chooses."""
        urls = {name: with_public_origin(url) for name, url in context.items() if name.endswith("_url")}
        super().send_mail(template_prefix, email, {**context, **urls, "current_site": MailSite()})

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts an attempt to sign in.

        Raises:
            ValidationError: there were too many failed attempts.
            DatabaseError: the attempt cannot be counted. The cache hides this, and too many attempts would be blamed.
        """
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            WriteCount.objects.add_one("sign-in", PERIOD_SECONDS)
            raise

    def is_safe_url(self, url: str | None) -> bool:
        """Returns whether the URL, to which signing in leads, is a path of the portal.

        Under a path, other applications share the host. Browsers read a backslash as a slash, and resolve dots.
        """
        path = unquote(urlsplit((url or "").replace("\\", "/")).path)
        is_within = path.startswith(get_script_prefix()) and ".." not in path.split("/")
        return is_within and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Returns whether people can create their own accounts."""
        return settings.SIGN_UP == "open"
