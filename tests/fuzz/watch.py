"""Does something with broken files in a fork, with limits, and says what each of them took."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ml.data.decoder_process import start_timeout

Doing = Callable[[bytes], tuple[str, str]]


@dataclass(frozen=True)
class Outcome:
    """kind: "read", "refused", "crashed" (a decoder ended its process), "too slow", or "wrong": what may not be.

    detail: the sentence of a refusal, or the details. memory_mb: the most that the fork took until then.
    """

    kind: str
    detail: str
    cpu_seconds: float
    memory_mb: float


def watch(do: Doing, contents: Iterable[bytes], limit: Callable[[], None]) -> Iterator[Outcome]:
    """What became of each in turn; ends after the first that ended the fork.

    do(content) returns (kind, detail). The contents are made in the fork.
    """
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inlet)
        _do_all(do, contents, limit, outlet)
    os.close(outlet)
    is_busy = False
    with os.fdopen(inlet, "rb") as pipe:
        for line in pipe:
            message = json.loads(line)
            is_busy = message == "begun"
            if not is_busy:
                yield Outcome(*message)
    _, status, used = os.wait4(child, 0)
    assert is_busy or status == 0, "the inputs cannot be made"
    if is_busy:
        yield Outcome(*_end(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def is_error_text(text: str) -> bool:
    """Returns whether it is one sentence that says what is wrong, and at most one more that says what to do."""
    sentences = re.split(r"(?<=\.) (?=['\"A-Z])", text)
    whole = all(re.fullmatch(r"['\"A-Z].{10,1000}\.", sentence) for sentence in sentences)
    return whole and len(sentences) <= 2 and text.isprintable()


def _end(status: int) -> tuple[str, str]:
    if not os.WIFSIGNALED(status):
        return "wrong", f"exit code {os.WEXITSTATUS(status)}"
    name = signal.Signals(os.WTERMSIG(status)).name
    return ("too slow" if name in ("SIGPROF", "SIGALRM") else "crashed"), name


def _do_all(do: Doing, contents: Iterable[bytes], limit: Callable[[], None], outlet: int) -> NoReturn:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    limit()
    for content in contents:
        os.write(outlet, b'"begun"\n')
        start_timeout()
        started = time.process_time()
        try:
            kind, detail = do(content)
        except BaseException as error:
            kind, detail = "wrong", repr(error)[:500]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        outcome = (kind, detail, time.process_time() - started, memory)
        os.write(outlet, json.dumps(outcome).encode() + b"\n")
    os._exit(0)
