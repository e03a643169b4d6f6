"""What a MIM says of itself, as numbers in its registers."""

from __future__ import annotations

from enum import IntEnum


class CommandStatus(IntEnum):
    """What became of the last command."""

    OK = 0
    CLIPPED = 1
    REJECTED = 2
    REVERTED = 3


class Alarm(IntEnum):
    """Bits of the alarm word."""

    WATCHDOG_EXPIRED = 1
    DERATED = 2
    REBOOTED = 4
