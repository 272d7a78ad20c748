import time
from collections.abc import Callable
from typing import Any

from classifier.jobs.hold import Hold, stop_if_asked
from classifier.ml_process import CommandDied, MlProcess

# No command is silent for this long unless it hangs.
SILENT_SECONDS = 3600.0


def watch(
    process: MlProcess,
    hold: Hold,
    *,
    phase: str,
    take: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: {},
    look: Callable[[], None] = lambda: None,
) -> None:
    """Follow a command to its end: its progress goes to the held row, a wish to stop it is looked for.

    Args:
        phase: until it names one itself.
        take: the fields of the row that an event changes.
        look: called at least once a second; may raise to stop the command.

    Raises:
        HoldLost, Stopping, CommandFailed, CommandDied
    """
    hold.keep(now=True, phase=phase)
    heard = time.monotonic()
    for event in process.events():
        stop_if_asked()
        look()
        if event:
            heard = time.monotonic()
            fields = take(event)
            # The end of an epoch is told even when the last word was a moment ago.
            hold.keep(now="history" in fields, **fields)
        else:
            hold.keep()
        if time.monotonic() - heard > SILENT_SECONDS:
            raise CommandDied(f"python -m ml {process.arguments[0]} was silent for too long.")
