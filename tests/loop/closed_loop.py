"""The controller in a closed loop with the plant, in virtual time: what a test drives step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tests.builders import START, rack_site

from mimctl.balance.optimum import OptimumSolver
from mimctl.control.events import EventLog
from mimctl.control.site_controller import SiteController, build_site_controller
from mimctl.control.zone import ZoneController
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.node import Cable
from mimctl.model.site import LossModel, Site, TwinLoad, TwinSpec
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant

#: uneven racks: (node, connection, W)
LOADS = (
    ("rack1", "L1", 3000),
    ("rack1", "L2", 1200),
    ("rack1", "L3", 700),
    ("rack2", "L1", 2600),
    ("rack2", "L2", 900),
    ("rack2", "L3", 1900),
    ("rack3", "L1", 1500),
    ("rack3", "L2", 2200),
    ("rack3", "L3", 400),
)


def uneven_site(racks: int = 3, *, load_noise_pct: float = 0.0, meter_noise_pct: float = 0.0) -> Site:
    """feed → pdu → racks with cables, MIM losses, and the uneven loads above; no noise unless asked for."""
    site = rack_site(racks)
    loads = tuple(TwinLoad(n, c, float(w), power_factor=0.97) for n, c, w in LOADS if int(n[4:]) <= racks)  # type: ignore[arg-type]
    from mimctl.model.connection import Connection

    loads = tuple(replace(load, connection=Connection(load.connection)) for load in loads)
    twin = TwinSpec(loads=loads, load_noise_pct=load_noise_pct, meter_noise_pct=meter_noise_pct)
    nodes = tuple(replace(n, cable=Cable(0.01, 0.004, 0.01, 0.004)) if n.parent else n for n in site.nodes)
    mims = tuple(replace(m, losses=LossModel(5.0, 0.015, 0.0)) for m in site.mims)
    return replace(site, twin=twin, nodes=nodes, mims=mims)


@dataclass
class SteppedLoads:
    """Loads that a test sets by hand."""

    loads: tuple[TwinLoad, ...]
    power_va: ComplexArray

    def at(self, t_s: float) -> ComplexArray:
        return self.power_va


@dataclass(eq=False)
class ClosedLoop:
    """One site, its plant and its controllers.

    Args:
        delay_cycles: how many cycles old measurements are.
        reality: what really stands there, where the site file is wrong about it.
    """

    site: Site
    step_s: float = 1.0
    delay_cycles: int = 1
    reality: Site | None = None
    clock: VirtualClock = field(init=False)
    controller: SiteController = field(init=False)
    objectives: list[float] = field(default_factory=list)
    setpoints: list[ComplexArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout = SiteLayout(self.site)
        self.operators = TreeOperators(self.layout)
        self.clock = VirtualClock(START)
        watts = np.array([load.typical_w for load in self.site.twin.loads])
        self.source = SteppedLoads(self.site.twin.loads, watts * (1 + 0.25j))
        self.loads = LoadSet(self.layout, self.source, step_s=self.step_s)
        real = self.layout if self.reality is None else SiteLayout(self.reality)
        self.fleet = MimFleet(real)
        self.plant = Plant(real, self.loads, fleet=self.fleet)
        self.group = PlantDriverGroup(self.plant, delay_cycles=self.delay_cycles)
        self.events = EventLog(self.clock)
        self.controller = build_site_controller(self.site, [self.group], self.clock, self.events, cycle_s=self.step_s)

    async def run(self, steps: int) -> None:
        """So many cycles; the objective is taken in the middle of each."""
        for _ in range(steps):
            now_s = self.clock.monotonic_s()
            self.plant.advance_to(now_s)
            self.group.capture(now_s)
            await self.control(now_s)
            self.setpoints.append(self.setpoint_va())
            self.plant.advance_to(now_s + self.step_s / 2)
            self.objectives.append(self.objective())
            self.clock.advance_to(now_s + self.step_s)

    async def control(self, now_s: float) -> None:
        """What the controllers do in one cycle."""
        for zone in self.controller.zones:
            await zone.step()

    def setpoint_va(self) -> ComplexArray:
        """(K,) what the devices were last told, in the order of the whole site."""
        return self.whole_va((zone, zone.cycle.dispatcher.held.setpoint_va) for zone in self.controller.zones)

    def whole_va(self, parts: Iterable[tuple[ZoneController, ComplexArray]]) -> ComplexArray:
        """(K,) values of the zones' ports in the order of the whole site; zero where there is none."""
        whole = np.zeros(len(self.layout.ports), dtype=complex)
        for zone, values in parts:
            for m, mim in enumerate(zone.layout.mims):
                whole[self.layout.ports_of_mim[self.layout.mim_index[mim.id]]] = values[zone.layout.ports_of_mim[m]]
        return whole

    def objective(self) -> float:
        """Reported J of the plant now."""
        current = self.plant.solve().current_a
        return self._weighted(current)

    def without_control(self) -> float:
        """J of the same loads without MIMs, by the plant."""
        bare = Plant(self.layout, self.loads, fleet=None)
        bare.advance_to(self.plant.t_s)
        return self._weighted(bare.solve().current_a)

    def best(self, without: Sequence[str] = ()) -> float:
        """J of the optimum at the present loads, by the linear model, the named MIMs left out."""
        kept = tuple(m for m in self.site.mims if m.id not in without)
        operators = TreeOperators(SiteLayout(replace(self.site, mims=kept)))
        load = self.loads.node_load(self.plant.t_s)
        best = OptimumSolver(operators).solve(load, np.zeros(len(kept)))
        return self._weighted(operators.currents(operators.flow(load, best)))

    def travel_va(self, last: int) -> float:
        """Σ |change of setpoint| over the last so many cycles and all ports [VA]."""
        kept = np.array(self.setpoints[-last - 1 :])
        return float(np.abs(np.diff(kept, axis=0)).sum())

    def _weighted(self, current: ComplexArray) -> float:
        sequence = self.operators.sequence_currents(current)
        return float(node_objective(sequence, self.layout.rating_a) @ self.layout.omega)
