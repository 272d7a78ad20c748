"""Profiles one page of the sample portal: python -m dev.profile_page /radiographs/ --user alice."""

import argparse
import cProfile
import os
import pstats
import time
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.profile_page", description=__doc__)
    parser.add_argument("path", help="the page's address, without http://host")
    parser.add_argument("--user", default="alice", help="who is signed in")
    parser.add_argument("--lines", type=int, default=25, help="number of functions listed")
    options = parser.parse_args()
    os.environ.setdefault("CALLUS_DATA_DIR", str(ROOT / "var/dev"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    profile(options.path, options.user, options.lines)


def profile(path: str, username: str, lines: int) -> None:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from classifier.core.models import User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username=username))
    client.get(path)  # compiles the templates
    profiler = cProfile.Profile()
    with CaptureQueriesContext(connection) as queries:
        start = time.perf_counter()
        profiler.enable()
        response = client.get(path)
        profiler.disable()
        milliseconds = 1000 * (time.perf_counter() - start)
    print(f"{path}: status {response.status_code}, {milliseconds:.0f} ms, {len(queries)} queries")
    for query in queries.captured_queries:
        print(f"  {query['time']} s  {query['sql'][:160]}")
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(lines)


if __name__ == "__main__":
    main()
