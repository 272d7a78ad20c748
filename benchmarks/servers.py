"""Installs the servers that benchmarks need."""

import os
import shutil
import subprocess
import sys

from tests.servers import find_postgres


def install_missing() -> None:
    """Installs PostgreSQL and Redis from the packages of the system, unless they are installed."""
    missing = [] if find_postgres() else ["postgresql"]
    missing += [] if shutil.which("redis-server") else ["redis-server"]
    if not missing:
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Please install {' and '.join(missing)} first.")
    subprocess.run(["apt-get", "-qq", "update"], check=True)
    subprocess.run(["apt-get", "-qq", "install", "--no-install-recommends", "-y", *missing], check=True)
