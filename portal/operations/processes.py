"""The processes that make up a running portal, and how each is started."""

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
    """HOST:PORT, refused when it is reachable from outside and nobody said under which name."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        raise ImproperlyConfigured(f"--bind must look like 127.0.0.1:8000, received {bind!r}.")
    if host not in LOOPBACK and not settings.PUBLIC_URL:
        raise ImproperlyConfigured(
            f"Set PUBLIC_URL before binding to {host}: Callus must know its own address."
        )
    if host not in LOOPBACK and settings.DEBUG:
        raise ImproperlyConfigured(f"DEBUG shows internals to everybody: do not bind to {host} with it.")
    return bind


def web(bind: str) -> list[str]:
    # Threads, so that slow uploads do not keep others waiting.
    return [
        *(sys.executable, "-m", "gunicorn", "portal.wsgi:application"),
        *("--bind", bind, "--worker-class", "gthread", "--workers", "2", "--threads", "8"),
        *("--timeout", "120", "--graceful-timeout", "10", "--keep-alive", "5"),
        *("--log-level", "warning", "--no-control-socket"),
    ]


def worker(role: str, name: str = "") -> list[str]:
    """`name` tells several workers of one role on one host apart."""
    processes = settings.PREDICTION_PROCESSES if role == "predict" else 1
    queues = ",".join([*QUEUES_OF[role], own_queue(role)])
    command = [
        *(sys.executable, "-m", "celery", "--app", "portal", "--quiet", "worker"),
        *("--queues", queues, "--concurrency", str(processes), "--hostname", f"{name or role}@%h"),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]
    return ["nice", "-n", str(settings.TRAINING_NICENESS), *command] if role == "train" else command


def own_queue(role: str) -> str:
    """The queue that this worker alone listens to: what watch.py sends there, it must hear."""
    return f"echo.{role}.{socket.gethostname()}.{os.getpid()}"


def beat() -> list[str]:
    schedule = Path(settings.DATA_DIR) / "beat-schedule"
    return [
        *(sys.executable, "-m", "celery", "--app", "portal", "--quiet", "beat"),
        *("--schedule", str(schedule), "--pidfile", "", "--loglevel", "WARNING"),
    ]
