"""Turn a Keras HDF5 model, as the first published notebook saves it, into a bundle.

Only for files whose origin you know.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ml.classes import FRACTURE_CLASSES
from ml.quiet import quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="for example bone_fracture_break_model.h5")
    parser.add_argument("--out", type=Path, required=True, help="where the bundle is written")
    parser.add_argument("--classes", nargs="+", default=list(FRACTURE_CLASSES), help="in the model's order")


def run(options: argparse.Namespace) -> int:
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with quiet():
        from ml.serve.import_h5 import ImportRefused, import_h5
    try:
        with quiet():
            bundle = import_h5(options.file, options.out, options.classes)
    except (ImportRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{bundle.path}: model version {bundle.checksum[:12]}, not calibrated")
    return 0
