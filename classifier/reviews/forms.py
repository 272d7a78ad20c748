from typing import Any

from django import forms

from classifier.radiographs.models import Prediction
from classifier.reviews.classes import reviewable_classes
from classifier.reviews.models import Review
from ml.classes import display_name

CLASS = "class:"


class ReviewForm(forms.Form):
    """One question with one answer: a class, no fracture, or not assessable.

    The button "confirm" answers with the class that the model predicted. The cleaned data are the arguments of
    record_review.
    """

    finding = forms.ChoiceField(label="What do you see?")
    comment = forms.CharField(
        label="Comment", required=False, max_length=2000, widget=forms.Textarea({"rows": 2})
    )

    def __init__(self, data: Any = None, *args: Any, prediction: Prediction, **kwargs: Any) -> None:
        if data is not None and "confirm" in data:
            data = {**data.dict(), "finding": f"{CLASS}{prediction.class_name}"}
        super().__init__(data, *args, **kwargs)
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

    def clean(self) -> dict[str, Any]:
        finding, comment = self.cleaned_data.get("finding", ""), self.cleaned_data.get("comment", "")
        if finding.startswith(CLASS):
            return {"verdict": "class", "class_name": finding.removeprefix(CLASS), "comment": comment}
        return {"verdict": finding, "comment": comment}
