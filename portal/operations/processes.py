"""The command lines of the processes of a running portal."""

import os
import socket
import sys
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
QUEUES_OF = {"predict": ("predict", "sweep"), "train": ("train",)}
WORKERS = tuple(QUEUES_OF)


def check_bind(bind: str) -> str:
    """Returns `bind` (HOST:PORT).

    Raises:
        ImproperlyConfigured: it is malformed, or it is reachable from other hosts without PUBLIC_URL or with DEBUG.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        raise ImproperlyConfigured(f"--bind must look like 127.0.0.1:8000, received {bind!r}.")
    if host not in LOOPBACK and not settings.PUBLIC_URL:
        raise ImproperlyConfigured(
            f"Set PUBLIC_URL before binding to {host}, because Callus must know its public address. On this machine "
            "alone, PUBLIC_URL=http://localhost:8000 will do."
        )
    if host not in LOOPBACK and settings.DEBUG:
        raise ImproperlyConfigured(f"DEBUG shows internals to everyone. Unset it before binding to {host}.")
    return bind


def web(bind: str) -> list[str]:
    """Returns the command line of the web server."""
    return [
        *(sys.executable, "-m", "gunicorn", "portal.asgi:application"),
        *("--bind", bind, "--worker-class", "portal.server.worker.Worker", "--workers", "2"),
        *("--asgi-lifespan", "off", "--asgi-loop", "asyncio"),
        *("--timeout", "120", "--graceful-timeout", "10", "--keep-alive", "5"),
        *(
            "--log-level",
            "warning",
            "--logger-class",
            "portal.server.worker.Logger",
            "--no-control-socket",
            "--umask",
            "0o077",
        ),
        # Loads the application once and shares its memory among the workers.
        "--preload",
    ]


def worker(role: str, name: str = "") -> list[str]:
    """Returns the command line of a worker. `name` must be unique among workers of one role on a host."""
    processes = settings.PREDICTION_PROCESSES if role == "predict" else 1
    queues = ",".join([*QUEUES_OF[role], echo_queue(role)])
    command = [
        *(sys.executable, "-m", "celery", "--app", "portal", "--quiet", "worker"),
        *("--queues", queues, "--concurrency", str(processes), "--hostname", f"{name or role}@%h"),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]
    return ["nice", "-n", str(settings.TRAINING_NICENESS), *command] if role == "train" else command


def echo_queue(role: str) -> str:
    """Returns the name of the queue that only this worker consumes, for the test tasks of watch.py."""
    return f"echo.{role}.{socket.gethostname()}.{os.getpid()}"


def beat() -> list[str]:
    """Returns the command line of the scheduler."""
    schedule = Path(settings.DATA_DIR) / "beat-schedule"
    return [
        *(sys.executable, "-m", "celery", "--app", "portal", "--quiet", "beat"),
        *("--schedule", str(schedule), "--pidfile", "", "--loglevel", "WARNING"),
    ]
