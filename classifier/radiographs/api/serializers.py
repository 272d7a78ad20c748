"""Serializers of radiographs, predictions and prediction batches."""

from typing import Any

from rest_framework import serializers

from classifier.core.api.serializers import (
    CappedListField,
    ClassFieldMixin,
    NullableCharField,
    NullableChoiceField,
    StrictCharField,
    StrictSerializer,
)
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph
from classifier.radiographs.services import MAX_SELECTION
from classifier.registry.models import ModelVersion


class UploadSerializer(serializers.Serializer[Any]):
    # An empty file is refused by ml.data.images, like every file that cannot be read.
    file = serializers.FileField(allow_empty_file=True, help_text="A JPEG, PNG or DICOM file.")


class RadiographFilterSerializer(ClassFieldMixin, serializers.Serializer[Any]):
    name = StrictCharField(required=False, allow_blank=True, help_text="Part of the file name.")
    class_ = StrictCharField(
        source="class_name",
        required=False,
        allow_blank=True,
        help_text="The full name of the most probable kind of fracture.",
    )
    finding = serializers.ChoiceField(Prediction.Finding.choices, required=False, allow_blank=True)
    state = serializers.ChoiceField(Prediction.State.choices, required=False, allow_blank=True)

    def validate_class(self, name: str) -> str:
        if name and name not in ModelVersion.objects.class_names():
            raise serializers.ValidationError("No model version knows this kind of fracture.")
        return name


class PredictionStateSerializer(serializers.ModelSerializer[Prediction]):
    class Meta:
        model = Prediction
        fields = read_only_fields = ["id", "state"]


class RadiographSerializer(serializers.ModelSerializer[Radiograph]):
    name = serializers.SerializerMethodField(help_text="The file name for the owner; a number for others.")
    sha256 = serializers.CharField(help_text="SHA-256 of the file as it was sent.")
    shows_text = serializers.BooleanField(
        help_text="True when text seems to be drawn into the image. It may name the patient: delete the X-ray then."
    )
    prediction = PredictionStateSerializer(help_text="The newest prediction.")

    class Meta:
        model = Radiograph
        fields = read_only_fields = [
            "id", "name", "sha256", "width", "height", "shows_text", "created_at", "prediction"
        ]  # fmt: skip

    def get_name(self, radiograph: Radiograph) -> str:
        return radiograph.name_for(self.context["request"].user)


class ProbabilitySerializer(ClassFieldMixin, serializers.Serializer[Any]):
    class_ = serializers.CharField()
    probability = serializers.FloatField(min_value=0, max_value=1)


class MarkSerializer(serializers.Serializer[Any]):
    x = serializers.FloatField(help_text="Left edge in pixels of the image.")
    y = serializers.FloatField(help_text="Top edge in pixels of the image.")
    width = serializers.FloatField()
    height = serializers.FloatField()
    score = serializers.FloatField(
        min_value=0, max_value=1, help_text="Orders the marks. It is not a calibrated probability."
    )


class PredictionSerializer(ClassFieldMixin, serializers.ModelSerializer[Prediction]):
    radiograph = serializers.UUIDField(source="radiograph_id")
    finding = NullableChoiceField(
        Prediction.Finding.choices,
        help_text=(
            "`not_recognized` when the image is unlike the X-rays that the model was trained on. null until "
            "succeeded, and when the model version answers the kind of fracture only."
        ),
    )
    fracture_probability = serializers.FloatField(
        allow_null=True, help_text="The probability of a fracture; null without a finding."
    )
    calibrated = serializers.BooleanField(
        allow_null=True,
        help_text=(
            "False when the image resembles X-rays of other sources than those for which the probability was "
            "calibrated; null without a finding."
        ),
    )
    marks = MarkSerializer(
        many=True,
        help_text="Boxes around suspected fractures, at most three, the best first. Empty when no fracture is seen.",
    )
    body_part = NullableCharField(help_text="`hand`, `leg`, `hip`, `shoulder`, `several` or null.")
    class_ = NullableCharField(
        source="class_name",
        help_text=(
            "The most probable kind of fracture; null until succeeded, when no fracture is seen, and when "
            "`in_distribution` is false."
        ),
    )
    confidence = serializers.FloatField(
        allow_null=True, help_text="The calibrated probability of the most probable kind."
    )
    probabilities = ProbabilitySerializer(
        many=True,
        help_text="All kinds, the most probable first; empty until succeeded and when no fracture is seen.",
    )
    kinds = ProbabilitySerializer(many=True, help_text="The likely kinds of fracture, at most three.")
    kind_uncertain = serializers.BooleanField(
        source="is_kind_uncertain",
        allow_null=True,
        help_text=(
            "True when more than three kinds are needed to contain the true one in 9 of 10 X-rays. null until "
            "succeeded and when no fracture is seen."
        ),
    )
    abstained = serializers.BooleanField(
        allow_null=True,
        help_text="True when the model is too uncertain to name one kind: `class` is one of several likely ones.",
    )
    in_distribution = serializers.BooleanField(
        allow_null=True,
        help_text="False when the image is unlike the X-rays from which the model learned the kinds.",
    )
    model_version = serializers.IntegerField(source="model_version.number")
    error = NullableCharField(help_text="A sentence that says why the prediction failed; null unless failed.")

    class Meta:
        model = Prediction
        fields = read_only_fields = [
            "id", "radiograph", "state", "finding", "fracture_probability", "calibrated", "marks", "body_part",
            "class_", "confidence", "probabilities", "kinds", "kind_uncertain", "abstained", "in_distribution",
            "model_version", "created_at", "finished_at", "error",
        ]  # fmt: skip


class NewPredictionBatchSerializer(StrictSerializer):
    radiographs = CappedListField(
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
