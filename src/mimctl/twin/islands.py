"""Buses that a MIM feeds by itself: what is connected to it, what it carries, and what goes wrong.

Behind the open breaker every node has the former's voltage: cables drop and lose nothing here. Nobody synchronises: whatever
closes on to a bus that is formed meets it out of phase, which counts as damage and trips the former.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mimctl.grid.network import FlowResult
from mimctl.model.connection import Connection
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout
from mimctl.model.transfer import TransferState
from mimctl.twin.firmware import MimFleet
from mimctl.twin.transfers import Switch, Switches

#: a load beyond a rating by this share is no overload
_ROUNDING = 1e-6


class Grid(Protocol):
    """The part of a plant that islands look at."""

    @property
    def dead(self) -> BoolArray: ...

    @property
    def t_s(self) -> float: ...

    def supply(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Formed:
    """One bus. `m` forms it from `node` on; voltages in per unit of nominal."""

    m: int
    node: int
    voltage_pu: float
    frequency_hz: float


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that must never happen, or that brought a bus down.

    Args:
        damage: two sources met out of phase, or the dead grid was fed.
    """

    t_s: float
    where: str
    text: str
    damage: bool


class Islands:
    """All formed buses of a plant. Implements `twin.formers.Bus`.

    Args:
        cuts: (N,) how many breakers are open right above each node.
    """

    def __init__(self, layout: SiteLayout, fleet: MimFleet, switches: Switches, cuts: IntArray, grid: Grid) -> None:
        self._layout, self._fleet, self._switches, self._cuts, self._grid = layout, fleet, switches, cuts, grid
        #: by the node that each bus begins at
        self.formed: dict[int, Formed] = {}
        self.mishaps: list[Mishap] = []
        self._units: ComplexArray = np.array(layout.site.rotation.unit_voltages)
        fleet.formers.bus = self

    @property
    def damages(self) -> list[Mishap]:
        """What should have been prevented."""
        return [mishap for mishap in self.mishaps if mishap.damage]

    # what formers ask

    def live(self, m: int) -> bool:
        """See `Bus.live`."""
        return not bool(self._grid.dead[self._layout.port_node[self._layout.ports_of_mim[m]]].all())

    def begin(self, m: int, voltage_v: float, frequency_hz: float) -> bool:
        """See `Bus.begin`."""
        layout = self._layout
        node = int(layout.port_node[layout.ports_of_mim[m].start])
        top = node
        while not self._cuts[top] and layout.parent[top] >= 0:
            top = int(layout.parent[top])
        switch = self._switches.at(top)
        if layout.parent[top] < 0 and (switch is None or switch.state is not TransferState.OPEN):
            self._note(top, f"{layout.mims[m].id} fed the grid back through {layout.nodes[top].id}", damage=True)
            return False
        self.formed[top] = Formed(m, node, voltage_v / float(layout.voltage_ln_v[node]), frequency_hz)
        self._grid.supply()
        return True

    def end(self, m: int) -> None:
        """See `Bus.end`."""
        for top in [top for top, bus in self.formed.items() if bus.m == m]:
            del self.formed[top]
            self._fleet.carry(m, None)
            self._grid.supply()

    # what breakers do

    def opens(self, node: int) -> None:
        """A breaker inside a bus opens: a former behind it has lost what it fed."""
        for top, bus in list(self.formed.items()):
            if top != node and self._layout.below[top, node] and self._layout.below[node, bus.node]:
                self._trip(bus, top, "a breaker above the former has opened", damage=False)

    def closes(self, node: int) -> None:
        """The last open breaker above a bus closes."""
        bus = self.formed.get(node)
        if bus is not None and self._cuts[node] == 1:
            self._trip(bus, node, "its contactor closed out of phase on to a bus that is formed", damage=True)

    def blocks(self, switch: Switch) -> bool:
        """Whether a contactor has an interlock of its own that keeps it open while the bus has voltage."""
        return switch.node in self.formed and any(
            island.contactor == switch.device.id and island.reclose_s is None for island in self._layout.site.islands
        )

    def contactors_below(self, head: int) -> Iterator[Switch]:
        """Those of islands inside a feed, which open when the feed is lost."""
        names = {island.contactor for island in self._layout.site.islands}
        return (s for s in self._switches.devices if s.device.id in names and s.node != head and self._layout.below[head, s.node])

    # what follows from them

    def relieved(self, dead: BoolArray) -> BoolArray:
        """(N,) nodes without voltage, those with a former left out."""
        below = self._layout.below
        for top in self.formed:
            cutters = (self._cuts > 0) & below[top]
            cutters[top] = False
            dead = dead & ~(below[top] & ~np.logical_or.reduce(below[cutters], axis=0))
        return dead

    def frequency_hz(self, mains_hz: float) -> FloatArray | float:
        """(N,) of each node; the mains' own figure where nothing is formed [Hz]."""
        if not self.formed:
            return mains_hz
        hertz: FloatArray = np.full(len(self._layout.nodes), mains_hz)
        for top, bus in self.formed.items():
            hertz[self._layout.below[top]] = bus.frequency_hz
        return hertz

    def carry(self, net_va: Callable[[], ComplexArray]) -> None:
        """Have each former give what its bus draws now, or trip.

        Args:
            net_va: gives (N, 3) what loads and all MIMs but formers draw at each node [VA].
        """
        for top, bus in list(self.formed.items()):
            drawn = net_va()[self._inside(top)].sum(axis=0)
            ports = self._layout.ports_of_mim[bus.m]
            given = np.array([self._share(k, drawn) for k in range(ports.start, ports.stop)])
            why = self._too_much(bus.m, given, drawn)
            if why is None:
                self._fleet.carry(bus.m, given)
            else:
                self._trip(bus, top, why, damage=False)

    def flow(self, flow: FlowResult, net_va: ComplexArray) -> FlowResult:
        """The flow with the formed buses in it.

        Args:
            net_va: (N, 3) what loads and MIMs draw at each node, formers too [VA].
        """
        if not self.formed:
            return flow
        voltage, power = flow.voltage_v.copy(), flow.flow_va.copy()
        for top, bus in self.formed.items():
            inside = self._inside(top)
            nodes = np.flatnonzero(inside)
            nominal = self._layout.voltage_ln_v[nodes, None] * self._units
            voltage[nodes] = bus.voltage_pu * np.where(self._layout.phase_present[nodes], nominal, 0.0)
            for n in nodes:
                power[n] = net_va[self._layout.below[n] & inside].sum(axis=0)
        alive = np.abs(voltage) > 0
        current = np.conj(np.divide(power, voltage, out=np.zeros_like(power), where=alive))
        return replace(flow, voltage_v=voltage, flow_va=power, current_a=current)

    def nodes(self) -> BoolArray:
        """(N,) nodes of all formed buses."""
        found = np.zeros(len(self._layout.nodes), dtype=np.bool_)
        for top in self.formed:
            found |= self._inside(top)
        return found

    def _inside(self, top: int) -> BoolArray:
        return np.asarray(self._layout.below[top] & ~self._grid.dead)

    def _share(self, k: int, drawn: ComplexArray) -> complex:
        connection = self._layout.ports[k].connection
        return complex(drawn.sum() if connection is Connection.THREE_PHASE else drawn[connection.phases[0].column])

    def _too_much(self, m: int, given: ComplexArray, drawn: ComplexArray) -> str | None:
        """Why a MIM cannot carry so much; None where it can."""
        ports = self._layout.ports_of_mim[m]
        limit_va = self._fleet.limit_va[ports]
        three_phase = len(given) == 1
        size_va = np.array([3 * np.abs(drawn).max()]) if three_phase else np.abs(given)
        if (size_va > limit_va * (1 + _ROUNDING)).any():
            return f"overload: {size_va.max():.0f} VA of a rating of {limit_va.min():.0f} VA"
        least_w, most_w = self._fleet.storage_w(m)
        if not least_w <= float(given.real.sum()) <= most_w:
            return f"its storage gives {most_w:.0f} W, {given.real.sum():.0f} W were drawn"
        return None

    def _trip(self, bus: Formed, top: int, why: str, *, damage: bool) -> None:
        self._note(top, f"{self._layout.mims[bus.m].id} tripped: {why}", damage=damage)
        self._fleet.formers.end(bus.m)

    def _note(self, node: int, text: str, *, damage: bool) -> None:
        self.mishaps.append(Mishap(self._grid.t_s, self._layout.nodes[node].id, text, damage))
