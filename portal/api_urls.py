"""All addresses under /api/v1/."""

from django.urls import path

from classifier.core.api.routers import Router
from classifier.core.api.views import AuditEntriesViewSet, DocsView, SchemaView
from classifier.datasets.api import DatasetVersionsViewSet
from classifier.radiographs.api.views import PredictionBatchesViewSet, PredictionsViewSet, RadiographsViewSet
from classifier.registry.api import ModelVersionsViewSet, PromotionsViewSet
from classifier.reviews.api import ReviewsViewSet, WorklistViewSet
from classifier.training.api.promotion_requests import PromotionRequestsViewSet
from classifier.training.api.views import (
    CandidatesViewSet,
    ComparisonsViewSet,
    RecalibrationsViewSet,
    RetrainingScheduleViewSet,
    RollBackViewSet,
    TrainingRunsViewSet,
)
from portal.accounts.api import AccountViewSet, TokensViewSet

router = Router()
router.register("tokens", TokensViewSet, "api_tokens")
router.register("account", AccountViewSet, "api_account")
router.register("radiographs", RadiographsViewSet, "api_radiographs")
router.register("predictions", PredictionsViewSet, "api_predictions")
router.register("prediction-batches", PredictionBatchesViewSet, "api_prediction_batches")

# These require a permission; users without it get 404.
router.register("reviews", ReviewsViewSet, "api_reviews")
router.register("reviews/worklist", WorklistViewSet, "api_worklist")
router.register("dataset-versions", DatasetVersionsViewSet, "api_dataset_versions")
router.register("training-runs", TrainingRunsViewSet, "api_training_runs")
router.register("model-versions", ModelVersionsViewSet, "api_model_versions")
router.register("model-versions", CandidatesViewSet, "api_candidates")
router.register("comparisons", ComparisonsViewSet, "api_comparisons")
router.register("recalibrations", RecalibrationsViewSet, "api_recalibrations")
router.register("promotions", PromotionsViewSet, "api_promotions")
router.register("promotion-requests", PromotionRequestsViewSet, "api_promotion_requests")
router.register("promotions/roll-back", RollBackViewSet, "api_roll_back")
router.register("audit-entries", AuditEntriesViewSet, "api_audit_entries")

# There is only one schedule: its address has no id.
retraining_schedule = RetrainingScheduleViewSet.as_view({"get": "retrieve", "put": "update"})

urlpatterns = [
    *router.urls,
    path("retraining-schedule/", retraining_schedule, name="api_retraining_schedule"),
    path("schema/", SchemaView.as_view(), name="api_schema"),
    path("docs/", DocsView.as_view(), name="api_docs"),
]
