"""Class activation maps are placed correctly and depend on the trained weights."""

from __future__ import annotations

import numpy as np

from ml.serve.bundle import Bundle
from ml.serve.preprocessing import InputSpec, find_placement, preprocess
from ml.serve.saliency import MAP_SIDE, class_activation_map
from tests.ml.drawings import draw_bone

BONES = [draw_bone(kind, seed, (112, 112)) for kind in ("Transverse", "Comminuted") for seed in range(5)]


def served_map(graph: bytes, image: np.ndarray, class_index: int) -> np.ndarray:
    from ml.serve.inference import open_graph

    return np.maximum(open_graph(graph, "litert").run(image)["class_maps"][..., class_index], 0)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_evidence_is_mapped_to_its_position_in_the_image() -> None:
    pixels = np.full((300, 100), 90, np.uint8)
    spec = InputSpec(96)
    evidence = np.zeros((12, 12), np.float32)
    evidence[2, 5] = 3.0  # upper part of the letterboxed picture
    shown = class_activation_map(evidence, find_placement(pixels, spec), pixels.shape, spec.size)
    assert shown.shape == (MAP_SIDE, round(MAP_SIDE / 3))
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert abs(row / MAP_SIDE - 2.5 / 12) < 0.05
    assert abs(column / shown.shape[1] - (5.5 * 8 - 32) / 32) < 0.1
    assert shown.max() == 1


def test_trimmed_borders_have_no_evidence() -> None:
    framed = np.full((240, 240), 10, np.uint8)
    framed[60:180, 60:180] = draw_bone(size=(120, 120))
    spec = InputSpec(96, trim=True)
    shown = class_activation_map(
        np.ones((6, 6), np.float32), find_placement(framed, spec), framed.shape, spec.size
    )
    side = len(shown)
    assert shown[: round(side * 0.16)].max() == 0
    inside = slice(round(side * 0.39), round(side * 0.59))
    assert shown[inside, inside].min() == 1


def test_no_evidence_gives_an_empty_map() -> None:
    pixels = np.zeros((80, 80), np.uint8)
    evidence = -np.ones((4, 4), np.float32)
    assert class_activation_map(evidence, find_placement(pixels, InputSpec(64)), pixels.shape, 64).max() == 0


def test_the_map_of_a_model_with_random_weights_differs(tiny_bundle: Bundle) -> None:
    """The sanity check of Adebayo et al. (2018): the map must depend on the model, not only on the image."""
    from ml.networks import architectures
    from ml.serve.export import export_litert, load_keras

    spec = InputSpec(**tiny_bundle.card["input"])
    trained = export_litert(load_keras(tiny_bundle.file("model.keras")), ("features",), flip=False)
    random = architectures.build_network("tiny_cnn", spec.size, 2)
    generator = np.random.default_rng(0)
    random.set_weights(
        [generator.normal(0, 0.3, array.shape) if array.ndim > 1 else array for array in random.get_weights()]
    )
    untrained = export_litert(random, ("features",), flip=False)
    similar = []
    for pixels in BONES:
        image = preprocess(pixels, spec)
        maps = [served_map(graph, image, 0) for graph in (trained, untrained)]
        if all(shown.std() > 0 for shown in maps):
            similar.append(correlation(*maps))
    assert len(similar) >= 3
    assert abs(np.mean(similar)) < 0.5
