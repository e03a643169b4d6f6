"""The door hands requests to handlers that wait, and says whether something did not answer."""

import asyncio
import contextlib
import os
import pwd

import pytest

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


@contextlib.asynccontextmanager
async def door_at(path):
    handlers = {"slow": slow, "silent": silent, "wrong": wrong, "refuses": refuses, "peer": lambda request: request["peer"]}
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


async def test_whose_process_asks_is_told_by_the_kernel_and_not_by_the_request(tmp_path):
    path = tmp_path / "d.sock"
    async with door_at(path):
        told = await asyncio.to_thread(ask, path, "peer", peer={"user": "the president"})
    assert (told["pid"], told["uid"], told["user"]) == (os.getpid(), os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
