"""Turns: a few slots, or threads, that several users share fairly."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any


class Turns:
    """Gives slots to users in turn, so that one with a hundred requests delays another's by at most one.

    For one event loop; not safe for threads.

    Args:
        slots: the number of slots.
        most_of_one: the number of slots that one user can hold. With fewer than all, another user never waits for
            the requests of a single user.
    """

    def __init__(self, slots: int, most_of_one: int) -> None:
        self.slots = slots
        self.most_of_one = most_of_one
        self._busy: Counter[Hashable] = Counter()
        # In the order in which the users get their next slot.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    async def take(self, user: Hashable) -> None:
        """Waits for a slot. Each one must be given back."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(future)
        self._serve()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._forget(user, future)
            else:
                self.give_back(user)
            raise

    def give_back(self, user: Hashable) -> None:
        """Gives a slot back."""
        self._busy[user] -= 1
        if not self._busy[user]:
            del self._busy[user]
        self._serve()

    def _serve(self) -> None:
        for user in list(self._waiting):
            if self._busy.total() >= self.slots:
                return
            if self._busy[user] < self.most_of_one:
                queue = self._waiting.pop(user)
                queue.popleft().set_result(None)
                self._busy[user] += 1
                if queue:
                    self._waiting[user] = queue

    def _forget(self, user: Hashable, future: "asyncio.Future[None]") -> None:
        queue = self._waiting.get(user)
        if queue and future in queue:
            queue.remove(future)
            if not queue:
                del self._waiting[user]


class SharedThreads:
    """Threads in which the functions of several users run in turn.

    Args:
        name: the name of the threads.
        number: how many there are.
        most_of_one: the number of threads that one user can hold.
    """

    def __init__(self, name: str, number: int, most_of_one: int) -> None:
        self._threads = ThreadPoolExecutor(number, name)
        self._turns = Turns(number, most_of_one)

    async def run(
        self,
        user: Hashable,
        function: Callable[..., Any],
        *arguments: Any,
        if_left: Callable[[], None] = lambda: None,
    ) -> Any:
        """Runs the function in the user's turn, and returns its result.

        Args:
            user: whose turn it takes.
            function: called in a thread with the arguments.
            if_left: called instead, if the caller is cancelled before the turn.
        """
        try:
            await self._turns.take(user)
        except asyncio.CancelledError:
            if_left()
            raise
        running = asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))
        # Given back when the thread ends, which may be later than a client that leaves.
        running.add_done_callback(lambda _: self._turns.give_back(user))
        return await asyncio.shield(running)
