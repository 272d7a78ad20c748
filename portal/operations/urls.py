from django.urls import path

from portal.operations import health, views

urlpatterns = [
    path("status/", views.show, name="status"),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_view, name="metrics"),
]
