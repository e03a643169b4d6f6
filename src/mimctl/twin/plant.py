"""The site's physics: loads, MIMs and the network between them, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.network import FlowResult, PowerNetwork
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.twin.firmware import MimFleet
from mimctl.twin.harmonics import HarmonicFlow, Harmonics
from mimctl.twin.instruments import Instruments
from mimctl.twin.islands import Islands
from mimctl.twin.loads import LoadSet
from mimctl.twin.terminals import port_terminals
from mimctl.twin.transfers import Switches


@dataclass(frozen=True, slots=True, eq=False)
class PlantState:
    """Everything true at one instant. N nodes, K ports, M MIMs, L loads; phasors are rms, angles referred to L1 of the head.

    Args:
        t_s: the instant.
        flow: voltages, currents and net imports of the nodes.
        load_va: (L,) power of each load.
        node_load_va: (N, 3) own load of each node at its phase terminals, line-to-line loads by nominal shares.
        port_va: (K,) what the ports deliver, injection positive.
        port_voltage_v: (K,) rms voltage across each port.
        mim_loss_w: (M,) conversion losses.
    """

    t_s: float
    flow: FlowResult
    load_va: ComplexArray
    node_load_va: ComplexArray
    port_va: ComplexArray
    port_voltage_v: FloatArray
    mim_loss_w: FloatArray

    @property
    def voltage_v(self) -> ComplexArray:
        """(N, 3) phasors, phase to neutral [V]"""
        return self.flow.voltage_v

    @property
    def current_a(self) -> ComplexArray:
        """(N, 3) phasors of what enters each node from its parent [A]"""
        return self.flow.current_a

    @property
    def flow_va(self) -> ComplexArray:
        """(N, 3) net import, load positive [VA]"""
        return self.flow.flow_va

    @property
    def loss_w(self) -> float:
        """Lost in cables and transformers [W]."""
        return float(self.flow.loss_w)


class Plant:
    """Loads and MIMs advance in time; the network is solved when somebody looks.

    Args:
        fleet: the MIMs; None = the same site without them.
    """

    def __init__(self, layout: SiteLayout, loads: LoadSet, *, fleet: MimFleet | None, network: PowerNetwork | None = None) -> None:
        self.layout, self.loads, self.fleet = layout, loads, fleet
        self._network = network or PowerNetwork(layout)
        self._ports = port_terminals(layout)
        self._harmonics = Harmonics(layout, loads)
        self._nothing = np.zeros(len(layout.ports), dtype=np.complex128)
        #: (N,) how many faults keep each node, and with it everything below, without voltage
        self._cuts = np.zeros(len(layout.nodes), dtype=np.int64)
        #: of the grid now [Hz]
        self.frequency_hz = layout.site.frequency_hz
        #: (N,) nodes without voltage
        self.dead: BoolArray = np.zeros(len(layout.nodes), dtype=np.bool_)
        self.switches = Switches(layout, self.cut, self.restore, lambda: self.frequency_hz)
        self.instruments = Instruments(layout, layout.site.twin.seed)
        #: buses that MIMs form; None where no island is described
        self.islands: Islands | None = None
        if fleet is not None and layout.site.islands:
            self.islands = Islands(layout, fleet, self.switches, self._cuts, self)
            self.switches.blocked = self.islands.blocks
        self._t_s = 0.0
        self._state: PlantState | None = None
        self._power: ComplexArray | None = None
        self._distortion: tuple[PlantState, HarmonicFlow] | None = None

    @property
    def t_s(self) -> float:
        return self._t_s

    def advance_to(self, t_s: float) -> None:
        """Let time pass; no power flow is made."""
        if t_s < self._t_s:
            raise ValueError(f"time cannot go back from {self._t_s} to {t_s}")
        self._t_s = t_s
        if self.fleet is not None:
            self.fleet.advance_to(t_s)

    def cut(self, node: int) -> None:
        """Open the breaker of a node: its loads and everything below are gone, the MIMs there stand on a dead bus."""
        if self.islands is not None:
            self.islands.opens(node)
        self._cuts[node] += 1
        self.supply()

    def restore(self, node: int) -> None:
        """Close it again."""
        if self.islands is not None:
            self.islands.closes(node)
        self._cuts[node] -= 1
        self.supply()

    @property
    def node_frequency_hz(self) -> FloatArray | float:
        """(N,) where MIMs form buses, else that of the mains [Hz]."""
        return self.frequency_hz if self.islands is None else self.islands.frequency_hz(self.frequency_hz)

    def supply(self) -> None:
        """Tell loads and MIMs which nodes have lost their voltage and which have it back."""
        before, now = self.dead, np.logical_or.reduce(self.layout.below[self._cuts > 0], axis=0)
        if self.islands is not None:
            now = self.islands.relieved(now)
        self.dead = now
        self.loads.switch(~now)
        self._state = None
        if self.fleet is None:
            return
        for k, node in enumerate(self.layout.port_node):
            m = int(self.layout.port_mim[k])
            if now[node] and not before[node]:
                self.fleet.lose_supply(m)
            elif before[node] and not now[node]:
                self.fleet.regain_supply(m)

    def solve(self) -> PlantState:
        """The state of this instant; worked out once.

        Raises:
            PowerFlowFailed: the loads are more than the network can carry.
        """
        power = self._injection()
        if self._state is None or self._state.t_s != self._t_s or self._power is not power:
            self._state, self._power = self._solve(power), power
        return self._state

    def harmonics(self) -> HarmonicFlow:
        """Harmonic currents and voltages of this instant; worked out once, and only when asked for."""
        state = self.solve()
        if self._distortion is None or self._distortion[0] is not state:
            filtering = None if self.fleet is None else self.fleet.filtering()
            self._distortion = (state, self._harmonics.solve(state.load_va, self._alive_v(state), state.current_a, filtering))
        return self._distortion[1]

    def _alive_v(self, state: PlantState) -> ComplexArray:
        """(N, 3) voltages that harmonics can be held against: nominal ones where there is none, for no load draws any there."""
        if not self.dead.any():
            return state.voltage_v
        nominal = self.layout.voltage_ln_v[:, None] * np.array(self.layout.site.rotation.unit_voltages)
        return np.where(self.dead[:, None], nominal, state.voltage_v)

    @property
    def neutral_a(self) -> FloatArray:
        """(N,) rms neutral current of this instant, triplen harmonics included [A]"""
        return self.harmonics().neutral_a

    def _injection(self) -> ComplexArray:
        if self.fleet is None:
            return self._nothing
        if self.islands is not None and self.islands.formed:
            self.islands.carry(self._drawn)
        return self.fleet.inject_va

    def _drawn(self) -> ComplexArray:
        """(N, 3) what loads and MIMs draw at each node, those left out that form a bus [VA]."""
        if self.fleet is None:
            return self._net(self._nothing)
        forming = self.fleet.formers.forming[self.layout.port_mim]
        return self._net(np.where(forming, 0.0, self.fleet.inject_va))

    def _net(self, injection: ComplexArray) -> ComplexArray:
        return self.loads.terminals.nominal_power(self.loads.at(self._t_s)) - self._ports.nominal_power(injection)

    def _solve(self, injection: ComplexArray) -> PlantState:
        load = self.loads.at(self._t_s)
        at_loads, at_ports = self.loads.terminals, self._ports
        phase = at_loads.phase_power(load) - at_ports.phase_power(injection)
        pair = _difference(at_loads.pair_power(load), at_ports.pair_power(injection))
        formed = self.islands if self.islands is not None and self.islands.formed else None
        if formed is not None:  # the network has no part in what is cut off
            grid = ~formed.nodes()[:, None]
            phase, pair = phase * grid, None if pair is None else pair * grid
        flow = self._network.solve(phase, pair)
        if self.dead.any():
            flow = _without(flow, self.dead)
        if formed is not None:
            flow = formed.flow(flow, self._net(injection))
        port_voltage_v = at_ports.voltage(flow.voltage_v)
        if self.fleet is not None:
            self.fleet.observe(port_voltage_v)
        return PlantState(
            t_s=self._t_s,
            flow=flow,
            load_va=load,
            node_load_va=at_loads.nominal_power(load),
            port_va=injection,
            port_voltage_v=port_voltage_v,
            mim_loss_w=np.zeros(len(self.layout.mims)) if self.fleet is None else self.fleet.mim_loss_w,
        )


def _without(flow: FlowResult, dead: BoolArray) -> FlowResult:
    """The same where nodes have no voltage: nothing flows, not even what their transformers draw by themselves."""
    alive = ~dead[:, None]
    return FlowResult(flow.voltage_v * alive, flow.current_a * alive, flow.flow_va * alive, flow.branch_loss_w * ~dead)


def _difference(load: ComplexArray | None, injection: ComplexArray | None) -> ComplexArray | None:
    if injection is None:
        return load
    return -injection if load is None else load - injection
