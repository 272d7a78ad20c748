"""Workers end with the process they work for, even when it is killed."""

import os
import select
import subprocess
import sys

from tests.servers import ROOT

PROGRAM = """
import os, time
from ml.data.process_pool import process_pool

def own_number(_):
    return os.getpid()

if __name__ == "__main__":
    with process_pool() as pool:
        print(*set(pool.map(own_number, range(8))), flush=True)
        time.sleep(600)
"""


def test_no_worker_outlives_a_killed_parent(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout.readline().split()
        parent.kill()
        # The workers hold the other end of the pipe: it is at its end when the last one is gone.
        ended, _, _ = select.select([parent.stdout], [], [], 60)
        assert ended
        assert parent.stdout.read() == b""
