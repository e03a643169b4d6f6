"""The queue of a link: urgency, order, several lanes, lanes that go down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mimctl.wire.modbus_queue import Lanes


@dataclass(eq=False)
class Lane:
    name: str
    connected: bool = True


async def use(lanes: Lanes[Lane], urgency: int, log: list[str], name: str, gate: asyncio.Event | None = None) -> None:
    lane = await lanes.acquire(urgency)
    log.append(f"{name}@{lane.name}")
    if gate is not None:
        await gate.wait()
    lanes.give_back(lane)


async def started(*coroutines):  # type: ignore[no-untyped-def]
    tasks = [asyncio.create_task(c) for c in coroutines]
    await asyncio.sleep(0)
    return tasks


async def test_urgent_ones_overtake_and_equals_keep_their_order() -> None:
    lanes, log, gate = Lanes([Lane("x")]), [], asyncio.Event()
    tasks = await started(
        use(lanes, 1, log, "first", gate), use(lanes, 1, log, "a"), use(lanes, 1, log, "b"), use(lanes, 0, log, "w")
    )
    gate.set()
    await asyncio.gather(*tasks)
    assert log == ["first@x", "w@x", "a@x", "b@x"]


async def test_each_lane_carries_one_at_a_time() -> None:
    lanes, log, gate = Lanes([Lane("x"), Lane("y")]), [], asyncio.Event()
    tasks = await started(*(use(lanes, 1, log, name, gate) for name in "abc"))
    assert log == ["a@x", "b@y"]
    gate.set()
    await asyncio.gather(*tasks)
    assert len(log) == 3


async def test_lane_that_is_down_is_left_out_while_another_is_up() -> None:
    down, up = Lane("down", connected=False), Lane("up")
    lanes, log, gate = Lanes([down, up]), [], asyncio.Event()
    tasks = await started(use(lanes, 1, log, "a", gate), use(lanes, 1, log, "b", gate))
    assert log == ["a@up"]
    down.connected = True
    lanes.pass_on()
    await asyncio.sleep(0)
    assert log == ["a@up", "b@down"]
    gate.set()
    await asyncio.gather(*tasks)


async def test_when_all_are_down_nobody_waits() -> None:
    lanes, log = Lanes([Lane("x", connected=False), Lane("y", connected=False)]), []
    await use(lanes, 1, log, "a")
    assert log == ["a@x"]


async def test_waiter_that_is_cancelled_with_its_turn_passes_it_on() -> None:
    lanes, log, gate = Lanes([Lane("x")]), [], asyncio.Event()
    first, second, third = await started(use(lanes, 1, log, "a", gate), use(lanes, 1, log, "b"), use(lanes, 1, log, "c"))
    gate.set()
    await first  # the turn is b's now, though b has not run yet
    second.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    assert log[-1] == "c@x"
