"""What somebody wants of a part of the site for a while: who, where, what, why, until when."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import ClassVar

from mimctl.model.errors import UserError


class LeaseSource(IntEnum):
    """Who speaks. Where two leases cannot both be met, the greater source wins."""

    OPTIMISER = 0
    TENANT = 1
    BMS = 2
    OPERATOR = 3
    MAINTENANCE = 4
    EMERGENCY_STOP = 5

    @property
    def word(self) -> str:
        """As requests, files and people write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Stop:
    """Emergency stop: every MIM of the site is released, no heartbeat is written."""

    kind: ClassVar[str] = "emergency_stop"

    def __str__(self) -> str:
        return "emergency stop"


@dataclass(frozen=True, slots=True)
class LockOut:
    """Every MIM of the scope is released and then left alone: somebody works there."""

    kind: ClassVar[str] = "lock_out"

    def __str__(self) -> str:
        return "locked out"


@dataclass(frozen=True, slots=True)
class Pause:
    """The scope is watched only: its MIMs are released and get no setpoint."""

    kind: ClassVar[str] = "pause"

    def __str__(self) -> str:
        return "paused"


@dataclass(frozen=True, slots=True)
class Cap:
    """Less than the ratings permit. At least one of the three.

    Args:
        max_va: |p + jq| of each port of the scope [VA].
        max_a: current: of each port where the scope is a port or a MIM, per phase through the breaker where it is a node [A].
        max_export_w: what may flow back out of each phase of a head [W per phase]; negative = so much must at least flow in.
    """

    kind: ClassVar[str] = "cap"
    max_va: float | None = None
    max_a: float | None = None
    max_export_w: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name in ("max_va", "max_a", "max_export_w") if (value := getattr(self, name)) is not None}
        if not given:
            raise UserError("a cap says max_va, max_a or max_export_w")
        for name, value in given.items():
            if not math.isfinite(value) or (value < 0 and name != "max_export_w"):
                raise UserError(f"{name} is a finite number{'' if name == 'max_export_w' else ', not negative'}, not {value:g}")

    def __str__(self) -> str:
        parts = ((self.max_va, "VA"), (self.max_a, "A"), (self.max_export_w, "W out of each phase"))
        return "at most " + ", ".join(f"{value:g} {unit}" for value, unit in parts if value is not None)


@dataclass(frozen=True, slots=True)
class Setpoint:
    """What the ports of one MIM are to give, injection positive.

    Args:
        power_va: one per port [VA]; None: the port is left to the solve, which keeps the MIM's balance with it.
    """

    kind: ClassVar[str] = "setpoint"
    power_va: tuple[complex | None, ...]

    def __post_init__(self) -> None:
        for number, power in enumerate(self.power_va, 1):
            if power is not None and not cmath.isfinite(power):
                raise UserError(f"port {number}: a setpoint is a finite number")
        if all(power is None for power in self.power_va):
            raise UserError("name at least one port")

    def __str__(self) -> str:
        ports = ((n, p) for n, p in enumerate(self.power_va, 1) if p is not None)
        return "set to " + ", ".join(f"{p.real:g} W {p.imag:+g} var at port {n}" for n, p in ports)


@dataclass(frozen=True, slots=True)
class Form:
    """One MIM sets voltage, frequency and phase of a bus that is cut off.

    Args:
        bus: node that the bus begins at: the one that its contactor supplies.
    """

    kind: ClassVar[str] = "form"
    bus: str

    def __str__(self) -> str:
        return f"forms the bus of {self.bus}"


Action = Stop | LockOut | Pause | Cap | Setpoint | Form

#: these stand until somebody ends them
ENDLESS = (Stop, LockOut)
#: what the two highest sources may say, and nobody else
_RESERVED: dict[type[Action], LeaseSource] = {Stop: LeaseSource.EMERGENCY_STOP, LockOut: LeaseSource.MAINTENANCE}
#: these command, and end with the run that was asked for them; everything else only takes away, and outlives it
OF_THE_RUN = (Setpoint, Form)


@dataclass(frozen=True, slots=True)
class Lease:
    """One wish, in force until it expires or is revoked.

    Args:
        id: short, unique in its site.
        owner: a person or a system, for those who read it.
        scope: id of a MIM, a port (`mim-1/2`, counted from 1), a link, a node (with all below it), a zone, or the site.
        expires_utc: by the wall clock; None = never, which only an emergency stop and a lock-out may say. How long a lease
            runs is measured on a monotonic clock: a step of the wall clock moves this, not the end.
    """

    id: str
    source: LeaseSource
    owner: str
    scope: str
    action: Action
    reason: str
    granted_utc: datetime
    expires_utc: datetime | None

    def __post_init__(self) -> None:
        wanted = _RESERVED.get(type(self.action))
        if wanted is not None and self.source is not wanted:
            raise UserError(f"{self.kind} is said by {wanted.word}, not by {self.source.word}")
        if wanted is None and self.source in _RESERVED.values():
            raise UserError(f"{self.source.word} says {' or '.join(t.kind for t, s in _RESERVED.items() if s is self.source)} only")
        if isinstance(self.action, Form):
            self._check_form()
        if self.expires_utc is None and not isinstance(self.action, ENDLESS):
            raise UserError(f"a {self.kind} needs an end: say for how long, like --for 2h")
        if self.expires_utc is not None and self.expires_utc <= self.granted_utc:
            raise UserError("a lease ends after it begins")

    def _check_form(self) -> None:
        if self.source is not LeaseSource.OPERATOR:
            raise UserError(f"a bus is formed by an operator's lease alone, not by one of {self.source.word}")
        if not self.reason.strip():
            raise UserError("say why a bus is to be formed: --reason 'feed A out for work'")

    @property
    def kind(self) -> str:
        return self.action.kind

    @property
    def length(self) -> timedelta | None:
        """How long it was granted for; None = for ever."""
        return None if self.expires_utc is None else self.expires_utc - self.granted_utc

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.scope} {self.action} by {self.owner} ({self.source.word}, lease {self.id}){why}"
