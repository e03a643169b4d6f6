"""The capabilities that one room asks of another, each as small as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from mimctl.model.event import LinkNews
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import MimMap


@runtime_checkable
class Driver(Protocol):
    """One device. Raises link errors only (`model.errors.LinkError`)."""

    @property
    def device(self) -> str:
        """The device's id in the site file."""
        ...

    async def read(self) -> Sample:
        """One reading of everything the device tells."""
        ...


@dataclass(frozen=True, slots=True)
class MimCommand:
    """Setpoints of all ports of one MIM, applied together or not at all; injection positive.

    Args:
        inject_w, inject_var: one value per port, in the order of the site file [W], [var].
        validity_s: the device falls back to its expiry action when not refreshed for this long [s].
        reason: why it is written; goes to the log and the decision record.
        harmonics: one per port; None = what the device holds is left alone, for it may have no such registers.
    """

    inject_w: tuple[float, ...]
    inject_var: tuple[float, ...]
    validity_s: float
    reason: Reason
    harmonics: tuple[HarmonicShare, ...] | None = None


@dataclass(frozen=True, slots=True)
class HeldSetpoint:
    """What an enabled device holds in its command registers, one value per port; injection positive [W], [var].

    Args:
        kept: a command was so small a change that it was not written, and this is what stood before.
        harmonics: what it compensates; None where it has no filter.
    """

    inject_w: tuple[float, ...]
    inject_var: tuple[float, ...]
    kept: bool = False
    harmonics: tuple[HarmonicShare, ...] | None = None


@runtime_checkable
class MimDriver(Driver, Protocol):
    """A device with setpoints. Only `control.dispatch` calls these."""

    def held(self) -> HeldSetpoint | None:
        """What the device was found to hold when last asked; None where it is disabled or that is not known."""
        ...

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        """Write the setpoints in one atomic step, with a new sequence number and a fresh heartbeat.

        Returns:
            What the device holds now: rounded to its registers, and what it held before where the change is too small to write.

        Raises:
            WriteHeld: its write policy forbids the command now; the setpoint before stays, and was kept alive where it is ours.
        """
        ...

    async def refresh(self) -> None:
        """Prove that the controller lives: the setpoints in force stay valid for another `validity_s`."""
        ...

    async def release(self, reason: Reason) -> None:
        """Bring the device to its safe state: zero setpoints, disabled."""
        ...


@dataclass(frozen=True, slots=True)
class FormCommand:
    """What one MIM makes of the bus at its ports.

    Args:
        voltage_ln_v: line to neutral, rms [V].
        frequency_hz: [Hz]
        angle_deg: of L1 when it begins [°].
        validity_s: it ends by itself when it hears nothing for this long [s].
        reason: why; goes to the log and the decision record.
    """

    voltage_ln_v: float
    frequency_hz: float
    angle_deg: float
    validity_s: float
    reason: Reason


@runtime_checkable
class Former(Protocol):
    """A MIM with a form mode. Only `control.dispatch` calls these; `MimDriver.release` ends it, and is the safe state."""

    @property
    def can_form(self) -> bool | None:
        """Whether it has the registers for it; None until it has answered once."""
        ...

    async def form(self, command: FormCommand) -> None:
        """Begin. A device that follows setpoints, or sees voltage at its ports, does not."""
        ...

    async def keep_forming(self) -> None:
        """Prove that the controller lives; it begins nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ForeignWrite:
    """Our command went out of force without our doing: somebody else commands the device, or it restarted or fell back by itself.

    Args:
        seen_at_s: monotonic [s]
        reads: what its command registers held then; none where a command's number tells that it is not ours.
        sure: it was somebody else; False: the device may have done it by itself.
        idle: it was found switched off, or with every setpoint at zero: nothing is in force.
    """

    text: str
    seen_at_s: float
    reads: tuple[float | None, ...] = ()
    sure: bool = True
    idle: bool = False


@runtime_checkable
class Commanded(Protocol):
    """A device with setpoints in registers, which others may write too and whose failsafe its map tells."""

    @property
    def mim_map(self) -> MimMap | None:
        """How it is commanded; None until it has answered once."""
        ...

    @property
    def foreign_write(self) -> ForeignWrite | None:
        """How our last command went out of force without our doing; None while it stands."""
        ...


class Recall(StrEnum):
    """What is known of a setpoint that a controller before us may have left in a device."""

    #: `held` says it
    SETTLED = "settled"
    #: something is in force, and the device will tell
    ASKED = "asked"
    #: something is in force, and nobody will ever say what
    UNKNOWN = "unknown"


@runtime_checkable
class Recalls(Protocol):
    """A device that does not tell what it holds whenever it is read."""

    @property
    def recall(self) -> Recall: ...


@runtime_checkable
class ProvesLate(Protocol):
    """A device behind a medium that takes a release long before anybody knows whether it came."""

    @property
    def release_proven(self) -> bool:
        """Whether the device itself has shown that our last release, or nothing at all, is in force."""
        ...


class DriverGroup(Protocol):
    """The devices behind one link. Their requests queue behind each other; groups run side by side."""

    @property
    def link(self) -> str: ...

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """By device id. A driver with setpoints is also a `MimDriver`."""
        ...

    async def open(self) -> None:
        """Start keeping the link up. Returns at once: a link that is down now is not an error here."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class TellsNews(Protocol):
    """A group whose link does more than answer: things happen on it by themselves."""

    def take_news(self) -> Sequence[LinkNews]:
        """What happened since the last call."""
        ...

    def status(self) -> Mapping[str, object]:
        """How the link is, in plain values."""
        ...


@runtime_checkable
class Tended(Protocol):
    """A group, or what carries it, that tasks of its own keep up: they go on from `open` to `close`."""

    def background(self) -> Sequence[asyncio.Task[Any]]: ...


@runtime_checkable
class Wide(Protocol):
    """A group whose link carries several commands at a time: a radio waits more than it sends."""

    @property
    def at_a_time(self) -> int: ...
