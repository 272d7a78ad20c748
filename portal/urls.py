from django.contrib import admin
from django.urls import include, path, re_path

from classifier.api.views.nothing import nothing
from portal import health
from portal.admin import change_password, sign_in

admin.site.login = sign_in  # type: ignore[method-assign, assignment]
admin.site.password_change = change_password  # type: ignore[method-assign, assignment]

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
