from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from classifier.core.api.views import not_found
from portal.accounts.admin import change_password, sign_in
from portal.accounts.views import ActivateTOTP

admin.site.login = sign_in  # type: ignore[method-assign, assignment]
admin.site.password_change = change_password  # type: ignore[method-assign, assignment]

admin.site.site_header = admin.site.site_title = "Callus"
admin.site.index_title = "Administration"

urlpatterns = [
    path("", include("classifier.radiographs.urls")),
    path("", include("classifier.reviews.urls")),
    path("", include("classifier.datasets.urls")),
    path("", include("classifier.training.urls")),
    path("", include("classifier.registry.urls")),
    path("", include("classifier.core.urls")),
    path("", include("portal.accounts.urls")),
    path("", include("portal.operations.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/totp/activate/", ActivateTOTP.as_view(), name="mfa_activate_totp"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("api/v1/", include("portal.api_urls")),
    # Unknown API addresses answer with JSON instead of a page.
    re_path("^api/", not_found),
    path("admin/", admin.site.urls),
    # Browsers ask for it where a page names no icon.
    path("favicon.ico", require_safe(RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg"))),
]

handler400 = "portal.error_views.bad_request"
handler500 = "portal.error_views.server_error"
