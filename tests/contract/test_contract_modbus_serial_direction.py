"""The direction of a two-wire bus is handed to the driver of the port, in the kernel's own words."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from rtu_device import FAST, PtyRtuDevice, good_read, spec_of

from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkDown
from mimctl.model.link import Parity, Rs485
from mimctl.wire import serial_direction
from mimctl.wire.modbus import ModbusLink

# linux/serial.h and asm-generic/ioctls.h
_TIOCGRS485, _TIOCSRS485 = 0x542E, 0x542F
_ENABLED, _RTS_ON_SEND, _RTS_AFTER_SEND, _RX_DURING_TX = 1, 2, 4, 16


@asynccontextmanager
async def line_of(rs485: Rs485 | None, *, local_echo: bool = False) -> AsyncIterator[ModbusLink]:
    """A link to a device behind a pseudo-terminal."""
    device = PtyRtuDevice(echoes=local_echo)
    await device.start()
    spec = spec_of(device, local_echo=local_echo)
    assert spec.serial is not None
    link = ModbusLink(replace(spec, serial=replace(spec.serial, parity=Parity.NONE, rs485=rs485)), SystemClock(), policy=FAST)
    try:
        await link.open()
        yield link
    finally:
        await link.close()
        await device.stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the driver is told: flags, delay before and after sending [ms]. A pseudo-terminal knows nothing of it."""
    told: list[list[int]] = []
    real = fcntl.ioctl

    def driver(fd: int, request: int, *args: Any) -> Any:
        if request not in (_TIOCGRS485, _TIOCSRS485):
            return real(fd, request, *args)
        if request == _TIOCSRS485:
            told.append(list(args[0])[:3])
        return 0

    monkeypatch.setattr(fcntl, "ioctl", driver)
    monkeypatch.setattr(serial_direction, "is_pseudo", lambda line: False)
    return told


@pytest.mark.parametrize(
    ("rs485", "told"),
    [
        pytest.param(Rs485(), [_ENABLED | _RTS_ON_SEND, 0, 0], id="high"),
        pytest.param(Rs485(rts_high_on_send=False), [_ENABLED | _RTS_AFTER_SEND, 0, 0], id="low"),
        pytest.param(Rs485(True, 0.029, 0.0011), [_ENABLED | _RTS_ON_SEND, 29, 2], id="delays, never shorter than asked for"),
    ],
)
async def test_the_driver_is_told_which_level_sends(asked: list[list[int]], rs485: Rs485, told: list[int]) -> None:
    async with line_of(rs485) as link:
        await good_read(link)
    assert asked == [told]


async def test_who_expects_an_echo_leaves_the_receiver_on(asked: list[list[int]]) -> None:
    async with line_of(Rs485(), local_echo=True) as link:
        await good_read(link)
    assert asked == [[_ENABLED | _RTS_ON_SEND | _RX_DURING_TX, 0, 0]]


async def test_nobody_is_told_anything_without_it(asked: list[list[int]]) -> None:
    async with line_of(None) as link:
        await good_read(link)
    assert asked == []


async def test_a_driver_that_cannot_do_it_keeps_the_link_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_direction, "is_pseudo", lambda line: False)
    async with line_of(Rs485()) as link:
        with pytest.raises(LinkDown, match=r"the driver of /dev/pts/\d+ cannot switch its direction: leave out 'rs485'"):
            await good_read(link)


async def test_a_twin_on_a_pseudo_terminal_serves_such_a_site_too() -> None:
    async with line_of(Rs485()) as link:
        await good_read(link)
