"""The closed loop with its levels: the site level on its own period, and any controller stopped at will."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from tests.builders import node, rack_site, three_port_mim
from tests.loop.closed_loop import ClosedLoop

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray
from mimctl.model.node import NodeKind
from mimctl.model.site import BalanceRule, Meter, Site, TwinLoad, TwinSpec, Zone

#: racks under one PDU
PER_PDU = 10


def zoned_hall(zones: int, *, seed: int = 1, port_va: float = 4000.0, upper_share: float = 0.6) -> Site:
    """feed → PDUs of ten racks → racks, each rack a zone of its own with uneven loads and a weak MIM; no noise, no losses.

    Args:
        upper_share: of the objective's weight that stands above the zones.
    """
    random = np.random.default_rng(seed)
    pdus = [f"pdu{i + 1}" for i in range(-(-zones // PER_PDU))]
    racks = [f"rack{i + 1}" for i in range(zones)]
    nodes = [node("feed", None, NodeKind.FEED, 630.0 * zones)]
    nodes += [node(name, "feed", NodeKind.PDU, 200.0 * PER_PDU) for name in pdus]
    nodes += [node(name, pdus[i // PER_PDU], rating_a=320.0) for i, name in enumerate(racks)]
    above = 1 + len(pdus)
    nodes = [replace(n, omega=upper_share / above if i < above else (1 - upper_share) / zones) for i, n in enumerate(nodes)]
    loads = tuple(
        TwinLoad(name, Connection(phase), float(watts), power_factor=0.97)
        for name in racks
        for phase, watts in zip(("L1", "L2", "L3"), random.uniform(4000, 26000, 3), strict=True)
    )
    return replace(
        rack_site(1),
        nodes=tuple(nodes),
        meters=tuple(Meter(f"m-{n.id}", n.id, DeviceAddress("gw", 1 + i)) for i, n in enumerate(nodes)),
        mims=tuple(three_port_mim(f"mim-{name}", name, 100 + i, port_va) for i, name in enumerate(racks)),
        zones=tuple(Zone(f"z{i + 1}", (name,)) for i, name in enumerate(racks)),
        rules=(BalanceRule("balance", tuple(f"z{i + 1}" for i in range(zones))),),
        twin=TwinSpec(loads=loads, load_noise_pct=0.0, meter_noise_pct=0.0),
    )


@dataclass(eq=False)
class LevelLoop(ClosedLoop):
    """Args:
    site_every: cycles between two site solves; None = the site level does not run.
    stopped: ids of zones that do not run.
    planned: J of the zones' plans together, cycle by cycle, by the linear model: before they are rounded to whole watts.
    """

    site_every: int | None = None
    stopped: set[str] = field(default_factory=set)
    planned: list[float] = field(default_factory=list)
    _cycles: int = 0

    async def control(self, now_s: float) -> None:
        for zone in self.controller.zones:
            if zone.id not in self.stopped:
                await zone.step()
        if self.site_every is not None and self._cycles % self.site_every == 0:
            await self.controller.solve_site()
        self._cycles += 1
        load = self.loads.node_load(now_s)
        self.planned.append(self._weighted(self.operators.currents(self.operators.flow(load, self._plans_va()))))

    def _plans_va(self) -> ComplexArray:
        """(K,) what the zones planned last; zero for those that are stopped."""
        last = ((zone, zone.cycle.last) for zone in self.controller.zones if zone.id not in self.stopped)
        return self.whole_va((zone, cycle.plan.inject_w + 1j * cycle.plan.inject_var) for zone, cycle in last if cycle is not None)
