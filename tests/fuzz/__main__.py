"""Breaks files in many ways and reads them.

python -m tests.fuzz images --inputs 100000
"""

import argparse
import gc
import logging
import sys
import time
import warnings
from pathlib import Path

from tests.fuzz import images


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["images"])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that break the promise")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # pydicom's, about the files that it breaks for us
    logging.disable()
    gc.freeze()
    started = time.monotonic()

    def tell(number: int) -> None:
        if number % 1000 == 0:
            print(f"{number:,} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    report = images.run(options.inputs, seed=options.seed, keep=options.keep, tell=tell)
    print(report)
    return bool(report.problems)


if __name__ == "__main__":
    sys.exit(main())
