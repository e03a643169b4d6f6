"""How patient a Zigbee bridge is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds and pauses [s].

    Args:
        first_s, most_s: pause after the first failed start, and after the hundredth.
        look_s: how often it looks which devices are not set up.
        command_s: longest wait for the answer to one attempt of a command; there are two.
        close_s: longest wait for the stick when it is let go.
        start_s: longest a start may take, and the set-up of one device.
        at_a_time: devices that are set up at the same time.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    look_s: float = 1.0
    command_s: float = 2.0
    close_s: float = 5.0
    start_s: float = 90.0
    at_a_time: int = 4
