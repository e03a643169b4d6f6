"""The direction of a two-wire bus, switched by the driver of the serial port.

Only the driver can do it: it knows when the last bit has left. A program that waits for that and then switches RTS itself is late
by whatever else the machine has to do, and the first bytes of the answer are lost.
"""

from __future__ import annotations

import math
import os
from typing import Any

from serial.rs485 import RS485Settings

from mimctl.model.link import SerialLine


def is_pseudo(line: SerialLine) -> bool:
    """Whether the port is a pseudo-terminal (a twin, socat): it has neither parity nor RTS and refuses to be given them."""
    return os.path.realpath(line.device).startswith("/dev/pts/")


def switch_direction(port: Any, line: SerialLine, *, local_echo: bool) -> None:
    """Hand the direction of a bus over to the driver of an open port, where the line says so.

    Args:
        port: of pyserial.
        local_echo: the receiver stays on while sending, so whatever is sent is heard.

    Raises:
        OSError: the driver cannot do it.

    Reference: Linux kernel, Documentation/driver-api/serial/serial-rs485.rst (TIOCSRS485; delays are in milliseconds).
    """
    own = line.rs485
    if own is None or is_pseudo(line):
        return
    settings = RS485Settings(
        rts_level_for_tx=own.rts_high_on_send,
        rts_level_for_rx=not own.rts_high_on_send,
        loopback=local_echo,
        delay_before_tx=_whole_ms(own.delay_before_send_s),
        delay_before_rx=_whole_ms(own.delay_after_send_s),
    )
    try:
        port.rs485_mode = settings
    except (ValueError, NotImplementedError) as error:
        text = f"the driver of {line.device} cannot switch its direction: leave out 'rs485', and have the adapter do it"
        raise OSError(0, text) from error


def _whole_ms(delay_s: float) -> float:
    """Never shorter than asked for; pyserial cuts off what is below a millisecond, so it is given half of one more [s]."""
    ms = math.ceil(round(delay_s * 1000, 6))
    return (ms + 0.5) / 1000 if ms else 0.0
