from typing import Any

from django import forms

from classifier.radiographs.models import Prediction
from classifier.reviews.classes import reviewable_classes
from classifier.reviews.models import Review
from ml.classes import display_name

CLASS = "class:"


class ReviewForm(forms.Form):
    """One question with one answer: a class, or that there is none."""

    finding = forms.ChoiceField(label="What do you see?")
    comment = forms.CharField(
        label="Comment", required=False, max_length=2000, widget=forms.Textarea({"rows": 2})
    )

    def __init__(self, *args: Any, prediction: Prediction, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        classes = [(f"{CLASS}{name}", display_name(name)) for name in reviewable_classes(prediction)]
        others = [
            (Review.Verdict.NO_FRACTURE.value, "No fracture"),
            (Review.Verdict.NOT_ASSESSABLE.value, "Not assessable"),
        ]
        self.fields["finding"].choices = [  # type: ignore[attr-defined]
            ("", "Choose …"),
            ("Kinds of fracture", classes),
            ("Other", others),
        ]

    @property
    def said(self) -> dict[str, str]:
        """As record_review wants it."""
        finding, comment = self.cleaned_data["finding"], self.cleaned_data["comment"]
        if finding.startswith(CLASS):
            return {"verdict": "class", "class_name": finding.removeprefix(CLASS), "comment": comment}
        return {"verdict": finding, "comment": comment}
