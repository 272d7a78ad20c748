"""`evaluate` and `compare` measure what is served, on frozen images, and say when a figure is worth nothing."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.data.manifests import DatasetRefused, Item, Manifest
from ml.evaluate.answers import Answers
from ml.evaluate.comparison import compare
from ml.evaluate.evaluation import evaluate
from ml.serve.bundle import SHIPPED, open_bundle, write_bundle
from ml.serve.calibration import softmax
from ml.serve.inference import Predictor
from tests.ml.drawings import draw_bone

LABELS = {"Oblique fracture": "Oblique", "Comminuted fracture": "Comminuted", "Spiral Fracture": "Transverse"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Drawn X-rays under three of the shipped model's classes, half of them for testing."""
    root = tmp_path_factory.mktemp("data")
    items = []
    for label, kind in LABELS.items():
        (root / label).mkdir()
        for number in range(6):
            path = root / label / f"{number}.png"
            Image.fromarray(draw_bone(kind, number)).save(path)
            split = "test" if number % 2 else "train"
            items.append(item(path.relative_to(root).as_posix(), label, path, split))
    Manifest.of(root, items).write(root / "manifest.csv")
    return root


def item(name, label, path, split):
    return Item(name, hashlib.sha256(path.read_bytes()).hexdigest(), 160, 224, label, name, split)


def copy_of_shipped(out, card=None, **files):
    shipped = open_bundle(SHIPPED)
    others = ("card.json", "checksums.json")
    names = [path.name for path in SHIPPED.iterdir() if path.is_file() and path.name not in others]
    content = {name: shipped.file(name).read_bytes() for name in names} | files
    kept = {name: value for name, value in shipped.card.items() if name != "format_version"}
    return write_bundle(out, content, kept | (card or {}))


def run_evaluate(data, out, bundle=SHIPPED):
    manifest = str(data / "manifest.csv")
    return main(["evaluate", str(bundle), manifest, "--images", str(data), "--out", str(out)])


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    assert run_evaluate(data, out) == 0
    return out


def test_figures_are_those_of_the_served_predictions(data, report):
    facts = json.loads((report / "report.json").read_text())
    tested = Manifest.read(data / "manifest.csv", data).subset("test")
    assert facts["n"] == len(tested) == 9
    predictor = Predictor(open_bundle(SHIPPED))
    right = 0
    for row, one in zip(facts["images"], tested, strict=True):
        (prediction,) = predictor.predict([np.asarray(Image.open(data / one.path))])
        assert row["path"] == one.path
        assert row["predicted"] == next(iter(prediction.probabilities))
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-4)
        right += row["predicted"] == one.label
    accuracy = facts["figures"]["accuracy"]
    assert accuracy["value"] == pytest.approx(right / 9)
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert np.sum(facts["confusion_matrix"]) == 9
    assert np.trace(facts["confusion_matrix"]) == right


def test_every_figure_has_its_interval_and_numbers(report):
    facts = json.loads((report / "report.json").read_text())
    for figure in facts["figures"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert (figure["n"], figure["groups"]) == (9, 9)
    assert {row["n"] for label, row in facts["per_class"].items() if label in LABELS} == {3}
    assert facts["milliseconds"]["median"] > 0


def test_the_report_can_be_read_alone_and_says_what_the_model_is_not(report):
    page, text = (report / "report.html").read_text(), (report / "report.txt").read_text()
    assert page.count("<svg") >= 4
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page.replace("xlink:href", "href"))
    for label in LABELS:
        assert label in page
        assert label in text
    assert "cannot rule out a fracture" in page
    assert "cannot rule out a fracture" in text


def test_a_model_that_saw_test_images_in_training_is_said_to(data, tmp_path):
    seen = Manifest.read(data / "manifest.csv", data).subset("test")[:2]
    lines = "".join(f"{one.sha256}\n" for one in seen).encode()
    copy_of_shipped(tmp_path / "bundle", **{"training_images.txt": lines})
    assert run_evaluate(data, tmp_path / "out", tmp_path / "bundle") == 0
    assert json.loads((tmp_path / "out/report.json").read_text())["trained_on"] == 2
    assert "trained on 2 of these 9 images" in (tmp_path / "out/report.html").read_text()


def test_a_class_that_the_model_does_not_know_is_refused(data, tmp_path, capsys):
    text = (data / "manifest.csv").read_text().replace(",Spiral Fracture,", ",Not fractured,")
    (tmp_path / "manifest.csv").write_text(text)
    arguments = [str(SHIPPED), str(tmp_path / "manifest.csv"), "--images", str(data)]
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 1
    assert "does not know the class 'Not fractured'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_image_that_changed_since_the_audit_is_refused(data, tmp_path, capsys):
    manifest = Manifest.read(data / "manifest.csv", data)
    for one in manifest.items:
        (tmp_path / one.path).parent.mkdir(exist_ok=True)
        (tmp_path / one.path).write_bytes(manifest.file(one).read_bytes())
    manifest.write(tmp_path / "manifest.csv")
    changed = manifest.subset("test")[4]
    Image.fromarray(draw_bone("Whole", 9)).save(tmp_path / changed.path)
    assert run_evaluate(tmp_path, tmp_path / "out") == 1
    assert f"{changed.path} is not the image" in capsys.readouterr().err


def test_a_model_that_is_compared_on_nine_images_is_not_accepted_whatever_they_show(data, capsys):
    arguments = [str(SHIPPED), str(SHIPPED), str(data / "manifest.csv"), "--images", str(data)]
    assert main(["compare", *arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["judgement"]["verdict"] == "too few"
    assert facts["judgement"]["missing"] == "91 images and 51 groups"
    assert facts["disagreements"] == []
    assert facts["mcnemar"]["p_value"] == 1
    assert main(["compare", *arguments]) == 0
    assert "There are too few test images to say whether B is worse than A" in capsys.readouterr().out


def test_models_of_different_classes_are_compared_on_those_that_both_know(data, tmp_path, capsys):
    known = open_bundle(SHIPPED).classes
    labels = [one.label for one in Manifest.read(data / "manifest.csv", data).subset("test")]
    renamed = next(name for name in known if name not in labels[:2])
    copy_of_shipped(
        tmp_path / "bundle", {"classes": ["Stress" if name == renamed else name for name in known]}
    )
    arguments = [str(SHIPPED), str(tmp_path / "bundle"), str(data / "manifest.csv"), "--images", str(data)]
    assert main(["compare", *arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["n"] == len(labels) - labels.count(renamed)
    assert set(facts["classes"]) == set(known) - {renamed}
    assert facts["disagreements"] == []
    assert f"on the classes that both know: only A knows {renamed}; only B knows Stress." in facts["sentence"]


def test_models_that_share_one_class_are_not_compared(data, tmp_path, capsys):
    known = open_bundle(SHIPPED).classes
    others = [known[0], *(f"Other {number}" for number in range(len(known) - 1))]
    copy_of_shipped(tmp_path / "bundle", {"classes": others})
    arguments = [str(SHIPPED), str(tmp_path / "bundle"), str(data / "manifest.csv"), "--images", str(data)]
    assert main(["compare", *arguments]) == 1
    assert f"they share only {known[0]!r}" in capsys.readouterr().err


def answers(skill, seed=0, classes=("A", "B", "C"), checksum="0" * 64):
    """200 images in 100 groups, answered right about as often as skill says."""
    random = np.random.default_rng(7)
    labels = random.integers(0, 3, 200)
    random = np.random.default_rng(seed)
    logits = random.normal(size=(200, 3))
    right = random.random(200) < skill
    logits[right, labels[right]] += 6
    order = ["ABC".index(name) for name in classes]
    items = [
        Item(f"{number}.png", f"{number:064x}", 10, 10, "ABC"[label], f"g{number // 2}", "test")
        for number, label in enumerate(labels)
    ]
    probabilities = softmax(logits)[:, order]
    card = {"classes": list(classes), "calibration": {"temperature": 1.0}}
    return Answers(
        checksum=checksum,
        card=card,
        items=items,
        probabilities=probabilities,
        sets=probabilities > 0.1,
        abstained=probabilities.max(axis=1) < 0.6,
        in_distribution=np.ones(200, bool),
        trained_on=None,
        milliseconds=np.ones(200),
    )


def verdict(first, second):
    return compare(first, second)["judgement"]["verdict"]


def test_a_clearly_better_candidate_is_called_better_and_a_worse_one_worse():
    facts = compare(answers(0.3, 1), answers(0.7, 2))
    assert facts["judgement"]["verdict"] == "better"
    assert facts["mcnemar"]["p_value"] < 0.001
    difference = facts["differences"]["balanced_accuracy"]
    assert difference["value"] == pytest.approx(difference["b"] - difference["a"])
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    assert verdict(answers(0.7, 2), answers(0.3, 1)) == "worse"


def test_a_candidate_that_is_far_too_sure_is_called_worse_though_it_names_the_same_classes():
    honest = answers(0.5, 3)
    sure = replace(honest, probabilities=softmax(20 * np.log(honest.probabilities)))
    facts = compare(honest, sure)
    assert facts["judgement"]["verdict"] == "worse"
    assert facts["differences"]["balanced_accuracy"]["value"] == 0
    assert "The confidences of B are significantly worse (negative log-likelihood)" in facts["sentence"]


def test_a_comparison_too_small_to_rule_out_the_margin_is_inconclusive():
    """The models are equally skilled, and answer independently of each other."""
    judgement = compare(answers(0.5, 11), answers(0.5, 111))["judgement"]
    assert judgement["verdict"] == "inconclusive"
    assert judgement["low"] < -judgement["margin"] < judgement["high"]
    assert judgement["detectable"] > judgement["margin"]


def test_a_candidate_that_answers_nearly_all_images_alike_is_not_inferior():
    live = answers(0.7, 2)
    swapped = live.probabilities.copy()
    swapped[:2] = swapped[:2, ::-1]
    judgement = compare(live, replace(live, probabilities=swapped))["judgement"]
    assert judgement["verdict"] == "not inferior"
    assert judgement["margin"] == 0.05
    assert judgement["low"] > -0.05
    # The rule of three: with 100 groups, errors in 3% of them may not be seen.
    assert judgement["detectable"] >= 0.03


def test_a_candidate_that_guesses_is_not_accepted_even_if_the_live_model_guesses_too():
    live = answers(0.0, 5)
    constant = replace(live, probabilities=np.tile([0.4, 0.3, 0.3], (200, 1)))
    facts = compare(constant, constant)
    assert facts["judgement"]["verdict"] == "guessing"
    assert "B is no better than guessing: balanced accuracy 0.333 compared with 0.333" in facts["sentence"]


def test_probabilities_of_shared_classes_are_made_to_sum_to_one():
    live = answers(0.7, 2)
    wide = replace(
        live,
        card={**live.card, "classes": ["D", "A", "B", "C"]},
        probabilities=np.column_stack([np.full(200, 0.5), live.probabilities / 2]),
        sets=np.column_stack([np.ones(200, bool), live.sets]),
    )
    facts = compare(live, wide)
    assert facts["judgement"]["only_second"] == ["D"]
    assert facts["differences"]["negative_log_likelihood"]["value"] == pytest.approx(0)
    assert facts["disagreements"] == []


def test_the_order_of_classes_does_not_matter():
    facts = compare(answers(0.5, 3), answers(0.5, 3, classes=("C", "A", "B")))
    assert facts["disagreements"] == []
    assert all(row["difference"]["value"] == 0 for row in facts["per_class"].values())


def test_disagreements_name_the_image_and_both_answers():
    first, second = answers(0.4, 1), answers(0.8, 2)
    rows = compare(first, second)["disagreements"]
    assert len(rows) == np.sum(first.predicted != second.predicted)
    place = int(rows[0]["path"].removesuffix(".png"))
    assert rows[0]["a"]["class"] == "ABC"[first.predicted[place]]
    assert rows[0]["b"]["class"] == "ABC"[second.predicted[place]]


def test_answers_to_other_images_are_not_compared():
    first, second = answers(0.5), answers(0.5)
    second.items[0] = first.items[1]
    with pytest.raises(DatasetRefused, match="same images"):
        compare(first, second)


def test_what_is_withheld_as_unsure_is_counted():
    facts = evaluate(answers(0.6))
    assert facts["unsure"]["answered"]["value"] == pytest.approx(1 - answers(0.6).abstained.mean())
    assert facts["unsure"]["accuracy_among_answered"]["value"] > facts["figures"]["accuracy"]["value"]
    assert facts["accuracy_by_coverage"]["coverage"][-1] == 1


def test_saved_answers_are_read_back_as_they_were(tmp_path):
    before = replace(answers(0.6), trained_on=np.arange(200) < 3)
    before.save(tmp_path / "answers.npz")
    after = Answers.load(tmp_path / "answers.npz")
    assert (after.checksum, after.card, after.items) == (before.checksum, before.card, before.items)
    for name in ("probabilities", "sets", "abstained", "in_distribution", "trained_on", "milliseconds"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), strict=True)
    assert after.num_trained_on == 3
    assert answers(0.6).num_trained_on is None


@pytest.mark.parametrize("content", [b"", b"Dear radiologist", b"PK\x05\x06" + 18 * b"\0"])
def test_a_file_that_holds_no_answers_is_refused_in_a_sentence(tmp_path, content, capsys):
    path = tmp_path / "answers.npz"
    path.write_bytes(content)
    assert main(["compare", str(path), str(path)]) == 1
    assert capsys.readouterr().err == f"{path} is not a file of answers written by `evaluate`.\n"
    assert main(["compare", str(tmp_path / "missing.npz"), str(path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_an_evaluation_can_be_repeated_from_its_answers_without_predicting(
    data, report, tmp_path, monkeypatch
):
    monkeypatch.delattr("ml.serve.inference.Predictor.predict")
    arguments = [str(SHIPPED), str(data / "manifest.csv"), "--images", str(data)]
    arguments += ["--answers", str(report / "answers.npz"), "--out", str(tmp_path)]
    assert main(["evaluate", *arguments]) == 0
    assert (tmp_path / "report.json").read_bytes() == (report / "report.json").read_bytes()


def test_answers_of_another_model_are_not_evaluated(data, report, tmp_path, capsys):
    copy_of_shipped(tmp_path / "bundle", {"seed": 99})
    arguments = [str(tmp_path / "bundle"), str(data / "manifest.csv"), "--images", str(data)]
    arguments += ["--answers", str(report / "answers.npz"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 1
    assert "are those of model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_compared_with_answers_on_the_images_of_the_manifest(data, report, tmp_path, capsys):
    manifest = Manifest.read(data / "manifest.csv", data)
    kept = [one for one in manifest.items if one.split != "test"] + manifest.subset("test")[2:]
    Manifest.of(data, kept).write(tmp_path / "fair.csv")
    answered = str(report / "answers.npz")
    arguments = [str(SHIPPED), answered, str(tmp_path / "fair.csv"), "--images", str(data), "--json"]
    assert main(["compare", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n"], facts["disagreements"]) == (7, [])
    assert main(["compare", answered, answered, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 9
    assert main(["compare", str(SHIPPED), answered]) == 1
    assert "give the manifest and --images" in capsys.readouterr().err


def test_an_image_without_an_answer_is_named():
    known = answers(0.5)
    unknown = replace(known.items[0], path="new.png")
    with pytest.raises(DatasetRefused, match=r"do not include new\.png"):
        known.select([*known.items, unknown])
