"""Times the same pages and actions on two databases alternately."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.actions import actions
from benchmarks.pages import PEOPLE, pages
from benchmarks.targets import MAX_RATIO, REQUESTS_PER_TURN
from classifier.core.models import User


@dataclass(frozen=True)
class TimedCall:
    """A page or action on one database."""

    who: str
    name: str
    do: Callable[[], object]
    is_timed: bool = True


@dataclass
class Measurement:
    """The times and queries of one page or action with few rows (first) and with many."""

    who: str
    name: str
    queries: list[int] = field(default_factory=list)
    milliseconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @property
    def medians(self) -> list[float]:
        return [statistics.median(times) for times in self.milliseconds]

    @property
    def ratio(self) -> float:
        return self.medians[1] / self.medians[0]

    @property
    def is_within_target(self) -> bool:
        return self.ratio <= MAX_RATIO and self.queries[0] == self.queries[1]

    def row(self) -> list[object]:
        queries = " -> ".join(str(number) for number in dict.fromkeys(self.queries))
        few, many = (f"{median:.1f}" for median in self.medians)
        ratio = f"{self.ratio:.2f}" if self.is_within_target else f"**{self.ratio:.2f}**"
        return [self.who, self.name, queries, few, many, ratio]


def use(database: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = database


def timed_calls() -> list[TimedCall]:
    """Returns all pages and actions, for the database that is connected now."""
    clients = {name: Client(SERVER_NAME="localhost") for name in PEOPLE}
    for name, client in clients.items():
        client.force_login(User.objects.get(username=name))

    def getting(person: str, address: str) -> Callable[[], object]:
        def get() -> None:
            response = clients[person].get(address)
            assert response.status_code in (200, 204), (address, response.status_code)

        return get

    return [
        *(
            TimedCall(page.who, page.name, getting(page.person, page.address), page.is_timed)
            for page in pages()
        ),
        *(TimedCall(action.who, action.name, action.run, action.is_timed) for action in actions()),
    ]


def measure(databases: list[str], rounds: int) -> list[Measurement]:
    calls = []
    for database in databases:
        use(database)
        calls.append([call for call in timed_calls() if call.is_timed])
    measurements = []
    for pair in zip(*calls, strict=True):
        one = Measurement(pair[0].who, pair[0].name)
        for round_number in range(rounds):
            for database, call, times in zip(databases, pair, one.milliseconds, strict=True):
                use(database)
                call.do()  # opens the connection
                if round_number == 0:
                    with CaptureQueriesContext(connection) as queries:
                        call.do()
                    one.queries.append(len(queries))
                times += [_milliseconds(call) for _ in range(REQUESTS_PER_TURN)]
        measurements.append(one)
        print("  ".join(str(cell) for cell in one.row()), flush=True)
    return measurements


def _milliseconds(call: TimedCall) -> float:
    started = time.perf_counter()
    call.do()
    return 1000 * (time.perf_counter() - started)
