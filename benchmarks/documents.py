"""Fills the figures into docs/data.md and docs/model.md, from the reports of the commands named there.

    python -m benchmarks.documents [--audit DIR] [--evaluation DIR] [--original DIR] [--normal-images FILE]

Only counts and drawings are written: no image of the data set, and no file name.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import DOCS, fill, table
from ml.data.manifests import SPLITS, Manifest
from ml.evaluate.metrics import wilson_interval
from ml.reports import figures
from ml.reports.evaluation import CHANCE, NAMES, interval
from ml.serve.bundle import SHIPPED, open_bundle

# Readable on white and on black: a page of documents has no say in its background.
INK = "#73808e"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--audit", type=Path, help="what `python -m ml audit` wrote")
    parser.add_argument(
        "--evaluation", type=Path, help="what `python -m ml evaluate` wrote on the shipped model"
    )
    parser.add_argument("--original", type=Path, help="what `python -m benchmarks.original` wrote")
    parser.add_argument(
        "--normal-images", type=Path, help="what `python -m ml predict --jsonl` said of whole bones"
    )
    options = parser.parse_args()
    if options.audit:
        fill_audit(read(options.audit / "report.json"))
        draw_sizes(Manifest.read(options.audit / "manifest.csv", options.audit))
    if options.evaluation:
        fill_evaluation(read(options.evaluation / "report.json"))
    if options.original:
        fill_original(options.original)
    if options.normal_images:
        fill_whole_bones(options.normal_images)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def fill_audit(facts: dict[str, Any]) -> None:
    near, split, leaks = facts["near_duplicates"], facts["split"], facts["published_leaks"]
    numbers = {
        "images": facts["num_images"],
        "unreadable": len(facts["unreadable"]),
        "sizes": facts["sizes"],
        "exact_duplicate_sets": len(facts["exact_duplicates"]),
        "near_duplicate_pairs": len(near),
        "near_duplicate_pairs_mirrored": sum(pair["mirrored"] for pair in near),
        "near_duplicate_pairs_turned": sum(abs(pair["turned"]) > 5 and not pair["mirrored"] for pair in near),
        "near_duplicate_pairs_under_different_labels": sum(not pair["same_label"] for pair in near),
        "pairs_linked_by_file_name": len(facts["name_links"]),
        "conflicting_sets_dropped": len(facts["conflicts"]),
        "images_dropped": facts["num_images"] - facts["num_kept"],
        "groups": facts["groups"],
        "groups_with_several_labels": len(facts["mixed_groups"]),
        "published_leaks": leaks,
        "split": split,
        "classes": facts["classes"],
        "manifest_checksum": facts["manifest_checksum"],
    }
    place = DOCS / "audit"
    place.mkdir(exist_ok=True)
    (place / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    classes = facts["classes"]
    by_split = {side: [row[side] for row in classes.values()] for side in SPLITS}
    draw(place / "classes.svg", figures.stacked_bars(list(classes), by_split, "images kept"))
    rows = [
        [label, row["images"], row["published"].get("Train", 0), row["published"].get("Test", 0), row["kept"]]
        + [row[side] for side in SPLITS]
        for label, row in classes.items()
    ]
    header = ["class", "images", "published Train", "published Test", "kept", *SPLITS]
    totals = ["**all**", *(sum(row[column] for row in rows) for column in range(1, len(header)))]
    findings = [
        ["readable images", numbers["images"]],
        ["unreadable files", numbers["unreadable"]],
        ["sets of exact duplicates", numbers["exact_duplicate_sets"]],
        ["near-duplicate pairs", numbers["near_duplicate_pairs"]],
        ["… of them mirrored", numbers["near_duplicate_pairs_mirrored"]],
        ["… of them turned by more than 5 degrees", numbers["near_duplicate_pairs_turned"]],
        ["… of them under different labels", numbers["near_duplicate_pairs_under_different_labels"]],
        ["pairs linked by their file names", numbers["pairs_linked_by_file_name"]],
        ["groups", facts["groups"]["count"]],
        ["… of several images", facts["groups"]["with_several_images"]],
        ["images in the largest group", facts["groups"]["largest"]],
        ["sets of copies under different labels, dropped", numbers["conflicting_sets_dropped"]],
        ["images dropped with them", numbers["images_dropped"]],
        ["groups of several views under different labels, kept", numbers["groups_with_several_labels"]],
        [
            "published Test images with a partner in published Train",
            f"{leaks['any']} of {leaks['test_images']}",
        ],
    ]
    fill(DOCS / "data.md", "findings", table(["found", "number"], findings))
    fill(DOCS / "data.md", "classes", table(header, [*rows, totals]))


def draw_sizes(manifest: Manifest) -> None:
    widths, heights = [item.width for item in manifest.items], [item.height for item in manifest.items]
    axes = ("width, pixels", "height, pixels")
    draw(DOCS / "audit" / "sizes.svg", figures.scatter(widths, heights, axes))
    aspects = [item.width / item.height for item in manifest.items]
    edges = list(np.geomspace(min(aspects), max(aspects), 31))
    draw(DOCS / "audit" / "aspect-ratios.svg", figures.histogram(aspects, "width / height", edges, log=True))
    square = {label: [item for item in manifest.items if item.label == label] for label in manifest.classes}
    shares = [
        [label, f"{sum((item.width, item.height) == (640, 640) for item in items) / len(items):.0%}"]
        for label, items in square.items()
    ]
    fill(DOCS / "data.md", "squares", table(["class", "images of 640 x 640 pixels"], shares))


def fill_evaluation(facts: dict[str, Any]) -> None:
    folder = DOCS / "model"
    folder.mkdir(exist_ok=True)
    present = {label: row for label, row in facts["per_class"].items() if row["n"]}
    recalls = [tuple(row["recall"][name] for name in ("value", "low", "high")) for row in present.values()]
    draw(folder / "recall.svg", figures.bars_with_intervals(list(present), recalls, "recall"))
    draw(folder / "confusion.svg", figures.matrix(np.array(facts["confusion_matrix"]), facts["classes"]))
    curve = facts["accuracy_by_coverage"]
    draw(
        folder / "coverage.svg",
        figures.lines(
            {"accuracy": (curve["coverage"], curve["accuracy"])},
            ("share of images answered, surest first", "accuracy among them"),
            (0, 1.02),
        ),
    )
    sides = {
        name: tuple(
            [row[key] for row in facts["reliability"][when]] for key in ("confidence", "accuracy", "count")
        )
        for name, when in (("before temperature scaling", "before"), ("after", "after"))
    }
    draw(folder / "reliability.svg", figures.reliability(sides))
    # The refused ones stand in the table of other pictures, as on the model page.
    rows = [
        [NAMES[name], interval(estimate)]
        for name, estimate in facts["figures"].items()
        if name != "refused_as_out_of_distribution"
    ]
    place = [name for name, _ in rows].index(NAMES["calibration_error"])
    rows.insert(place + 1, [CHANCE, f"{facts['calibration_error_by_chance']:.3f}"])
    rows.append(
        ["always the largest class, accuracy", f"{facts['always_the_largest_class']['accuracy']:.3f}"]
    )
    unsure = facts["unsure"]
    answered = (
        f"Below a confidence of {unsure['threshold']:.2f} the answer is “unsure”: {interval(unsure['answered'], 2)} "
        f"of the test images are answered ({unsure['num_answered']}), and "
        f"{interval(unsure['accuracy_among_answered'], 2)} of those answers are right."
    )
    text = (
        f"Model `{facts['model']['checksum'][:12]}` on {facts['n']} test images in {facts['groups']} groups, "
        f"95% intervals by bootstrap of groups:\n\n{table(['figure', 'value'], rows)}\n\n{answered}"
    )
    fill(DOCS / "model.md", "test figures", text)
    header = ["class", "precision", "recall", "F1", "test images"]
    rows = [
        [label, *(interval(row[name], 2) for name in ("precision", "recall", "f1")), row["n"]]
        for label, row in present.items()
    ]
    fill(DOCS / "model.md", "classes", table(header, rows))
    card = open_bundle(SHIPPED).card
    fill_other_pictures(card)
    held_out = card["figures"].get("held_out")
    if held_out:
        names = NAMES | {"expected_calibration_error": NAMES["calibration_error"]}
        rows = [[names[name], interval(row)] for name, row in held_out.items() if name in names]
        caption = (
            f"{held_out['n']} images in {held_out['groups']} groups, 95% intervals by bootstrap of groups:"
        )
        fill(DOCS / "model.md", "held-out figures", f"{caption}\n\n{table(['figure', 'value'], rows)}")


def fill_other_pictures(card: dict[str, Any]) -> None:
    found, test = card["figures"].get("in_distribution"), card["figures"].get("test", {})
    test = test.get("refused") or test.get("refused_as_out_of_distribution")
    if not found or not test:
        return
    rows = [
        [kind, f"{round(row['value'] * row['n'])} of {row['n']} ({row['low']:.3f} to {row['high']:.3f})"]
        for kind, row in (
            ("X-rays of fractured bones, held out in cross-validation", found["refused"]),
            ("X-rays of fractured bones, test images", test),
            *(
                (name if name in ("noise", "clouds", "blank") else f"{name}s", row)
                for name, row in found["not_x_rays"].items()
            ),
        )
    ]
    text = f"Area under the curve {found['auroc']:.3f}; refused, with 95% intervals:"
    fill(DOCS / "model.md", "other pictures", f"{text}\n\n{table(['pictures', 'refused'], rows)}")


def fill_original(place: Path) -> None:
    rows = []
    for name, folder in (("by image, at random", "by-image"), ("by group", "by-group")):
        facts = read(place / folder / "report.json")
        keys = ("accuracy", "balanced_accuracy", "top_3_accuracy")
        largest = facts["always_the_largest_class"]["accuracy"]
        last = facts["history"][-1]["val_accuracy"]
        n = open_bundle(place / folder / "bundle").card["data"]["validation"]
        low, high = wilson_interval(round(last * n), n)
        rows.append(
            [name, f"{facts['n']} in {facts['groups']} groups"]
            + [interval(facts["figures"][key]) for key in keys]
            + [f"{largest:.3f}", f"{last:.3f} ({low:.3f} to {high:.3f}), n = {n}"]
        )
    header = [
        "split",
        "test images",
        "accuracy",
        "balanced accuracy",
        "top-3",
        "always the largest class",
        "validation accuracy, last epoch",
    ]
    fill(DOCS / "model.md", "original", table(header, rows))


def fill_whole_bones(path: Path) -> None:
    answers = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [answer for answer in answers if "error" not in answer]
    named = [answer for answer in answers if answer["in_distribution"] and not answer["abstained"]]
    unsure = [answer for answer in answers if answer["in_distribution"] and answer["abstained"]]
    low, high = wilson_interval(len(named), len(answers))
    classes = Counter(answer["class"] for answer in named).most_common()
    confidence = sorted(max(answer["probabilities"].values()) for answer in answers)
    text = (
        f"Of {len(answers)} X-rays of unfractured bones it names a fracture on {len(named)} "
        f"({100 * low:.0f} to {100 * high:.0f}%), is unsure on {len(unsure)}, and refuses "
        f"{len(answers) - len(named) - len(unsure)} as unlike what it knows. Its confidence on them is "
        f"{confidence[0]:.2f} to {confidence[-1]:.2f}, {confidence[len(confidence) // 2]:.2f} in the median."
    )
    if classes:
        text += " Named: " + ", ".join(f"{label} {count}" for label, count in classes) + "."
    fill(DOCS / "model.md", "whole bones", text)


def draw(path: Path, svg: str) -> None:
    path.write_text(svg.replace("currentColor", INK).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
