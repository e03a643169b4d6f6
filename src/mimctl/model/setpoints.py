"""How a device is commanded: which registers take which part of a command, in which order, and what it does in silence.

One description serves a micro-inverter that takes everything in one frame, a vendor's battery inverter with one register per
phase, and a SunSpec inverter with reversion timers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.points import PointSpec, ReadBlock
from mimctl.model.site import ExpiryAction


class Role(StrEnum):
    """What part of a command a register takes."""

    ACTIVE = "active_power"
    REACTIVE = "reactive_power"
    DIRECTION = "direction"
    SWITCH = "switch"
    EXPIRY = "expiry_action"
    VALIDITY = "validity"
    HEARTBEAT = "heartbeat"
    SEQUENCE = "sequence"
    HARMONIC_SHARE = "harmonic_share"
    HARMONIC_ORDERS = "harmonic_orders"


#: what a device holds as long as nobody else writes to it and it does not fall back by itself
WATCHED = (Role.ACTIVE, Role.REACTIVE, Role.DIRECTION, Role.SWITCH)


@dataclass(frozen=True, slots=True)
class CommandPoint:
    """One register of a command.

    Args:
        port: from 0, for ACTIVE, REACTIVE, DIRECTION and the two HARMONIC roles. Those are optional: a device that shows no value
            there has no filter, and is never told a share.
        magnitude: an ACTIVE register that takes the size alone; a DIRECTION register says the rest.
        codes: DIRECTION: words for inject, absorb and idle. SWITCH: words for on and off (or on alone, where the device keeps
            the setting). HEARTBEAT: the two words that take turns; none = it counts.
        expiry_codes: EXPIRY: what the device understands.
        readable: the register can be read back.
        persistent: each write wears a memory cell; the write policy's daily budget counts it.
        single: written by function 6, alone.
        always: written with every command and every sign of life, also where the device has the word already.
    """

    point: PointSpec
    role: Role
    port: int = 0
    magnitude: bool = False
    codes: tuple[int, ...] = ()
    expiry_codes: tuple[tuple[ExpiryAction, int], ...] = ()
    readable: bool = True
    persistent: bool = False
    single: bool = False
    always: bool = False


class Failsafe(StrEnum):
    """What brings a device to its safe state when nobody commands it any more."""

    NONE = "none"
    REVERSION = "reversion"
    HEARTBEAT = "heartbeat"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How often and how finely a device may be written.

    Args:
        min_interval_s: between two commands [s].
        deadband_w, deadband_var: smaller changes are not written [W], [var].
        daily_budget: writes of persistent registers in one day (UTC); None where there are none.
    """

    min_interval_s: float = 0.0
    deadband_w: float = 0.0
    deadband_var: float = 0.0
    daily_budget: int | None = None


@dataclass(frozen=True, slots=True)
class FormMap:
    """Where form mode of a device stands; what only some devices have.

    Args:
        validity, voltage, frequency, angle: what is formed, and for how long without a sign of life.
        mode: 0 ends form mode, 1 begins it when `sequence` changes.
        heartbeat, sequence: counters.
        state: a read that holds all of them and their scale factors.
        command: registers that one write must carry.
    """

    validity: PointSpec
    voltage: PointSpec
    frequency: PointSpec
    angle: PointSpec
    mode: PointSpec
    heartbeat: PointSpec
    sequence: PointSpec
    state: ReadBlock
    command: ReadBlock


@dataclass(frozen=True, slots=True)
class MimMap:
    """Where the commands of a device stand.

    Args:
        ports: AC ports that the device has.
        commands: in the order in which they are written: values and reversion first, what enables them last.
        state: reads that hold every readable command register and their scale factors; made on connect and to read back.
        command: registers that one write must carry, so that a command is taken as a whole; None = written in order, registers
            that follow each other in one frame.
        keepalive: what is written to prove that the controller lives, while the setpoints stand.
        failsafe: how the device notices silence. NONE: it never does.
        failsafe_s: how long it waits, where that cannot be set [s].
        silent_action: what it does then, where that cannot be set; None = not known, or set by the command.
        form: how it is told to form a bus; None = it cannot.
    """

    ports: int
    commands: tuple[CommandPoint, ...]
    state: tuple[ReadBlock, ...]
    command: ReadBlock | None = None
    keepalive: tuple[Role, ...] = (Role.ACTIVE, Role.REACTIVE)
    failsafe: Failsafe = Failsafe.NONE
    failsafe_s: float | None = None
    silent_action: ExpiryAction | None = None
    policy: WritePolicy = WritePolicy()
    form: FormMap | None = None

    def of(self, *roles: Role) -> Iterator[CommandPoint]:
        """The commands that play one of these roles, in the order of writing."""
        return (c for c in self.commands if c.role in roles)

    def _first(self, role: Role) -> PointSpec | None:
        return next((c.point for c in self.of(role)), None)

    def _by_port(self, role: Role) -> tuple[PointSpec | None, ...]:
        found = {c.port: c.point for c in reversed(list(self.of(role)))}
        return tuple(found.get(port) for port in range(self.ports))

    @property
    def setpoint_w(self) -> tuple[PointSpec | None, ...]:
        """One per port; None: the port takes no active power."""
        return self._by_port(Role.ACTIVE)

    @property
    def setpoint_var(self) -> tuple[PointSpec | None, ...]:
        """One per port; None: the port takes no reactive power."""
        return self._by_port(Role.REACTIVE)

    @property
    def heartbeat(self) -> PointSpec | None:
        return self._first(Role.HEARTBEAT)

    @property
    def sequence(self) -> PointSpec | None:
        return self._first(Role.SEQUENCE)

    @property
    def expiry_action(self) -> PointSpec | None:
        return self._first(Role.EXPIRY)

    @property
    def validity(self) -> PointSpec | None:
        return self._first(Role.VALIDITY)

    @property
    def enable(self) -> PointSpec | None:
        """The last switch: what puts the values in force."""
        switches = list(self.of(Role.SWITCH))
        return switches[-1].point if switches else None

    @property
    def expiry_codes(self) -> tuple[tuple[ExpiryAction, int], ...]:
        """The expiry actions that can be set; empty where none can."""
        return next((c.expiry_codes for c in self.of(Role.EXPIRY)), ())

    @property
    def has_persistent(self) -> bool:
        return any(c.persistent for c in self.commands)
