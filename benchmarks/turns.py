"""Lets two databases take turns at the same pages and actions."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.actions import actions
from benchmarks.pages import PEOPLE, pages
from benchmarks.promise import AT_ONCE, PROMISED
from classifier.core.models import User


@dataclass(frozen=True)
class Thing:
    who: str
    name: str
    do: Callable[[], object]
    is_timed: bool = True


@dataclass
class Measured:
    """One thing done on few rows (first) and on many."""

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
    def is_kept(self) -> bool:
        return self.ratio <= PROMISED and self.queries[0] == self.queries[1]

    def row(self) -> list[object]:
        queries = " -> ".join(str(number) for number in dict.fromkeys(self.queries))
        few, many = (f"{median:.1f}" for median in self.medians)
        ratio = f"{self.ratio:.2f}" if self.is_kept else f"**{self.ratio:.2f}**"
        return [self.who, self.name, queries, few, many, ratio]


def use(database: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = database


def things_to_do() -> list[Thing]:
    """Who does what, on the database that is connected now."""
    clients = {name: Client(SERVER_NAME="localhost") for name in PEOPLE}
    for name, client in clients.items():
        client.force_login(User.objects.get(username=name))

    def getting(person: str, address: str) -> Callable[[], object]:
        def get() -> None:
            response = clients[person].get(address)
            assert response.status_code in (200, 204), (address, response.status_code)

        return get

    return [
        *(Thing(page.who, page.name, getting(page.person, page.address), page.is_timed) for page in pages()),
        *(Thing(action.who, action.name, action.run, action.is_timed) for action in actions()),
    ]


def measure(databases: list[str], rounds: int) -> list[Measured]:
    to_do = []
    for database in databases:
        use(database)
        to_do.append([thing for thing in things_to_do() if thing.is_timed])
    measured = []
    for things in zip(*to_do, strict=True):
        one = Measured(things[0].who, things[0].name)
        for round_number in range(rounds):
            for database, thing, times in zip(databases, things, one.milliseconds, strict=True):
                use(database)
                thing.do()  # connects anew
                if round_number == 0:
                    with CaptureQueriesContext(connection) as queries:
                        thing.do()
                    one.queries.append(len(queries))
                times += [_milliseconds(thing) for _ in range(AT_ONCE)]
        measured.append(one)
        print("  ".join(str(cell) for cell in one.row()), flush=True)
    return measured


def _milliseconds(thing: Thing) -> float:
    started = time.perf_counter()
    thing.do()
    return 1000 * (time.perf_counter() - started)
