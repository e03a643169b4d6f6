"""Devices that answer from memory: a bench of the control pays for no wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from mimctl.model.clock import VirtualClock
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.node import Node
from mimctl.model.protocols import Driver, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import Site

_NOMINAL_V = 230.0
_NEXT_TO_NONE_PCT = 1e-3
#: devices are read one after another, so many on each link
_EACH_S, _ON_A_LINK = 0.002, 50
_METER_KEYS = tuple(f"{q}.{p}" for q in ("active_power", "reactive_power", "voltage", "current") for p in ("L1", "L2", "L3"))
_MIM_KEYS = (
    *(f"{q}.port{p}" for q in ("active_power", "reactive_power", "voltage") for p in (1, 2, 3)),
    "sequence_ack",
    "command_status",
)


def lossless(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """What the meters show adds up without losses here, so no transformer may be described as having some."""
    ideal = ((n, n.transformer and replace(n.transformer, short_circuit_voltage_pct=_NEXT_TO_NONE_PCT)) for n in nodes)
    return tuple(replace(node, transformer=unit) for node, unit in ideal)


@dataclass(eq=False)
class MemoryDriver:
    """Answers from memory; as a MIM it obeys at once.

    Args:
        ago_s: how long before the cycle it was read: no two devices of a link are read at once [s].
    """

    device: str
    clock: VirtualClock
    keys: tuple[str, ...]
    values: FloatArray
    ago_s: float
    sample: Sample = field(init=False)

    def __post_init__(self) -> None:
        self.take()

    def held(self) -> None: ...

    def take(self) -> None:
        """Have a sample of what it shows now."""
        self.sample = Sample(self.device, self.clock.monotonic_s() - self.ago_s, self.keys, self.values)

    async def read(self) -> Sample:
        return self.sample

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        ports = len(command.inject_w)
        self.values = self.values.copy()
        self.values[:ports], self.values[ports : 2 * ports] = command.inject_w, command.inject_var
        return HeldSetpoint(command.inject_w, command.inject_var)

    async def refresh(self) -> None: ...

    async def release(self, reason: Reason) -> None: ...


@dataclass(eq=False)
class MemoryGroup:
    link: str
    drivers: Mapping[str, Driver] = field(default_factory=dict)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class MemoryDevices:
    """The meters and three-port MIMs of one site."""

    def __init__(self, site: Site, clock: VirtualClock) -> None:
        volts = np.full(3, _NOMINAL_V)
        meter, mim = np.concatenate([np.zeros(6), volts, np.zeros(3)]), np.concatenate([np.zeros(6), volts, np.zeros(2)])
        ago_s = (_EACH_S * (place % _ON_A_LINK) for place in count())
        self._meters = {m.node: MemoryDriver(m.id, clock, _METER_KEYS, meter, next(ago_s)) for m in site.meters}
        self.mims = {m.id: MemoryDriver(m.id, clock, _MIM_KEYS, mim, next(ago_s)) for m in site.mims}
        self.group = MemoryGroup("bench", {**{d.device: d for d in self._meters.values()}, **self.mims})

    def measure(self, nodes: tuple[str, ...], flow: ComplexArray) -> None:
        """The meters of these nodes show these net imports (N, 3) [VA]; every device has a sample of now, ready made."""
        for node, own in zip(nodes, flow, strict=True):
            values = np.concatenate([own.real, own.imag, np.full(3, _NOMINAL_V), np.abs(own) / _NOMINAL_V])
            self._meters[node].values = values
        for driver in (*self._meters.values(), *self.mims.values()):
            driver.take()
