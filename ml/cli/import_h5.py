"""Convert a Keras HDF5 model of the original notebook to a bundle.

Import only files from a source that you trust.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ml import garbage_collection
from ml.classes import FRACTURE_CLASSES
from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("file", type=Path, help="HDF5 file, such as bone_fracture_break_model.h5")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        default=list(FRACTURE_CLASSES),
        help="class names in the order of the model's outputs (default: those of the shipped model)",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with suppress_native_stderr(), garbage_collection.paused():
        from ml.serve.import_h5 import ImportRefused, import_h5
    try:
        with suppress_native_stderr():
            bundle = import_h5(options.file, options.out, options.classes)
    except (ImportRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{bundle.path}: model version {bundle.checksum[:12]}, not calibrated")
    return 0
