"""The pages of the retraining loop; who may not use one finds nothing there."""

from django.urls import path

from portal.pages import audit_log, comparisons, datasets, models, notifications, promotions, training

urlpatterns = [
    path("datasets/", datasets.overview, name="dataset_versions"),
    path("datasets/upload/", datasets.upload, name="upload_dataset"),
    path("datasets/from-reviews/", datasets.from_reviews, name="dataset_from_reviews"),
    path("datasets/<int:dataset_id>/", datasets.show, name="dataset_version"),
    path("datasets/<int:dataset_id>/progress/", datasets.progress, name="dataset_progress"),
    path("datasets/<int:dataset_id>/image/", datasets.image, name="dataset_image"),
    path("training/", training.overview, name="training_runs"),
    path("training/start/", training.start, name="start_training"),
    path("training/schedule/", training.schedule, name="retraining_schedule"),
    path("training/<int:run_id>/", training.show, name="training_run"),
    path("training/<int:run_id>/progress/", training.progress, name="training_progress"),
    path("training/<int:run_id>/cancel/", training.cancel, name="cancel_training"),
    path("models/", models.overview, name="model_versions"),
    path("models/promotions/", promotions.overview, name="promotions"),
    path("models/roll-back/", promotions.roll_back_live, name="roll_back"),
    path("models/<int:number>/", models.show, name="model_version"),
    path("models/<int:number>/report/", models.report, name="model_report"),
    path("models/<int:number>/compare/", comparisons.compare, name="compare_model"),
    path("models/<int:number>/promote/", promotions.promote, name="promote_model"),
    path("comparisons/<int:comparison_id>/", comparisons.show, name="comparison"),
    path("comparisons/<int:comparison_id>/progress/", comparisons.progress, name="comparison_progress"),
    path("audit-log/", audit_log.show, name="audit_log"),
    path("notifications/", notifications.show, name="notifications"),
    path("notifications/read/", notifications.mark_read, name="mark_notifications_read"),
]
