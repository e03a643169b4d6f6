"""The settings of a serial line reach the port, and its silence is kept between two frames."""

from __future__ import annotations

import termios
from dataclasses import replace
from typing import Any

import pytest
from rtu_device import FAST, PtyRtuDevice, good_read, spec_of

from mimctl.model.clock import SystemClock
from mimctl.model.link import Parity, SerialLine
from mimctl.wire import rtu_connection
from mimctl.wire.modbus import ModbusLink

_CFLAG, _SPEED = 2, 4
_FRAME = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB


class Noting(SystemClock):
    """Notes how far ahead the link waits."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def sleep_until(self, monotonic_s: float) -> None:
        self.asked.append(monotonic_s - self.monotonic_s())
        await super().sleep_until(min(monotonic_s, self.monotonic_s() + 0.01))


@pytest.mark.parametrize(
    ("line", "speed", "frame", "silence_ms"),
    [
        # 10 bits a character: 3.5 of them take 3.646 ms at 9600 bit/s; 11 bits: 4.010 ms
        pytest.param(SerialLine("", 9600, Parity.NONE, 1), termios.B9600, termios.CS8, 3.646, id="9600 8N1"),
        pytest.param(SerialLine("", 9600, Parity.EVEN, 1), termios.B9600, termios.CS8 | termios.PARENB, 4.010, id="9600 8E1"),
        pytest.param(
            SerialLine("", 19200, Parity.ODD, 1),
            termios.B19200,
            termios.CS8 | termios.PARENB | termios.PARODD,
            2.005,
            id="19200 8O1",
        ),
        pytest.param(SerialLine("", 38400, Parity.NONE, 2), termios.B38400, termios.CS8 | termios.CSTOPB, 1.75, id="38400 8N2"),
    ],
)
async def test_settings_of_the_port(
    monkeypatch: pytest.MonkeyPatch, line: SerialLine, speed: int, frame: int, silence_ms: float
) -> None:
    """What is asked of the port's driver. A pseudo-terminal refuses a parity, so it is asked for without."""
    asked: list[list[Any]] = []
    real = termios.tcsetattr

    def noting(fd: int, when: int, to: list[Any]) -> None:
        asked.append(list(to))
        real(fd, when, [*to[:_CFLAG], to[_CFLAG] & ~(termios.PARENB | termios.PARODD), *to[_CFLAG + 1 :]])

    monkeypatch.setattr(termios, "tcsetattr", noting)
    monkeypatch.setattr(rtu_connection, "_parity_of", lambda line: line.parity)
    device, clock = PtyRtuDevice(), Noting()
    await device.start()
    asked.clear()
    spec = spec_of(device)
    link = ModbusLink(replace(spec, serial=replace(line, device=device.path)), clock, policy=FAST)
    await link.open()
    try:
        await good_read(link)
        clock.asked.clear()
        await good_read(link)
    finally:
        await link.close()
        await device.stop()
    assert [(to[_CFLAG] & _FRAME, to[_SPEED]) for to in asked][-1] == (frame, speed)
    assert link._gap_s == pytest.approx(silence_ms / 1000, rel=1e-3)
    assert max(clock.asked) <= silence_ms / 1000
