"""The forms of training runs, the schedule and promotions."""

from typing import Any

from django import forms

from classifier.datasets.forms import DatasetField
from classifier.datasets.models import DatasetVersion
from classifier.training.models import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_REVIEWS,
    MAX_SEED,
    RetrainingSchedule,
    TrainingRun,
)
from classifier.training.promotions import REASON_RULE
from ml.networks.finding_recipes import RETRAINING_RECIPES, FindingRecipe
from ml.networks.recipes import DEFAULT_RECIPE, MIN_CALIBRATION_IMAGES, RECIPES, Recipe

# For tests and for a comparison with the first published network, not for clinical data: offered on request.
OTHER_RECIPES = ("seed_cnn", "tiny", "tiny_tune")


def _recipes() -> list[tuple[str, Any]]:
    """Lists the recipes of the kind of fracture."""
    choices = [_choice(recipe) for recipe in RECIPES.values()]
    usual = [choice for choice in choices if choice[0] not in OTHER_RECIPES]
    return [*usual, ("Other recipes", [choice for choice in choices if choice[0] in OTHER_RECIPES])]


def _all_recipes() -> list[tuple[str, str]]:
    findings = [_choice(recipe) for recipe in RETRAINING_RECIPES.values()]
    return [*(_choice(recipe) for recipe in RECIPES.values()), *findings]


def _choice(recipe: Recipe | FindingRecipe) -> tuple[str, str]:
    return recipe.name, f"{recipe.name}: {recipe.summary}"


def _number(label: str, lowest: int, highest: int, **options: Any) -> forms.IntegerField:
    """A number whose limits the browser knows; the service checks them."""
    return forms.IntegerField(
        label=label, widget=forms.NumberInput({"min": lowest, "max": highest}), **options
    )


class TrainingForm(forms.Form):
    """Offers the parameters of a run; request_training checks them."""

    dataset_version = DatasetField(
        label="Data set",
        queryset=DatasetVersion.objects.exclude(state__in=("failed", "canceled"))
        .newest_first()
        .defer("report", "samples"),
        empty_label=None,
    )
    recipe = forms.ChoiceField(
        label="What to train", choices=_all_recipes, widget=forms.RadioSelect, initial=DEFAULT_RECIPE
    )
    start = forms.ChoiceField(
        label="Starting point",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in TrainingRun.Start.choices],
        initial=TrainingRun.Start.PRETRAINED,
        help_text=(
            "The pretrained network was trained on photographs, not on X-rays. The recipes probe, efficient_top and "
            "top start from it; the other recipes start from scratch. A run, unless its recipe is probe, can start "
            f"from a model version that has the same network, if at least {MIN_CALIBRATION_IMAGES} validation images "
            "are new to it: confidences calibrated on images that it was trained on would be wrong. A run of the "
            "finding always starts from the live model."
        ),
    )
    epochs = _number("Epochs", 1, MAX_EPOCHS, required=False, help_text="Leave empty for the recipe's own.")
    batch_size = _number(
        "Images in a batch", 1, MAX_BATCH_SIZE, required=False, help_text="Leave empty for the recipe's own."
    )
    seed = _number(
        "Seed", 0, MAX_SEED, initial=0, help_text="The same data, recipe and seed give the same model."
    )

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if found.get("recipe") in RETRAINING_RECIPES:
            found["start"] = TrainingRun.Start.LIVE
        return found

    @property
    def usual_recipes(self) -> list[tuple[str, list[Any]]]:
        """Lists the recipes for clinical data by the part of the answer that they train."""
        usual = [radio for radio in self["recipe"] if radio.data["value"] not in OTHER_RECIPES]
        return [
            (title, [radio for radio in usual if (radio.data["value"] in RETRAINING_RECIPES) == is_finding])
            for title, is_finding in (("Kind of fracture", False), ("Finding", True))
        ]

    @property
    def other_recipes(self) -> list[Any]:
        return [radio for radio in self["recipe"] if radio.data["value"] in OTHER_RECIPES]

    @property
    def has_other_recipe(self) -> bool:
        return any(radio.data["selected"] for radio in self.other_recipes)


class ScheduleForm(forms.Form):
    """Offers when to retrain; set_schedule checks it."""

    mode = forms.ChoiceField(
        label="Retrain",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in RetrainingSchedule.Mode.choices],
        widget=forms.RadioSelect,
    )
    num_reviews = _number(
        "Number of new reviews", 1, MAX_REVIEWS, help_text="For “after a number of new reviews”."
    )
    recipe = forms.ChoiceField(label="Recipe", choices=_recipes, required=False)


class RollBackForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text="Shown with your name on the Promotions page.",
    )


class PromotionForm(RollBackForm):
    """Asks for a reason if the gate objects; promote_version checks it."""

    def __init__(self, *args: Any, is_reason_needed: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the browser asks for; whether it is needed is settled by the gate when it is sent.
        if is_reason_needed:
            field = self.fields["reason"]
            field.widget.attrs["required"] = True
            field.help_text = (
                f"Write {REASON_RULE}. The second person and the Promotions page show it with your name."
            )
