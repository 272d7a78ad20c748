"""How the body part of an X-ray is named from the network's logits, and how often the name is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.findings import BODY_PARTS
from ml.evaluate.metrics import share
from ml.serve.finding import BodyPartRule

# Half of the correction for balanced classes (Menon et al. 2021): rare body parts are named more often.
PRIOR_CORRECTION = 0.5
NAMED_FROM, SEVERAL_FROM = 0.3, 0.9


def fit_body_part_rule(shown: NDArray[np.bool_]) -> dict[str, Any]:
    """Returns the entry "body_part_rule" of a card.

    Args:
        shown: bool (n, body parts), which body parts each X-ray shows.
    """
    prior = np.clip(shown.mean(axis=0), 1e-3, 1 - 1e-3)
    bias = -PRIOR_CORRECTION * np.log(prior / (1 - prior))
    return asdict(BodyPartRule([float(value) for value in bias], NAMED_FROM, SEVERAL_FROM))


def body_part_figures(named: Sequence[str | None], shown: NDArray[np.bool_]) -> dict[str, Any]:
    """Returns how often the named body part is right.

    Args:
        named: What was named for each X-ray.
        shown: bool (n, body parts), which body parts each X-ray shows.

    Returns:
        By body part, the share of X-rays that show it alone for which it was named, with its interval.
    """
    alone = shown.sum(axis=1) == 1
    return {
        part: share(sum(named[row] == part for row in rows.tolist()), len(rows))
        for number, part in enumerate(BODY_PARTS)
        if len(rows := np.flatnonzero(alone & shown[:, number]))
    }
