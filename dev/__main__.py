"""`make dev`: the portal with sample data, in a data folder of its own; each process restarts when code changes."""

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import django

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The passwords of the sample users are published.
REFUSED = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var/dev", metavar="FOLDER")
    options = parser.parse_args()
    check_environment()
    os.environ["CALLUS_DATA_DIR"] = str(options.data_dir.resolve())
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    os.environ.setdefault("DEBUG", "true")
    django.setup()
    serve(options.bind)


def check_environment() -> None:
    """Exits where the sample users could sign in to a portal that others reach, or would be written elsewhere."""
    for name in REFUSED:
        if os.environ.get(name) or os.environ.get(f"{name}_FILE"):
            sys.exit(f"make dev keeps everything in a local data folder: unset {name}.")
    public_url = os.environ.get("PUBLIC_URL", "")
    if public_url and urlsplit(public_url).hostname not in LOOPBACK:
        sys.exit("make dev serves this machine only: unset PUBLIC_URL.")


def serve(bind: str) -> None:
    from django.core.management import call_command
    from django.db import connections

    from dev import sample_data
    from portal.operations import processes
    from portal.operations.supervisor import Child, supervise

    processes.check_bind(bind)
    call_command("prepare")
    try:
        if sample_data.is_needed():
            say("Making the sample data.")
            sample_data.fill()
    except sample_data.Refused as refused:
        sys.exit(str(refused))
    connections.close_all()
    commands = {
        "The web server": ["web", "--bind", bind],
        "The prediction worker": ["worker", "predict"],
        "The training worker": ["worker", "train"],
        "The scheduler": ["beat"],
    }
    children = [
        Child(name, [sys.executable, "-m", "dev.reload", *command]) for name, command in commands.items()
    ]
    people = ", ".join(sample_data.PEOPLE)
    greeting = f"http://{bind} (sign in as {people}; the password is {sample_data.PASSWORD})"
    supervise(children, report=say, on_started=lambda: say(greeting))


def say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    main()
