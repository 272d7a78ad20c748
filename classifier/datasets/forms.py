from typing import Any

from django import forms
from django.urls import reverse_lazy

from classifier.datasets.models import DatasetVersion


class DatasetField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Newest first, each with what it holds."""

    def label_from_instance(self, dataset: Any) -> str:
        if dataset.state != DatasetVersion.State.SUCCEEDED:
            return f"{dataset} (not ready yet)"
        parts = [f"{len(dataset.classes)} classes"] if dataset.classes else []
        parts += ["findings"] if dataset.findings else []
        return f"{dataset}: {dataset.num_images} images with {' and '.join(parts)}"


class DatasetUploadForm(forms.Form):
    file = forms.FileField(label="Zip of class folders", allow_empty_file=True)
    note = forms.CharField(label="Note", required=False, max_length=500)
    new_classes = forms.BooleanField(
        label="Its classes may differ from those of the newest data set", required=False
    )


class DatasetFromReviewsForm(forms.Form):
    parent = DatasetField(
        label="Earlier data set",
        queryset=DatasetVersion.objects.succeeded().newest_first().defer("report", "samples"),
        empty_label=None,
        # Another choice shows the split that it leads to.
        widget=forms.Select(
            {
                "hx-get": reverse_lazy("dataset_from_reviews"),
                "hx-trigger": "change",
                "hx-select": "#preview",
                "hx-target": "#preview",
                "hx-swap": "outerHTML",
            }
        ),
    )
    note = forms.CharField(label="Note", required=False, max_length=500)
