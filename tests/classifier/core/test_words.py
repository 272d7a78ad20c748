"""How classes, probabilities and durations read."""

from datetime import timedelta

import pytest
from django.template import Context, Template

from classifier.core.templatetags.callus import NBSP, duration, one_of, percent


def test_a_class_is_shown_in_sentence_case() -> None:
    template = Template("{% load callus %}{{ name|sentence_case }}")
    assert template.render(Context({"name": "Fracture Dislocation"})) == "Fracture dislocation"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], ""),
        (["Spiral Fracture"], "Spiral fracture"),
        (["Spiral Fracture", "Oblique fracture"], "Spiral fracture or oblique fracture"),
        (["Hairline Fracture", "Spiral Fracture", "Oblique fracture"],
         "Hairline fracture, spiral fracture or oblique fracture"),
    ],
)  # fmt: skip
def test_classes_are_listed_as_one_says_them(names: list[str], words: str) -> None:
    assert one_of(names) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(3, "A, b or c"), (4, "A, b or 2 others"), (10, "A, b or 8 others")],
)
def test_a_long_list_of_classes_is_cut_short_and_says_so(number: int, words: str) -> None:
    assert one_of("ABCDEFGHIJ"[:number], 3) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.624, "62%"), (0.01, "1%"), (0.0099, "<1%"), (0.99, "99%"), (0.9999, ">99%")],
)
def test_a_probability_is_never_none_nor_certain(share: float, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.04 s"),
        (0.31, "0.3 s"),
        (42, "42 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (200_000, "2 days"),
        (-1, "0.00 s"),
    ],
)
def test_a_duration_is_as_exact_as_it_is_short(seconds: float, words: str) -> None:
    assert duration(timedelta(seconds=seconds)).replace(NBSP, " ") == words
