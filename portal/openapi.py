"""Names in the OpenAPI schema that drf-spectacular cannot choose by itself."""

# Several fields of different choices have the same name.
ENUM_NAMES = {
    "PredictionStateEnum": "classifier.radiographs.models.Prediction.State",
    "FindingEnum": "classifier.radiographs.models.Prediction.Finding",
    "ReviewFindingEnum": "classifier.reviews.models.Review.Finding",
    "WorkStateEnum": "classifier.datasets.models.DatasetVersion.State",
    "DatasetSourceEnum": "classifier.datasets.models.DatasetVersion.Source",
    "ModelSourceEnum": "classifier.registry.models.ModelVersion.Source",
}
