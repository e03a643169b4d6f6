"""Golden vectors of commands: what a profile must write, frame by frame, worked out by hand from the device's documents."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.site import ExpiryAction


class StepKind(StrEnum):
    """What a controller does."""

    COMMAND = "command"
    KEEP_ALIVE = "keep_alive"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class ExpectedWrite:
    """One frame that must go out.

    Args:
        address: 0-based wire address of the first register.
        data: register bytes as they go over the wire.
        function: 16, or 6 for one register alone.
    """

    address: int
    data: bytes
    function: int = 16

    def __str__(self) -> str:
        return f"function {self.function}, {self.address}: {self.data.hex(' ', 2)}"


@dataclass(frozen=True, slots=True)
class CommandStep:
    """One thing that a controller does, and the frames that must come of it.

    Args:
        setpoints: (`active_power.port1` or the like, value) pairs, injection positive [W] or [var]; ports that are not named get 0.
        validity_s: how long the command stands without a sign of life [s].
        expiry: what the device is told to do then.
        writes: in order.
        refused: nothing may be written: it is outside of what the profile allows.
    """

    kind: StepKind
    setpoints: tuple[tuple[str, float], ...] = ()
    validity_s: float = 10.0
    expiry: ExpiryAction = ExpiryAction.ZERO
    writes: tuple[ExpectedWrite, ...] = ()
    refused: bool = False

    def powers(self, quantity: str, ports: int) -> tuple[float, ...]:
        """Of every port, in order; `active_power` [W] or `reactive_power` [var]."""
        wanted = dict(self.setpoints)
        return tuple(wanted.get(f"{quantity}.port{n + 1}", 0.0) for n in range(ports))


@dataclass(frozen=True, slots=True)
class CommandVector:
    """A device with some registers, and what a controller writes to it step by step.

    Args:
        image: (first address, register bytes) pairs as the device holds them at first; all others are 0.
    """

    name: str
    image: tuple[tuple[int, bytes], ...]
    steps: tuple[CommandStep, ...]
