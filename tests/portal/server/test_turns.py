"""Uploads of several people take turns."""

import asyncio

from portal.server.turns import Turns


def run(turns: Turns, requests: list[tuple[str, int]]) -> list[str]:
    """The names in the order in which they got a slot. Each request holds its slot until all that can run do."""
    order: list[str] = []

    async def one(name: str) -> None:
        await turns.take(name)
        order.append(name)
        await asyncio.sleep(0)
        turns.give_back(name)

    async def everything() -> None:
        await asyncio.gather(*(one(name) for name, number in requests for _ in range(number)))

    asyncio.run(everything())
    return order


def test_one_upload_comes_before_the_hundred_of_another_person() -> None:
    order = run(Turns(3, 2), [("alice", 100), ("bob", 1)])
    assert order.index("bob") <= 2
    assert order.count("alice") == 100


def test_people_alternate() -> None:
    order = run(Turns(1, 1), [("alice", 30), ("bob", 3), ("carol", 3)])
    for name in ("bob", "carol"):
        places = [place for place, one in enumerate(order) if one == name]
        assert all(place <= 3 * (number + 1) for number, place in enumerate(places)), order


def test_a_slot_is_always_left_for_another_person() -> None:
    async def scenario() -> None:
        turns = Turns(3, 2)
        waiting = [asyncio.create_task(turns.take("alice")) for _ in range(5)]
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, True, False, False, False]
        await asyncio.wait_for(turns.take("bob"), 1)
        for task in waiting[2:]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        turns.give_back("alice")
        turns.give_back("alice")
        turns.give_back("bob")
        # Requests that were canceled hold no slot.
        for name in ("carol", "carol", "dave"):
            await asyncio.wait_for(turns.take(name), 1)

    asyncio.run(scenario())
