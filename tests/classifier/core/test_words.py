"""How classes, probabilities and durations read."""

from datetime import timedelta

import pytest
from django.template import Context, Template

from classifier.core.templatetags.callus import NBSP, duration, one_in, percent


def test_a_class_is_shown_in_sentence_case() -> None:
    template = Template("{% load callus %}{{ name|sentence_case }}")
    assert template.render(Context({"name": "Fracture Dislocation"})) == "Fracture dislocation"


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.004, "fewer than 1 in 100"),
        (0.02, "about 1 in 50"),
        (0.12, "about 1 in 8"),
        (0.25, "about 1 in 4"),
        (0.45, "about 5 in 10"),
        (0.7, "about 7 in 10"),
        (0.96, "about 24 in 25"),
        (0.996, "more than 99 in 100"),
    ],
)
def test_a_probability_in_words_agrees_with_its_percentage(probability: float, words: str) -> None:
    assert one_in(probability) == words


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
