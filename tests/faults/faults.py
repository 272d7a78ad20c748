"""What is broken while uploads go on. Each fault gets the running set and breaks it; the load then counts."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg

from tests.client import Client, large_xray
from tests.faults.load import Load
from tests.servers import ROOT, Portal, Postgres, Redis, wait_until


@dataclass
class Running:
    """A portal with its engines, and the load on it. On the embedded default there is no Redis and no PostgreSQL."""

    portal: Portal
    load: Load
    redis: Redis | None = None
    postgres: Postgres | None = None

    @property
    def is_embedded(self) -> bool:
        return self.redis is None

    def pids(self, *words: str) -> list[int]:
        """All processes of this portal whose command line holds the words."""
        mine = f"CALLUS_DATA_DIR={self.portal.data_dir}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                is_mine = mine in (folder / "environ").read_bytes() + b"\0"
                if is_mine and all(word in command for word in words):
                    found.append(int(folder.name))
        return found

    def kill(self, *words: str) -> int:
        """kill -9 of every such process; how many there were."""
        pids = self.pids(*words)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def start_again(self, *names: str) -> None:
        """What a supervisor does: `up` does it by itself."""
        if self.is_embedded:
            return
        for name in names:
            self.portal.processes[name].wait()
            start(self.portal, name)


COMMANDS: dict[str, list[str]] = {
    "web": ["web"],
    "predict": ["worker", "predict"],
    "predict-2": ["worker", "predict", "--name", "predict-2"],
    "train": ["worker", "train"],
    "beat": ["beat"],
}


def start(portal: Portal, name: str) -> None:
    bind = ["--bind", f"127.0.0.1:{portal.port}"] if name == "web" else []
    portal.start(name, *COMMANDS[name], *bind)


def start_set(portal: Portal) -> None:
    for name in COMMANDS:
        start(portal, name)
    portal.wait_until_live()


def uploads(running: Running, number: int) -> None:
    """Let some uploads pass before and after what is done to them."""
    goal = len(running.load.sent) + number
    wait_until(lambda: len(running.load.sent) >= goal, what=f"{number} more uploads")


def nothing(running: Running) -> None:
    """No fault: what the load is without one."""


def kill_web(running: Running) -> None:
    """kill -9 of the web server, master and workers."""
    running.kill("gunicorn")
    running.start_again("web")


def kill_predict(running: Running) -> None:
    """kill -9 of all prediction workers, parents and pools."""
    running.kill("--queues predict")
    running.start_again("predict", "predict-2")


def kill_pool(running: Running) -> None:
    """kill -9 of a prediction worker's pool process in mid-prediction."""
    # Small enough to be answered within the short lease on a busy machine.
    sent = running.load.upload(large_xray(side=5000))
    if sent is None:
        return
    wait_until(
        lambda: state(running, sent.prediction_id) != "queued", what="the large picture to be taken up"
    )
    parents = set(parent_pids(running))
    for pid in running.pids("--queues predict"):
        if pid not in parents:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_between_result_and_ack(running: Running) -> None:
    """The workers' parents, which acknowledge, are stopped; their pools finish; then all are killed."""
    parents = parent_pids(running)
    for pid in parents:
        os.kill(pid, signal.SIGSTOP)
    uploads(running, 4)
    running.kill("--queues predict")
    running.start_again("predict", "predict-2")


def kill_train(running: Running) -> None:
    """kill -9 of the training worker."""
    running.kill("--queues train")
    running.start_again("train")


def kill_beat(running: Running) -> None:
    """kill -9 of the scheduler."""
    running.kill("beat --schedule")
    running.start_again("beat")


def kill_redis(running: Running) -> None:
    """Redis killed with -9, and back after some uploads."""
    assert running.redis
    running.redis.kill()
    uploads(running, 8)
    running.redis.start()


def flush_redis(running: Running) -> None:
    """Redis flushed: all messages gone."""
    assert running.redis
    for _ in range(5):
        subprocess.run(
            ["redis-cli", "-p", str(running.redis.port), "flushall"], check=True, capture_output=True
        )
        uploads(running, 3)


def pause_redis(running: Running, seconds: float = 30) -> None:
    """Redis frozen for half a minute: connections stay open, nothing answers."""
    assert running.redis
    running.redis.kill(signal.SIGSTOP)
    time.sleep(seconds)
    running.redis.kill(signal.SIGCONT)


def restart_postgres(running: Running) -> None:
    """PostgreSQL stopped in immediate mode (as if killed), and back."""
    assert running.postgres
    running.postgres.stop("immediate")
    time.sleep(2)
    running.postgres.start()


def cut_upload(running: Running) -> None:
    """Connections cut in the middle of an upload, ten times."""
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", running.portal.port)) as connection:
            head = (
                "POST /api/v1/radiographs/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: {running.load.client.headers['Authorization']}\r\n"
                "Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: 1000000\r\n\r\n"
                '--cut\r\nContent-Disposition: form-data; name="file"; filename="cut.png"\r\n\r\n'
            )
            connection.sendall(head.encode() + b"\x89PNG" * 10_000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def fill_disk(running: Running) -> None:
    """The file system that holds the files is full, and has room again."""
    files = running.portal.data_dir / "files"
    ballast = files / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    time.sleep(5)
    ballast.unlink()


def deliver_twice(running: Running) -> None:
    """Every message of the next uploads is sent three more times."""
    code = (
        "import sys;"
        "from classifier.core.broker_messages import send;"
        "from classifier.radiographs.tasks import predict_next;"
        "[send(predict_next) for line in sys.stdin for _ in range(3)]"
    )
    portal = running.portal
    with subprocess.Popen(
        [*portal.program, "shell", "--no-imports", "-c", code],
        cwd=portal.folder,
        env=portal.environment,
        stdin=subprocess.PIPE,
        text=True,
    ) as sender:
        assert sender.stdin
        for _ in range(6):
            uploads(running, 1)
            print("again", file=sender.stdin, flush=True)
    assert sender.returncode == 0


def poison(running: Running) -> None:
    """A file that kills its worker at each attempt."""
    sent = running.load.upload(large_xray(side=7000))
    if sent is None:
        return
    parents, killed = set(parent_pids(running)), 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and state(running, sent.prediction_id) not in ("failed", "gone"):
        if (attempt := attempts(running, sent.prediction_id)) > killed:
            killed = attempt
            for pid in running.pids("--queues predict"):
                if pid not in parents:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert (found := state(running, sent.prediction_id)) == "failed", f"the poison is {found}, not given up"


def out_of_memory(running: Running) -> None:
    """The prediction workers may use hardly more memory than they have, and get a picture that needs more."""
    for pid in running.pids("--queues predict"):
        used = next(
            int(line.split()[1]) * 1024
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmSize")
        )
        subprocess.run(["prlimit", f"--pid={pid}", f"--as={used + 40 * 1024**2}"], check=False)
    sent = running.load.upload(large_xray(side=7900))
    uploads(running, 10)
    if sent:
        wait_until(lambda: state(running, sent.prediction_id) == "failed", what="the picture to be given up")
    running.kill("--queues predict")
    running.start_again("predict", "predict-2")


def move_clock(running: Running) -> None:
    """The prediction workers' clock is an hour ahead, then an hour behind, then right."""
    for shift in ("+1h", "-1h", ""):
        running.kill("--queues predict")
        for name in ("predict", "predict-2"):
            running.portal.processes[name].wait()
            command = [sys.executable, "manage.py", *COMMANDS[name]]
            with running.portal.log.open("ab") as log:
                running.portal.processes[name] = subprocess.Popen(
                    ["faketime", "-f", shift, *command] if shift else command,
                    cwd=ROOT,
                    env=running.portal.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        uploads(running, 20)


def kill_everything(running: Running) -> None:
    """The whole set stopped with SIGKILL in mid-load, engines too, and started again."""
    running.kill("manage.py")
    running.kill("celery")
    running.kill("gunicorn")
    for process in running.portal.processes.values():
        process.wait()
    if running.redis:
        running.redis.kill()
        running.redis.start()
    if running.postgres:
        running.postgres.stop("immediate")
        running.postgres.start()
    if running.is_embedded:
        running.portal.start_up()
    else:
        start_set(running.portal)


def parent_pids(running: Running) -> list[int]:
    """The prediction workers' parents: those whose own parent is not one of them."""
    workers = set(running.pids("--queues predict"))
    return [pid for pid in workers if parent_of(pid) not in workers]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def attempts(running: Running, prediction_id: str) -> int:
    """As the database has it: the API does not tell."""
    number = UUID(prediction_id)
    if running.postgres:
        with psycopg.connect(running.postgres.url) as database:
            question = "select attempts from radiographs_prediction where id = %s"
            found = database.execute(question, [number]).fetchone()
    else:
        with closing(sqlite3.connect(running.portal.data_dir / "callus.sqlite3")) as file:
            question = "select attempts from radiographs_prediction where id = ?"
            found = file.execute(question, [number.hex]).fetchone()
    return int(found[0]) if found else 0


def state(running: Running, prediction_id: str) -> str:
    found = running.load.fetch(prediction_id)
    return str(found["state"]) if found else "unknown"


ANYWHERE: list[Callable[[Running], None]] = [
    nothing,
    kill_web,
    kill_predict,
    kill_pool,
    kill_between_result_and_ack,
    kill_train,
    kill_beat,
    cut_upload,
    deliver_twice,
    poison,
    out_of_memory,
    kill_everything,
]
WITH_ENGINES: list[Callable[[Running], None]] = [kill_redis, flush_redis, pause_redis, restart_postgres]
NEEDS_FAKETIME = [move_clock]


def faults(*, embedded: bool) -> list[Callable[[Running], None]]:
    """Those that apply and that this machine can do."""
    chosen = [*ANYWHERE] if embedded else [*ANYWHERE, *WITH_ENGINES]
    if not embedded and shutil.which("faketime"):
        chosen += NEEDS_FAKETIME
    if os.getuid() == 0:
        chosen.append(fill_disk)
    return chosen


def new_client(portal: Portal) -> Client:
    portal.add_users("alice")
    return Client(portal.url, "alice")
