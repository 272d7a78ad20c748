"""Fills the database of an empty portal with made-up rows for benchmarks.

python -m benchmarks.seed_database --for-measuring fills the database of the settings (DATABASE_URL, CALLUS_DATA_DIR).
"""

import argparse
import os
import sys

import django


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument(
        "--for-measuring",
        action="store_true",
        required=True,
        help="confirms that the database is for benchmarks and may be deleted",
    )
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    from benchmarks.seeding import Refused, seed

    try:
        made = seed(
            num_predictions=options.predictions,
            num_users=options.users,
            on_progress=lambda made: print(f"{made:,} rows", end="\r"),
        )
    except Refused as refused:
        sys.exit(str(refused))
    print(f"{made:,} rows made.")


if __name__ == "__main__":
    main()
