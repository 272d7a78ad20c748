"""Real servers for tests: Redis, PostgreSQL, and the portal as its users start it. Each ends with its context."""

import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECRET_KEY = "a-key-for-tests-only-0123456789-abcdefghijklmnopqrstuvwxyz"
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(
    condition: Callable[[], object], *, what: str, seconds: float = PATIENCE_SECONDS, every: float = 0.05
) -> object:
    """The first true value of `condition`; looks every 50 ms, and fails loudly when time is up.

    Looking costs a request: where the wait is long, look less often.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"Waited {seconds:.0f} s in vain: {what}")


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Redis:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--save", "", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: is_listening(self.port), what="redis-server to listen")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: what Callus does on Redis is NOT tested")
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Postgres:
    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port = free_port()
        self.url = f"postgres://callus@127.0.0.1:{self.port}/callus"
        # PostgreSQL refuses to run as root.
        self.become = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        )

    def _run(self, command: str, *arguments: str) -> None:
        # A file, not a pipe: the server that pg_ctl starts keeps it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [*self.become, str(self.binaries / command), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, f"{command} failed: {output.read().decode(errors='replace')}"

    def create(self) -> None:
        if self.become:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self.folder), "-U", "callus", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.start()
        self.add_database("callus")

    def add_database(self, name: str) -> str:
        """Its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "callus", name)
        return f"postgres://callus@127.0.0.1:{self.port}/{name}"

    def run_sql(self, database: str, sql: str) -> None:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "callus", "-d", database)
        self._run("psql", *where, "-v", "ON_ERROR_STOP=1", "-c", sql)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
        self._run("pg_ctl", "-D", str(self.folder), "-o", options, "-w", "start")

    @property
    def pid(self) -> int:
        return int((self.folder / "postmaster.pid").read_text().splitlines()[0])

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.folder), "-m", mode, "-w", "stop")


def find_postgres() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    binaries = find_postgres()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: what Callus does on PostgreSQL is NOT tested")
    # Not below pytest's own folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory(prefix="callus-postgres-") as folder:
        server = Postgres(binaries, Path(folder))
        server.create()
        try:
            yield server
        finally:
            server.stop()


class Portal:
    """Processes of one portal on one data folder, started by the commands that its users type."""

    # What they say, for the report of a test that fails.
    logs: ClassVar[list[Path]] = []
    # Of all processes of this test run: the data folder of a portal that is prepared once, and copied by the others.
    prepared: ClassVar[Path | None] = None

    def __init__(
        self,
        data_dir: Path,
        environment: dict[str, str] | None = None,
        *,
        program: list[str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        """`program` is run in `folder`: manage.py of this checkout, unless given."""
        is_here = program is None and folder == ROOT
        self.program = program or [sys.executable, "manage.py"]
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self.log = data_dir / "console.log"
        self.logs.append(self.log)
        kept = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        self.environment = {
            **kept,
            "CALLUS_DATA_DIR": str(data_dir),
            "SECRET_KEY": SECRET_KEY,
            # The other tests keep all processors busy; training would starve behind them.
            "CALLUS_TRAINING_NICENESS": "0",
            "DJANGO_SETTINGS_MODULE": "tests.portal_settings" if is_here else "portal.settings",
            **(environment or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def manage(self, *arguments: str, extra: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self.program, *arguments],
            cwd=self.folder,
            env={**self.environment, **(extra or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join([*self.program, *arguments])}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `manage.py ARGUMENTS` as the process called `name`."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.program, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.processes[name]

    def prepare(self) -> None:
        """`manage.py prepare`, or, for an empty folder with SQLite, a copy of what it makes."""
        if not self.copy_prepared():
            self.manage("prepare")

    def copy_prepared(self) -> bool:
        """Whether this portal is one that can begin with a copy."""
        is_usual = self.program[1:] == ["manage.py"] and "DATABASE_URL" not in self.environment
        if self.prepared is None or not is_usual or (self.data_dir / "callus.sqlite3").exists():
            return False
        self.prepared.mkdir(parents=True, exist_ok=True)
        with (self.prepared / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = self.prepared / "made"
            if not made.exists():
                Portal(self.prepared / "var").manage("prepare")
                (self.prepared / "var").rename(made)
        shutil.copytree(made / "files", self.data_dir / "files", dirs_exist_ok=True)
        shutil.copy(made / "callus.sqlite3", self.data_dir)
        return True

    def start_up(self, *, from_nothing: bool = False) -> None:
        if not from_nothing:
            self.copy_prepared()
        self.start("up", "up", "--bind", f"127.0.0.1:{self.port}")
        self.wait_until_live()

    def start_set(self) -> None:
        """The same processes as docker-compose.yml, each on its own."""
        self.prepare()
        self.start("web", "web", "--bind", f"127.0.0.1:{self.port}")
        self.start("predict", "worker", "predict")
        self.start("train", "worker", "train")
        self.start("beat", "beat")
        self.wait_until_live()

    def wait_until_live(self, seconds: float = PATIENCE_SECONDS) -> None:
        def state() -> str:
            # Asked once: on a busy machine, the next answer may be late again.
            if self.is_live():
                return "live"
            ended = any(process.poll() is not None for process in self.processes.values())
            return "ended" if ended else ""

        found = wait_until(state, what=f"{self.url}/livez", seconds=seconds)
        assert found == "live", f"The portal did not start:\n{self.console()}"

    def is_live(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def add_users(self, *names: str, password: str = "correct-horse-battery") -> None:
        code = (
            "from django.contrib.auth import get_user_model;"
            f"[get_user_model().objects.create_user(name, password={password!r}) for name in {names!r}]"
        )
        self.manage("shell", "--no-imports", "-c", code)

    def look_up(self, query: str) -> tuple[Any, ...]:
        """The first row of a query of its SQLite file. `manage` would start Django for it, which takes a second."""
        with closing(sqlite3.connect(self.data_dir / "callus.sqlite3")) as database:
            return tuple(database.execute(query).fetchone())

    def console(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def signal(self, name: str, number: signal.Signals) -> None:
        os.killpg(self.processes[name].pid, number)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def running_portal(data_dir: Path, environment: dict[str, str] | None = None) -> Iterator[Portal]:
    """`manage.py up` on a data folder of its own."""
    portal = Portal(data_dir, environment)
    try:
        portal.start_up()
        yield portal
    finally:
        portal.stop()
