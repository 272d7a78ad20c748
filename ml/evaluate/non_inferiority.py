"""Judges whether a candidate is worse than a live model by more than a margin. Imports nothing of ml.

A comparison that shows no difference may only have been too small to show one. A candidate passes if the comparison
rules out, at 95% confidence, that it is worse by the margin or more (non-inferiority; Piaggio et al., JAMA 2012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

Verdict = Literal["better", "not inferior", "inconclusive", "worse", "guessing", "too few"]

# Largest loss of balanced accuracy that is accepted. With ten classes, it is half of the cases of one class.
KIND_MARGIN = 0.05
# Largest loss of AUROC that is accepted: the distance from the published AUROC of the shipped finding, 0.924, to the
# lower end of its 95% interval, 0.894. A smaller loss could not be told from the test that the shipped model passed.
FINDING_MARGIN = 0.03
# With fewer groups, an error in one of twenty groups (as many as KIND_MARGIN) may be missing from the test images by
# chance: by the rule of three, 3 / 60 = 0.05. Bootstrap intervals of much fewer groups are too narrow as well.
MIN_GROUPS = 60
# With fewer images, the recall of one of ten classes rests on fewer than ten images on average.
MIN_IMAGES = 100

# From a standard error to a difference that is found in 80% of comparisons: the quantiles of 97.5% and 80%.
TO_80_PERCENT_POWER = 1.96 + 0.84


@dataclass(frozen=True)
class Judgement:
    """A paired comparison of one figure of two models on the same test images. A higher figure is better.

    Attributes:
        figure: name of the figure.
        unit: what the test images are called.
        first: figure of the model that is compared with; None where it is undefined.
        second: figure of the candidate.
        value: paired difference, candidate minus the other.
        low, high: its 95% interval, from a bootstrap of whole groups.
        margin: largest loss that is accepted.
        chance: the figure of a model that guesses.
        n: number of images.
        groups: number of groups.
        missing: how many images or groups are missing to say anything, in words; empty if there are enough.
        has_worse_confidences: whether the probabilities of the candidate are worse beyond chance.
        only_first, only_second: classes that only one of the models knows. Images of these are not compared.
    """

    figure: str
    unit: str
    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    margin: float
    chance: float
    n: int
    groups: int
    missing: str = ""
    has_worse_confidences: bool = False
    only_first: Sequence[str] = ()
    only_second: Sequence[str] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` returned."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict, "detectable": self.detectable}

    @property
    def verdict(self) -> Verdict:
        if self.missing:
            return "too few"
        if self.second is None or self.low is None or self.high is None:
            return "inconclusive"
        if self.second <= self.chance:
            return "guessing"
        if self.high < 0 or self.has_worse_confidences:
            return "worse"
        if self.low > 0:
            return "better"
        return "not inferior" if self.low > -self.margin else "inconclusive"

    @property
    def passes(self) -> bool:
        return self.verdict in ("better", "not inferior")

    @property
    def detectable(self) -> float | None:
        """Returns the difference that 80% of such comparisons would find; None if the interval is undefined.

        Not less than 3 / groups: an error that concerns fewer groups may be missing from the test images by chance.
        """
        if self.low is None or self.high is None:
            return None
        standard_error = (self.high - self.low) / (2 * 1.96)
        return max(TO_80_PERCENT_POWER * standard_error, 3 / self.groups)

    def sentence(self, first: str, second: str) -> str:
        """Returns the verdict with its figures, and how large a difference the comparison could have found.

        Args:
            first: name of the model that is compared with.
            second: name of the candidate.
        """
        verdict = {
            "better": f"{second} is better than {first}",
            "not inferior": f"{second} is at most {self.margin} worse than {first}",
            "inconclusive": f"It is not shown that {second} is at most {self.margin} worse than {first}",
            "worse": f"{second} is significantly worse than {first}",
            "guessing": f"{second} is no better than guessing",
            "too few": f"There are too few {self.unit} to say whether {second} is worse than {first} "
            f"(missing: {self.missing})",
        }[self.verdict]
        texts = [f"{verdict}: {self._figures()}.", self._power(), self._other_classes(first, second)]
        if self.has_worse_confidences:
            texts.insert(1, f"The confidences of {second} are significantly worse (negative log-likelihood).")
        return " ".join(filter(None, texts))

    def _figures(self) -> str:
        n = f"n = {self.n:,} {self.unit} in {self.groups:,} groups"
        if self.first is None or self.second is None or self.value is None:
            return f"the {self.figure} is undefined, {n}"
        text = f"{self.figure} {self.second:.3f} compared with {self.first:.3f}, difference {_signed(self.value)}"
        if self.low is not None and self.high is not None:
            text += f" (95% CI {_signed(self.low)} to {_signed(self.high)})"
        return f"{text}, {n}"

    def _power(self) -> str:
        if self.detectable is None:
            return ""
        return f"The comparison could find a difference of {self.detectable:.3f} or more (with 80% power)."

    def _other_classes(self, first: str, second: str) -> str:
        known = [
            f"only {name} knows {_join(classes)}"
            for name, classes in ((first, self.only_first), (second, self.only_second))
            if classes
        ]
        if not known:
            return ""
        return f"They were compared on the classes that both know: {'; '.join(known)}."


def missing_images(needed: Mapping[str, tuple[int, int]]) -> str:
    """Returns what is missing, such as "91 images and 51 groups"; empty if there is enough.

    Args:
        needed: by name, how many there are, and how many are needed.
    """
    return _join([f"{least - number:,} {name}" for name, (number, least) in needed.items() if number < least])


def _join(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]])) if texts else ""


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "\N{MINUS SIGN}")
