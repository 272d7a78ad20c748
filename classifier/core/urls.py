from django.urls import path

from classifier.core import views

urlpatterns = [
    path("audit-log/", views.audit_log, name="audit_log"),
    path("audit-log/csv/", views.audit_log_csv, name="audit_log_csv"),
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/read/", views.mark_read, name="mark_notifications_read"),
]
