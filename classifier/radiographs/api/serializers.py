"""Serializers of radiographs, predictions and prediction batches."""

from typing import Any

from rest_framework import serializers

from classifier.core.api.serializers import ClassFieldMixin, NullableCharField, StrictCharField
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph
from classifier.radiographs.services import MAX_SELECTION


class UploadSerializer(serializers.Serializer[Any]):
    # An empty file is refused by ml.data.images, like every file that cannot be read.
    file = serializers.FileField(allow_empty_file=True, help_text="A JPEG, PNG or DICOM file.")


class RadiographFilterSerializer(ClassFieldMixin, serializers.Serializer[Any]):
    name = StrictCharField(required=False, allow_blank=True, help_text="Part of the file name.")
    class_ = StrictCharField(
        source="class_name",
        required=False,
        allow_blank=True,
        help_text="The full name of the predicted class.",
    )
    state = serializers.ChoiceField(Prediction.State.choices, required=False, allow_blank=True)


class PredictionStateSerializer(serializers.ModelSerializer[Prediction]):
    class Meta:
        model = Prediction
        fields = read_only_fields = ["id", "state"]


class RadiographSerializer(serializers.ModelSerializer[Radiograph]):
    name = serializers.SerializerMethodField(help_text="The file name for the owner; a number for others.")
    sha256 = serializers.CharField(help_text="SHA-256 of the file as it was sent.")
    prediction = PredictionStateSerializer(help_text="The newest prediction.")

    class Meta:
        model = Radiograph
        fields = read_only_fields = ["id", "name", "sha256", "width", "height", "created_at", "prediction"]

    def get_name(self, radiograph: Radiograph) -> str:
        return radiograph.name_for(self.context["request"].user)


class ProbabilitySerializer(ClassFieldMixin, serializers.Serializer[Any]):
    class_ = serializers.CharField()
    probability = serializers.FloatField(min_value=0, max_value=1)


class PredictionSerializer(ClassFieldMixin, serializers.ModelSerializer[Prediction]):
    radiograph = serializers.UUIDField(source="radiograph_id")
    class_ = NullableCharField(
        source="class_name",
        help_text="The most probable class; null until succeeded, and when `in_distribution` is false.",
    )
    confidence = serializers.FloatField(
        allow_null=True, help_text="The calibrated probability of the most probable class."
    )
    probabilities = ProbabilitySerializer(
        many=True, help_text="The most probable class first; empty until succeeded."
    )
    abstained = serializers.BooleanField(
        allow_null=True,
        help_text="True when the model is too uncertain to name one class: `class` is one of several likely ones.",
    )
    in_distribution = serializers.BooleanField(
        allow_null=True, help_text="False when the image is unlike the X-rays that the model was trained on."
    )
    model_version = serializers.IntegerField(source="model_version.number")
    error = NullableCharField(help_text="A sentence that says why the prediction failed; null unless failed.")

    class Meta:
        model = Prediction
        fields = read_only_fields = [
            "id", "radiograph", "state", "class_", "confidence", "probabilities", "abstained",
            "in_distribution", "model_version", "created_at", "finished_at", "error",
        ]  # fmt: skip


class NewPredictionBatchSerializer(serializers.Serializer[Any]):
    radiographs = serializers.ListField(
        child=serializers.UUIDField(),
        min_length=1,
        max_length=MAX_SELECTION,
        help_text="Ids of the radiographs.",
    )


class ProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    waiting = serializers.IntegerField()


class PredictionBatchSerializer(serializers.ModelSerializer[PredictionBatch]):
    model_version = serializers.IntegerField(source="model_version.number")
    progress = ProgressSerializer()
    num_known = serializers.IntegerField(
        help_text="Number of radiographs that this model version had already answered."
    )

    class Meta:
        model = PredictionBatch
        fields = ["id", "model_version", "created_at", "num_known", "progress"]
