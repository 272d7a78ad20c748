"""The processes of a pool exit with their parent, even when it is killed."""

import os
import select
import subprocess
import sys

from tests.servers import ROOT

PROGRAM = """
import os, time
from ml.data.process_pool import process_pool

def process_id(_):
    return os.getpid()

if __name__ == "__main__":
    with process_pool() as pool:
        print(*set(pool.map(process_id, range(8))), flush=True)
        time.sleep(600)
"""


def test_workers_exit_when_their_parent_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout.readline().split()
        parent.kill()
        # The workers hold the other end of the pipe, which closes when the last one exits.
        ended, _, _ = select.select([parent.stdout], [], [], 60)
        assert ended
        assert parent.stdout.read() == b""
