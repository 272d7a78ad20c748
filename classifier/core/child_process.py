"""Ends child processes together with their parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Returns a preexec_fn for Popen that makes Linux send the child this signal when its parent dies, even by SIGKILL.

    Returns None on other systems, where the child ends only if the parent stops it.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # The parent died before prctl was called.
            os.kill(os.getpid(), number)

    return arm
