"""The service runs on uvloop where it is installed, and without it all the same."""

import asyncio
import importlib.util
import sys

import pytest

from mimctl.service import event_loop


async def kind():
    return type(asyncio.get_running_loop()).__module__.split(".")[0]


def test_without_the_extra_it_is_asyncios_own(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(event_loop, "find_spec", lambda name: None if name == "uvloop" else found(name))
    assert event_loop.loop_factory() is None
    assert event_loop.run(kind()) == "asyncio"


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows")
def test_with_the_extra_it_is_uvloop():
    pytest.importorskip("uvloop")
    assert event_loop.run(kind()) == "uvloop"
