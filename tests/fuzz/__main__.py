"""Breaks files in many ways and reads them; or reads the costliest that we know how to make.

python -m tests.fuzz images --inputs 100000
python -m tests.fuzz zips --inputs 100000
python -m tests.fuzz extremes
"""

import argparse
import gc
import logging
import sys
import time
import warnings
from pathlib import Path

from tests.fuzz.extremes import measure
from tests.fuzz.images import IMAGES
from tests.fuzz.zips import ZIPS

CAMPAIGNS = {"images": IMAGES, "zips": ZIPS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=[*CAMPAIGNS, "extremes"])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that break the promise")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # pydicom's, about the files that it breaks for us
    logging.disable()
    if options.what == "extremes":
        for row in measure():
            print(row, flush=True)
        return 0
    gc.freeze()
    started = time.monotonic()

    def on_progress(number: int) -> None:
        if number % 1000 == 0:
            print(f"{number:,} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    report = CAMPAIGNS[options.what].run(
        options.inputs, seed=options.seed, keep=options.keep, on_progress=on_progress
    )
    print(report)
    return bool(report.problems)


if __name__ == "__main__":
    sys.exit(main())
