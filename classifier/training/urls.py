from django.urls import path

from classifier.training.views import comparisons, promotions, recalibrations, runs

urlpatterns = [
    path("training/", runs.overview, name="training_runs"),
    path("training/start/", runs.start, name="start_training"),
    path("training/schedule/", runs.schedule, name="retraining_schedule"),
    path("training/<int:run_id>/", runs.show, name="training_run"),
    path("training/<int:run_id>/progress/", runs.progress, name="training_progress"),
    path("training/<int:run_id>/cancel/", runs.cancel, name="cancel_training"),
    path("models/promotions/", promotions.overview, name="promotions"),
    path("models/roll-back/", promotions.roll_back_live, name="roll_back"),
    path("models/recalibrate/", recalibrations.start, name="recalibrate_finding"),
    path("models/<int:number>/compare/", comparisons.compare, name="compare_model"),
    path("models/<int:number>/promote/", promotions.promote, name="promote_model"),
    path("promotion-requests/<int:request_id>/", promotions.show_request, name="promotion_request"),
    path("promotion-requests/<int:request_id>/confirm/", promotions.confirm, name="confirm_promotion"),
    path("promotion-requests/<int:request_id>/decline/", promotions.decline, name="decline_promotion"),
    path("comparisons/<int:comparison_id>/", comparisons.show, name="comparison"),
    path("comparisons/<int:comparison_id>/progress/", comparisons.progress, name="comparison_progress"),
    path("recalibrations/<int:recalibration_id>/", recalibrations.show, name="recalibration"),
    path(
        "recalibrations/<int:recalibration_id>/progress/",
        recalibrations.progress,
        name="recalibration_progress",
    ),
]
