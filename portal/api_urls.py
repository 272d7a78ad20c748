from django.urls import path
from django.views.decorators.cache import never_cache

from classifier.core.api.views import AuditEntries, Docs, Schema
from classifier.datasets.api import DatasetVersions, OneDatasetVersion
from classifier.radiographs.api.views import (
    Image,
    OnePrediction,
    OnePredictionBatch,
    OneRadiograph,
    PredictionBatches,
    Radiographs,
    Thumbnail,
)
from classifier.registry.api import ModelVersions, OneModelVersion, Promotions
from classifier.reviews.api import Reviews, Worklist
from classifier.training.api import (
    CancelTrainingRun,
    CompareModelVersion,
    OneComparison,
    OneTrainingRun,
    PromoteModelVersion,
    RollBack,
    TrainingRuns,
)
from classifier.training.api import Schedule as RetrainingSchedule
from portal.accounts.api import AccountExport, CurrentToken, Tokens

# These answer 404 to users without permission to review, train or promote.
RETRAINING = [
    path("reviews/", never_cache(Reviews.as_view()), name="api_reviews"),
    path("reviews/worklist/", never_cache(Worklist.as_view()), name="api_worklist"),
    path("dataset-versions/", never_cache(DatasetVersions.as_view()), name="api_dataset_versions"),
    path("dataset-versions/<int:id>/", never_cache(OneDatasetVersion.as_view()), name="api_dataset_version"),
    path("training-runs/", never_cache(TrainingRuns.as_view()), name="api_training_runs"),
    path("training-runs/<int:id>/", never_cache(OneTrainingRun.as_view()), name="api_training_run"),
    path("training-runs/<int:id>/cancel/", CancelTrainingRun.as_view(), name="api_cancel_training_run"),
    path("model-versions/", never_cache(ModelVersions.as_view()), name="api_model_versions"),
    path(
        "model-versions/<int:number>/",
        never_cache(OneModelVersion.as_view()),
        name="api_model_version",
    ),
    path(
        "model-versions/<int:number>/promote/",
        PromoteModelVersion.as_view(),
        name="api_promote_model_version",
    ),
    path(
        "model-versions/<int:number>/compare/",
        CompareModelVersion.as_view(),
        name="api_compare_model_version",
    ),
    path("comparisons/<int:id>/", never_cache(OneComparison.as_view()), name="api_comparison"),
    path("promotions/", never_cache(Promotions.as_view()), name="api_promotions"),
    path("promotions/roll-back/", RollBack.as_view(), name="api_roll_back"),
    path("retraining-schedule/", never_cache(RetrainingSchedule.as_view()), name="api_retraining_schedule"),
    path("audit-entries/", never_cache(AuditEntries.as_view()), name="api_audit_entries"),
]

urlpatterns = [
    path("tokens/", never_cache(Tokens.as_view()), name="api_tokens"),
    path("tokens/current/", never_cache(CurrentToken.as_view()), name="api_current_token"),
    path("radiographs/", never_cache(Radiographs.as_view()), name="api_radiographs"),
    path("radiographs/<uuid:id>/", never_cache(OneRadiograph.as_view()), name="api_radiograph"),
    path("radiographs/<uuid:id>/image/", Image.as_view(), name="api_radiograph_image"),
    path("radiographs/<uuid:id>/thumbnail/", Thumbnail.as_view(), name="api_radiograph_thumbnail"),
    path("account/export/", never_cache(AccountExport.as_view()), name="api_account_export"),
    path("predictions/<uuid:id>/", never_cache(OnePrediction.as_view()), name="api_prediction"),
    path("prediction-batches/", PredictionBatches.as_view(), name="api_prediction_batches"),
    path(
        "prediction-batches/<int:id>/", never_cache(OnePredictionBatch.as_view()), name="api_prediction_batch"
    ),
    *RETRAINING,
    path("schema/", Schema.as_view(), name="api_schema"),
    path("docs/", Docs.as_view(), name="api_docs"),
]
