"""Tasks are ended, also those that lose a cancellation on the way, and never waited for without a bound."""

from __future__ import annotations

import asyncio

from mimctl.model.tasks import end_tasks, first_death


async def forever(cancellations_lost: int = 0) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if cancellations_lost == 0:
                raise
            cancellations_lost -= 1


async def started(*tasks: asyncio.Task[None]) -> tuple[asyncio.Task[None], ...]:
    await asyncio.sleep(0)
    return tasks


async def test_tasks_end():
    tasks = await started(asyncio.create_task(forever()), asyncio.create_task(forever()))
    await end_tasks(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_loses_a_cancellation_is_told_again():
    (task,) = await started(asyncio.create_task(forever(cancellations_lost=2)))
    await end_tasks(task, again_s=0.01)
    assert task.cancelled()


async def test_the_wait_of_the_library_loses_one_and_the_task_ends_all_the_same():
    """`asyncio.wait_for` gives the answer back when it comes in the turn of the cancellation."""
    answer = asyncio.get_running_loop().create_future()
    turns = 0

    async def ask_for_ever() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.wait_for(asyncio.shield(answer) if turns == 1 else asyncio.Event().wait(), 60.0)

    (task,) = await started(asyncio.create_task(ask_for_ever()))
    answer.set_result(None)
    await end_tasks(task, again_s=0.01)
    assert task.cancelled()


async def test_one_that_never_ends_is_said_and_left():
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    (task,) = await started(asyncio.create_task(forever(cancellations_lost=10), name="mule"))
    await end_tasks(task, again_s=0.01, within_s=0.05)
    assert not task.done()
    assert [("mule" in text, "0 s" in text) for text in told] == [(True, True)]
    await end_tasks(task, again_s=0.01)


async def test_how_a_task_ended_is_not_raised():
    async def fails() -> None:
        raise ValueError("of its own")

    (task,) = await started(asyncio.create_task(fails()))
    await end_tasks(task)
    assert isinstance(task.exception(), ValueError)


async def test_none_is_nothing_to_wait_for():
    await end_tasks()


async def test_the_first_that_died_is_named_and_those_that_go_on_are_not():
    going, dead = asyncio.create_task(forever(), name="one"), asyncio.create_task(asyncio.sleep(0), name="two")
    assert first_death((going, dead)) is None
    await dead
    died = first_death((going, dead))
    assert died is not None
    assert (died.task, died.how) == ("two", "has ended")
    await end_tasks(going)
