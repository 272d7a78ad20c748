from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path, re_path

from classifier.api.views.nothing import nothing
from portal import health

# One way to sign in: lockout and second factor hold for the administration too.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("portal.pages.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("api/v1/", include("classifier.api.urls")),
    # Programs get JSON, also where there is nothing.
    re_path("^api/", nothing),
    path("admin/", admin.site.urls),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_view, name="metrics"),
]

handler400 = "portal.pages.errors.bad_request"
handler500 = "portal.pages.errors.server_error"
