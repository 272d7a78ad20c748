"""Uploads at a steady pace, and what became of each."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import urllib3

from tests.client import FINISHED, Client, png
from tests.ml.drawings import draw_bone
from tests.servers import wait_until

# How often the answers that are owed are looked for; looking more often would be most of the load.
LOOK_SECONDS = 0.2


@dataclass
class Outcome:
    """What a fault did to the uploads that the portal acknowledged."""

    fault: str
    acknowledged: int
    answered: int
    failed: int
    lost: int
    twice: int
    longest_delay: float

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.fault,
            self.acknowledged + other.acknowledged,
            self.answered + other.answered,
            self.failed + other.failed,
            self.lost + other.lost,
            self.twice + other.twice,
            max(self.longest_delay, other.longest_delay),
        )


@dataclass
class Sent:
    prediction_id: str
    at: float
    answer: dict[str, Any] | None = None
    delay: float = 0.0


@dataclass
class Load:
    """One person uploading and looking for answers; a refused or cut connection is tried again with a new file."""

    client: Client
    pace_seconds: float = 0.25
    sent: list[Sent] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._upload, self._collect)]
        for thread in self.threads:
            thread.start()

    def _upload(self) -> None:
        seed = 0
        while not self.ending.wait(self.pace_seconds):
            seed += 1
            self.upload(png(draw_bone(seed=seed)))

    def upload(self, content: bytes) -> Sent | None:
        """None when the portal did not acknowledge: then it promised nothing."""
        at = time.monotonic()
        try:
            answer = self.client.http.request(
                "POST",
                f"{self.client.url}/api/v1/radiographs/",
                headers=self.client.headers,
                fields={"file": ("x-ray.png", content)},
            )
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status != 201:
            return None
        sent = Sent(answer.json()["prediction"]["id"], at)
        self.sent.append(sent)
        return sent

    def _collect(self) -> None:
        while not (self.ending.wait(LOOK_SECONDS) and not self.waiting()):
            for sent in self.waiting():
                self._look(sent)

    def waiting(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.answer is None]

    def _look(self, sent: Sent) -> None:
        prediction = self.fetch(sent.prediction_id)
        if prediction and prediction["state"] in FINISHED:
            sent.delay = time.monotonic() - sent.at
            sent.answer = prediction

    def fetch(self, prediction_id: str) -> dict[str, Any] | None:
        """The prediction as the API shows it; None while the portal cannot answer, {} with state "gone" for a 404."""
        try:
            answer = self.client.http.request(
                "GET", f"{self.client.url}/api/v1/predictions/{prediction_id}/", headers=self.client.headers
            )
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status == 404:
            return {"state": "gone"}
        return dict(answer.json()) if answer.status == 200 else None

    def _ask_again(self, sent: Sent) -> dict[str, Any] | None:
        """What it says in the end; a second answer would have replaced the first."""
        wait_until(lambda: self.fetch(sent.prediction_id) is not None, what="the portal to answer")
        return self.fetch(sent.prediction_id)

    def finish(self, fault: str, patience: float) -> Outcome:
        """Stop uploading, wait for what is owed, and count."""
        self.ending.set()
        self.threads[0].join()
        with suppress(AssertionError):  # what is still owed then is counted as lost
            wait_until(lambda: not self.waiting(), what="the answers that are owed", seconds=patience)
        answered = [sent for sent in self.sent if sent.answer is not None]
        return Outcome(
            fault=fault,
            acknowledged=len(self.sent),
            answered=len(answered),
            failed=sum(sent.answer["state"] == "failed" for sent in answered if sent.answer),
            lost=len(self.sent) - len(answered),
            twice=sum(self._ask_again(sent) != sent.answer for sent in answered),
            longest_delay=max((sent.delay for sent in answered), default=0.0),
        )
