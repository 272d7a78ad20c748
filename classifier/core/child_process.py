"""Child processes that do not outlive their parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For Popen's preexec_fn. Linux sends the child this signal when its parent dies, even by kill -9.

    Elsewhere None: there, only an orderly end of the parent ends the child.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # It died just before.
            os.kill(os.getpid(), number)

    return arm
