"""An audit as JSON data and as an HTML page."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ml.data.audit import Audit
from ml.data.images import encode_thumbnail, read_image
from ml.data.manifests import SPLITS
from ml.reports import figures
from ml.reports.page import escape, figure, listing, page, percent, picture, table, tiles

SAMPLES_A_CLASS = 6
SHOWN_PAIRS = 24

RULES = [
    "Exact duplicates are files with the same bytes or the same pixels; they stay, in one group.",
    "Near-duplicates are pictures that show one picture: re-encoded, resized, stretched, mirrored, turned, "
    "or one cut out of the other; they stay, in one group.",
    "Copies of one picture under different labels are dropped, all of them: nobody here can say which "
    "label is right.",
    "Images whose file names share a source stay in one group; if their labels differ they are kept, as "
    "several views of one source may show different fractures, and listed.",
    "A group is on one side of the split. Sides of an earlier manifest are kept; a group that any tested "
    "image belongs to is for testing.",
]


def audit_json(audit: Audit) -> dict[str, Any]:
    """Returns all findings as JSON data; images are named by their paths."""
    paths = [scan.file.path for scan in audit.scans]
    widths, heights = (
        [scan.width for scan in audit.scans],
        [scan.height for scan in audit.scans],
    )
    aspects = [scan.width / scan.height for scan in audit.scans]
    common = Counter(zip(widths, heights, strict=True)).most_common(1)[0]
    return {
        "format": "callus-audit",
        "version": 1,
        "num_files": len(audit.scans) + len(audit.unreadable),
        "num_images": len(audit.scans),
        "num_kept": len(audit.manifest.items),
        "classes": _classes(audit),
        "sizes": {
            "width": _range(widths),
            "height": _range(heights),
            "aspect_ratio": _range(aspects),
            "most_common": {"width": common[0][0], "height": common[0][1], "images": common[1]},
            "grey": sum(scan.is_grey for scan in audit.scans),
        },
        "unreadable": [{"path": scan.file.path, "reason": scan.refusal} for scan in audit.unreadable],
        "ignored": audit.folder.ignored,
        "exact_duplicates": [[paths[index] for index in members] for members in audit.exact],
        "near_duplicates": [
            {
                "first": paths[pair.first],
                "second": paths[pair.second],
                "correlation": round(pair.correlation, 3),
                "overlap": round(pair.overlap, 3),
                "mirrored": pair.mirrored,
                "turned": round(pair.turned),
                "scale": round(pair.scale, 3),
                "same_label": audit.scans[pair.first].file.label == audit.scans[pair.second].file.label,
            }
            for pair in audit.near
        ],
        "name_links": [
            {"first": paths[link.first], "second": paths[link.second], "shared": link.shared}
            for link in audit.name_links
        ],
        "conflicts": [_labelled(audit, members) for members in audit.conflicts],
        "mixed_groups": [_labelled(audit, members) for members in audit.mixed_groups],
        "groups": {
            "count": len(audit.groups),
            "with_several_images": sum(len(members) > 1 for members in audit.groups),
            "largest": max(len(members) for members in audit.groups),
            "given": audit.given_groups,
        },
        "published_leaks": published_leaks(audit),
        "split": {
            "seed": audit.seed,
            "images": dict(Counter(item.split for item in audit.manifest.items)),
            "groups": dict(Counter({item.group: item.split for item in audit.manifest.items}.values())),
            "kept_sides": audit.num_kept_sides,
            "moved": audit.num_moved,
        },
        "rules": RULES,
        "manifest_checksum": audit.manifest.checksum(),
        "seconds": round(audit.seconds, 1),
    }


def _range(values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return {"min": round(float(low), 3), "median": round(float(middle), 3), "max": round(float(high), 3)}


def _classes(audit: Audit) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for label in sorted({scan.file.label for scan in audit.scans}):
        scans = [scan for scan in audit.scans if scan.file.label == label]
        kept = [item for item in audit.manifest.items if item.label == label]
        published = Counter(scan.file.split_folder for scan in scans if scan.file.split_folder)
        sides: dict[str, int] = {split: sum(item.split == split for item in kept) for split in SPLITS}
        rows[label] = {"images": len(scans), "published": dict(published), "kept": len(kept), **sides}
    return rows


def _labelled(audit: Audit, members: Sequence[int]) -> list[dict[str, str]]:
    return [
        {"path": audit.scans[index].file.path, "label": audit.scans[index].file.label} for index in members
    ]


def published_leaks(audit: Audit) -> dict[str, Any]:
    """Returns how many published test images have a copy or a common source in the published training split."""
    linked = {
        "exact": [pair for members in audit.exact for pair in combinations(members, 2)],
        "near": [(pair.first, pair.second) for pair in audit.near],
        "file_name": [(link.first, link.second) for link in audit.name_links],
    }
    leaky: dict[str, set[int]] = {}
    for kind, pairs in linked.items():
        both_ways = [*pairs, *((second, first) for first, second in pairs)]
        leaky[kind] = {one for one, other in both_ways if _is_test(audit, one) and _is_train(audit, other)}
    tested = sum(_is_test(audit, index) for index in range(len(audit.scans)))
    return {
        "test_images": tested,
        **{kind: len(images) for kind, images in leaky.items()},
        "any": len(set().union(*leaky.values())),
    }


def _is_test(audit: Audit, index: int) -> bool:
    return audit.scans[index].file.split_folder.lower().startswith("test")


def _is_train(audit: Audit, index: int) -> bool:
    return bool(audit.scans[index].file.split_folder) and not _is_test(audit, index)


def audit_page(audit: Audit, name: str) -> str:
    """Returns an audit as a self-contained HTML page; name is that of the data set."""
    facts = audit_json(audit)
    return page(
        f"Audit of {name}",
        [
            _summary(facts),
            _class_section(facts),
            _sample_section(audit),
            _size_section(audit, facts),
            _duplicate_section(audit, facts),
            _group_section(audit, facts),
            _split_section(facts),
            _other_section(audit, facts),
        ],
    )


def _summary(facts: dict[str, Any]) -> str:
    dropped = facts["num_images"] - facts["num_kept"]
    shown = [
        (facts["num_images"], "readable images"),
        (len(facts["classes"]), "classes"),
        (facts["groups"]["count"], "independent groups"),
        (len(facts["exact_duplicates"]), "sets of exact duplicates"),
        (len(facts["near_duplicates"]), "near-duplicate pairs"),
        (dropped, "dropped: copies under different labels"),
        (len(facts["unreadable"]), "unreadable files"),
    ]
    leaks = facts["published_leaks"]
    warning = ""
    if leaks["any"]:
        share = percent(leaks["any"] / leaks["test_images"])
        warning = (
            f'<p class="warning">The published split leaks: {leaks["any"]} of its {leaks["test_images"]} test '
            f"images ({share}) have a copy of themselves or another image of their source in its other part "
            f"({leaks['exact']} exact, {leaks['near']} near-duplicate, {leaks['file_name']} by file name). "
            "Figures on it mean little; the manifest's own split is by group.</p>"
        )
    return tiles(shown) + warning


def _class_section(facts: dict[str, Any]) -> str:
    classes = facts["classes"]
    by_split: dict[str, Sequence[float]] = {
        split: [row[split] for row in classes.values()] for split in SPLITS
    }
    published = sorted({folder for row in classes.values() for folder in row["published"]})
    header = ["class", "images", *(f"published {folder}" for folder in published), "kept", *SPLITS]
    rows = [
        [label, row["images"], *(row["published"].get(folder, 0) for folder in published), row["kept"]]
        + [row[split] for split in SPLITS]
        for label, row in classes.items()
    ]
    drawing = figures.stacked_bars(list(classes), by_split, "images")
    caption = "Images a class, and the side of the split they are on."
    return "<h2>Classes</h2>" + figure(drawing, caption) + table(header, rows)


def _sample_section(audit: Audit) -> str:
    choice = random.Random(audit.seed)  # noqa: S311 - which samples are shown is no secret
    parts = ["<h2>Sample images</h2>"]
    for label in sorted({scan.file.label for scan in audit.scans}):
        indices = [index for index, scan in enumerate(audit.scans) if scan.file.label == label]
        chosen = sorted(choice.sample(indices, min(SAMPLES_A_CLASS, len(indices))))
        pictures = "".join(_thumbnail(audit, index) for index in chosen)
        parts.append(f'<h3>{escape(label)}</h3><div class="grid">{pictures}</div>')
    return "".join(parts)


def _thumbnail(audit: Audit, index: int) -> str:
    file = audit.scans[index].file
    pixels = read_image(audit.folder.root / file.path).pixels
    return picture(encode_thumbnail(pixels, 200), f"{file.label}: {file.path}")


def _size_section(audit: Audit, facts: dict[str, Any]) -> str:
    sizes = facts["sizes"]
    text = (
        f"Widths {sizes['width']['min']:.0f} to {sizes['width']['max']:.0f} pixels, heights "
        f"{sizes['height']['min']:.0f} to {sizes['height']['max']:.0f}, aspect ratios "
        f"{sizes['aspect_ratio']['min']:.2f} to {sizes['aspect_ratio']['max']:.2f}. "
        f"{sizes['most_common']['images']} images are {sizes['most_common']['width']} x "
        f"{sizes['most_common']['height']}; {sizes['grey']} are grey without any tint."
    )
    widths, heights = [scan.width for scan in audit.scans], [scan.height for scan in audit.scans]
    aspects = [scan.width / scan.height for scan in audit.scans]
    edges = list(np.geomspace(min(min(aspects), 0.5), max(max(aspects), 2.0), 31))
    return (
        f"<h2>Sizes</h2><p>{escape(text)}</p>"
        + figure(figures.scatter(widths, heights, ("width, pixels", "height, pixels")), "One dot an image.")
        + figure(figures.histogram(aspects, "width / height", edges, log=True), "Aspect ratios.")
    )


def _duplicate_section(audit: Audit, facts: dict[str, Any]) -> str:
    near = facts["near_duplicates"]
    mirrored = sum(pair["mirrored"] for pair in near)
    turned = sum(abs(pair["turned"]) > 5 and not pair["mirrored"] for pair in near)
    crossed = sum(not pair["same_label"] for pair in near)
    text = (
        f"{len(near)} pairs show one picture without being the same file: {mirrored} are mirrored, {turned} "
        f"turned by more than 5 degrees; {crossed} are under different labels. What was found is found by "
        "comparing fine structure; other views of one fracture are not found so."
    )
    choice = random.Random(audit.seed)  # noqa: S311
    shown = sorted(choice.sample(range(len(near)), min(SHOWN_PAIRS, len(near))))
    cells = []
    for index in shown:
        pair = audit.near[index]
        labels = [audit.scans[place].file.label for place in (pair.first, pair.second)]
        caption = labels[0] if labels[0] == labels[1] else " / ".join(labels)
        cells.append(
            f'<div class="pair"><div>{_thumbnail(audit, pair.first)}{_thumbnail(audit, pair.second)}</div>'
            f"<small>{escape(caption)}; correlation {pair.correlation:.2f}</small></div>"
        )
    note = f"A random sample of {len(shown)} pairs:" if shown else ""
    return (
        f"<h2>Duplicates</h2><p>{escape(text)}</p><p class='note'>{note}</p>"
        f'<div class="pairs">{"".join(cells)}</div>'
        + listing(
            f"{len(facts['exact_duplicates'])} sets of exact duplicates",
            [" = ".join(paths) for paths in facts["exact_duplicates"]],
        )
        + listing(
            f"{len(near)} near-duplicate pairs",
            [f"{pair['first']} ~ {pair['second']} ({pair['correlation']:.2f})" for pair in near],
        )
    )


def _group_section(audit: Audit, facts: dict[str, Any]) -> str:
    groups = facts["groups"]
    source = "your groups, joined where they share copies" if groups["given"] else "copies and file names"
    text = (
        f"{groups['count']} groups, from {source}; {groups['with_several_images']} hold several images, the "
        f"largest {groups['largest']}. {len(facts['name_links'])} pairs are linked by their file names. "
        f"{len(facts['mixed_groups'])} groups carry several labels."
    )

    def lines(sets: list[list[dict[str, str]]]) -> list[str]:
        return [" = ".join(member["path"] for member in members) for members in sets]

    sizes = Counter(len(members) for members in audit.groups)
    return (
        f"<h2>Groups</h2><p>{escape(text)}</p>"
        + table(
            ["images in the group", "groups"],
            [[size, count] for size, count in sorted(sizes.items())],
            texts=0,
        )
        + listing(
            f"{len(facts['conflicts'])} sets of copies under different labels, dropped",
            lines(facts["conflicts"]),
        )
        + listing(
            f"{len(facts['mixed_groups'])} groups with several labels, kept together",
            lines(facts["mixed_groups"]),
        )
        + listing(
            f"{len(facts['name_links'])} pairs linked by file name",
            [f"{link['first']} ~ {link['second']} ({link['shared']})" for link in facts["name_links"]],
        )
    )


def _split_section(facts: dict[str, Any]) -> str:
    split = facts["split"]
    rows = [[side, split["images"].get(side, 0), split["groups"].get(side, 0)] for side in SPLITS]
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in facts["rules"])
    kept = ""
    if split["kept_sides"] or split["moved"]:
        kept = (
            f"<p>{split['kept_sides']} images kept the side they had; {split['moved']} moved, because their "
            "group now holds images that were tested or validated on.</p>"
        )
    missing = [
        f"{label} has no image for {side}."
        for label, row in facts["classes"].items()
        for side in SPLITS
        if row["kept"] and not row[side]
    ]
    warning = f'<p class="warning">{escape(" ".join(missing))}</p>' if missing else ""
    return (
        f"<h2>Split</h2>{warning}{kept}"
        + table(["side", "images", "groups"], rows)
        + f"<h3>Rules</h3><ul>{rules}</ul>"
    )


def _other_section(audit: Audit, facts: dict[str, Any]) -> str:
    return (
        "<h2>Files</h2>"
        + listing(
            f"{len(facts['unreadable'])} unreadable files",
            [f"{file['path']}: {file['reason']}" for file in facts["unreadable"]],
        )
        + listing(f"{len(facts['ignored'])} files that are no images of a class", facts["ignored"])
        + f"<p class='note'>Seed {audit.seed}; {facts['seconds']} s; manifest "
        f"<code>{facts['manifest_checksum']}</code></p>"
    )
