"""Measures what an answer, an upload and an epoch of training cost, as ratios to the first published project.

    python -m benchmarks.performance [--only answers uploads files training] [--pictures DIR] [--rounds 30] [--write]

Contenders take turns in one run, so that other work on the machine slows all of them alike. Without DIR the X-rays are
drawn; the model does not recognise them, and does the same work. ONNX Runtime (with tf2onnx) and OpenVINO take part
where they are installed. With --write the command updates docs/performance.md; it takes about ten minutes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.performance import answers, training, uploads
from benchmarks.performance.lossless import lossless_table
from benchmarks.pictures import SIZES, jpeg, pictures
from benchmarks.resource_usage import raise_priority
from benchmarks.tables import DOCS, fill, table, when_and_where
from ml.networks.recipes import SEED_CNN

STARTS = 5
EPOCHS = 4
UPLOADS = 10
# Rounds of the sections whose operations take longer than an answer.
SHARE_OF_ROUNDS = 5


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        pictures: X-rays, uint8 images.
        rounds: Rounds of the section with the shortest operations.
        images: Images of an epoch of training.
    """

    pictures: list[Image.Image]
    rounds: int
    images: int

    @property
    def few(self) -> int:
        """Rounds of longer operations."""
        return max(1, self.rounds // SHARE_OF_ROUNDS)


Section = Callable[[Run, Path], tuple[str, list[list[object]]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure"
    )
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="folder of X-rays")
    parser.add_argument("--rounds", type=int, default=30, help="answers of each contender (default: 30)")
    parser.add_argument("--images", type=int, default=100, help="images of an epoch (default: 100)")
    parser.add_argument("--write", action="store_true", help="update docs/performance.md")
    options = parser.parse_args()
    raise_priority(0)
    run = Run(pictures(options.pictures), options.rounds, options.images)
    kind = "real" if options.pictures else "drawn"
    how = f"{when_and_where()}; {kind} X-rays, {options.rounds} rounds."
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="callus-benchmark-") as folder:
            measured, bars = SECTIONS[name](run, Path(folder))
        targets = [table(["", "measured", "target"], bars)] if bars else []
        text = "\n\n".join([measured, *targets, how])
        print(f"\n{text}", flush=True)
        if options.write:
            fill(DOCS / "performance.md", name, text)


def of_answers(run: Run, folder: Path) -> tuple[str, list[list[object]]]:
    paths = []
    for number, picture in enumerate(run.pictures):
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(jpeg(picture.resize(SIZES[uploads.SMALL])))
    found = answers.measure_answers(paths, folder, run.rounds, min(run.rounds, STARTS))
    ours, base, size = found["callus"], found["original"], answers.bundle_megabytes()
    return answers.answers_table(found), [
        [
            "warm answer, median, to the original's",
            f"{ours.median / base.median:.2f}",
            f"at most {answers.MAX_TIME:.2f}",
        ],
        [
            "cold start to first answer, to the original's",
            f"{ours.cold / base.cold:.2f}",
            f"at most {answers.MAX_COLD:.2f}",
        ],
        ["memory, to the original's", f"{ours.mib / base.mib:.2f}", f"at most {answers.MAX_MEMORY:.2f}"],
        [
            "both bundles",
            f"{size['both']:.1f} MB ({size['kind']:.1f} + {size['finding']:.1f})",
            "under 30 MB",
        ],
    ]


def of_uploads(run: Run, folder: Path) -> tuple[str, list[list[object]]]:
    figures = uploads.measure_uploads(run.pictures, folder / "var", run.few, UPLOADS if run.rounds > 1 else 1)
    small, large = (figures.costs[name] for name in SIZES)
    worker = statistics.median(large.worker_ms) / statistics.median(small.worker_ms)
    memory = f"{figures.worker_mib:.0f} MiB; its parent process {figures.other_mib:.0f} MiB"
    return uploads.uploads_table(figures), [
        [
            "upload to answer, 640 x 640",
            f"{statistics.median(small.ms):.0f} ms",
            f"under {uploads.MAX_MS} ms",
        ],
        ["worker, 2000 x 2500 to 640 x 640", f"{worker:.2f}", f"at most {uploads.MAX_WORKER_RATIO}"],
        ["memory of a process that answers", memory, f"under {uploads.MAX_WORKER_MIB} MB"],
    ]


def of_training(run: Run, folder: Path) -> tuple[str, list[list[object]]]:
    found = training.measure_training(folder, run.images, min(run.few, EPOCHS))
    ratio = found["train_callus"].median / found["train_keras"].median
    return training.training_table(found, run.images // SEED_CNN.batch_size), [
        ["an epoch of `seed_cnn`, to Keras's", f"{ratio:.2f}", f"at most {training.MAX_TIME:.2f}"]
    ]


def of_files(run: Run, folder: Path) -> tuple[str, list[list[object]]]:
    return lossless_table(np.asarray(run.pictures[0].resize(SIZES[uploads.LARGE])), run.few), []


SECTIONS: dict[str, Section] = {
    "answers": of_answers,
    "uploads": of_uploads,
    "training": of_training,
    "files": of_files,
}

if __name__ == "__main__":
    main()
