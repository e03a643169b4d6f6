"""The door hands requests to handlers that wait, and says whether something did not answer."""

import asyncio
import contextlib
import os
import pwd

import pytest
import structlog

from mimctl.model.errors import BadReply, LinkTimeout, MimctlError, Unreachable, UserError
from mimctl.service.door import Door, ask, somebody_listens


async def slow(request):
    await asyncio.sleep(0)
    return {"got": request["x"]}


async def silent(request):
    raise LinkTimeout("m", "no answer")


async def wrong(request):
    raise BadReply("m", "nonsense")


def refuses(request):
    raise UserError("no such device")


def broken(request):
    raise ValueError("a fault of its own")


async def broken_late(request):
    await asyncio.sleep(0)
    raise TimeoutError


def no_json(request):
    return object()


@contextlib.asynccontextmanager
async def door_at(path):
    handlers = {"slow": slow, "silent": silent, "wrong": wrong, "refuses": refuses, "peer": lambda request: request["peer"]}
    handlers |= {"broken": broken, "broken_late": broken_late, "no_json": no_json}
    door = Door(path, handlers)
    await door.open()
    try:
        yield
    finally:
        await door.close()


async def test_handlers_may_wait_and_errors_keep_their_kind(tmp_path):
    path = tmp_path / "d.sock"
    assert not somebody_listens(path)
    async with door_at(path):
        assert await asyncio.to_thread(somebody_listens, path)
        assert await asyncio.to_thread(ask, path, "slow", x=3) == {"got": 3}
        with pytest.raises(Unreachable, match="no answer"):
            await asyncio.to_thread(ask, path, "silent")
        for question, says in (("wrong", "nonsense"), ("refuses", "no such device")):
            with pytest.raises(MimctlError, match=says) as caught:
                await asyncio.to_thread(ask, path, question)
            assert not isinstance(caught.value, Unreachable)
    assert not somebody_listens(path)


@pytest.mark.parametrize(("question", "error"), [("broken", ValueError), ("broken_late", TimeoutError), ("no_json", TypeError)])
async def test_a_handler_that_fails_is_told_as_that_and_logged_with_where(tmp_path, question, error):
    path = tmp_path / "d.sock"
    with structlog.testing.capture_logs() as told:
        async with door_at(path):
            with pytest.raises(MimctlError, match="internal error") as caught:
                await asyncio.to_thread(ask, path, question)
            assert await asyncio.to_thread(ask, path, "slow", x=3) == {"got": 3}
    assert not isinstance(caught.value, Unreachable)
    (line,) = [line for line in told if line["log_level"] == "error"]
    assert line["ask"] == question
    assert isinstance(line["exc_info"], error)


async def test_whose_process_asks_is_told_by_the_kernel_and_not_by_the_request(tmp_path):
    path = tmp_path / "d.sock"
    async with door_at(path):
        told = await asyncio.to_thread(ask, path, "peer", peer={"user": "the president"})
    assert (told["pid"], told["uid"], told["user"]) == (os.getpid(), os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
