"""A whole site in zones of twenty MIMs: its cycles and its site solve beside bare Clarabel solves of the same matrices."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import clarabel
import numpy as np
from _memory import MemoryDevices, lossless
from balance import RACKS_PER_PDU, build_layout
from scipy import sparse

from mimctl.balance.problem import Balancer
from mimctl.balance.solver import clarabel_cones, solver_settings
from mimctl.control.events import EventLog
from mimctl.control.site_controller import build_site_controller
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.link import Link, LinkType
from mimctl.model.site import BalanceRule, Meter, Site, Zone
from mimctl.simulation.loads import DEFAULT_START

PDUS_PER_ZONE = 2
MIMS_PER_ZONE = PDUS_PER_ZONE * RACKS_PER_PDU
#: rounds before anything is timed: the first solves set the structures up
_WARM = 3
#: rounds in which the cycles are timed alone, with the bare solves after them
_ALONE_SHARE = 0.5


def zoned_site(mims: int, rng: np.random.Generator) -> Site:
    """The site of the balance benchmark, evenly filled: each zone is two PDUs of ten racks under one transformer."""
    site = build_layout(mims, rng).site
    transformers = [node.id for node in site.nodes if node.transformer is not None]
    parents = {f"rack{r}": f"pdu{r // RACKS_PER_PDU}" for r in range(mims)}
    parents |= {f"pdu{p}": transformers[(p // PDUS_PER_ZONE) % len(transformers)] for p in range(mims // RACKS_PER_PDU)}
    zones = [f"zone{z}" for z in range(mims // MIMS_PER_ZONE)]
    heads = [tuple(f"pdu{PDUS_PER_ZONE * z + p}" for p in range(PDUS_PER_ZONE)) for z in range(len(zones))]
    return replace(
        site,
        nodes=lossless(replace(node, parent=parents.get(node.id, node.parent)) for node in site.nodes),
        links=(Link("bench", LinkType.MODBUS_TCP, "127.0.0.1", 502),),
        meters=tuple(Meter(f"meter-{node.id}", node.id, DeviceAddress("bench", 1)) for node in site.nodes),
        zones=tuple(Zone(name, own) for name, own in zip(zones, heads, strict=True)),
        rules=(BalanceRule("balance", tuple(zones)),),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """One call of ours and what Clarabel alone needs for the matrices of its solve, in time of the processor [s].

    Args:
        solve: a zone's balancing call alone.
        ours: up to the SafePlan, or the orders; `whole` with whatever comes after, of a zone the mean over all.
        bare: setting Clarabel up and solving; `again`: solving in a solver that stands.
    """

    solve: float
    ours: float
    whole: float
    bare: float
    again: float


def _bare_s(balancer: Balancer) -> tuple[float, float]:
    P, q, A, b, cones = balancer.last_matrices()
    P, A, settings = sparse.csc_matrix(P), sparse.csc_matrix(A), solver_settings(balancer.frame.settings.tolerance)
    started = time.process_time()
    solver = clarabel.DefaultSolver(P, q, A, b, clarabel_cones(cones), settings)
    solver.solve()
    set_up = time.process_time()
    solver.update(q=q, b=b, P=P.data)
    solver.solve()
    return set_up - started, time.process_time() - set_up


class ZonedSite:
    """The controllers of one site on devices in memory; loads drift by 1 % from cycle to cycle."""

    def __init__(self, mims: int) -> None:
        self.rng = np.random.default_rng(mims)
        self.site = zoned_site(mims, self.rng)
        self.clock = VirtualClock(DEFAULT_START)
        self.devices = MemoryDevices(self.site, self.clock)
        self.controller = build_site_controller(self.site, [self.devices.group], self.clock, EventLog(self.clock), cycle_s=1.0)
        layout = self.controller.layout
        self.operators = TreeOperators(layout)
        racks = np.array([node.id.startswith("rack") for node in layout.nodes])
        self.load = self.rng.uniform(1.0, 9.0, (len(racks), 3)) * 230.0 * racks[:, None] * (1 + 0.2j)
        self.collecting_s: list[float] = []
        self.nodes = tuple(node.id for node in layout.nodes)
        self.mims = tuple(mim.id for mim in layout.mims)

    def advance(self) -> None:
        """A second later: what the meters see of the loads now, and of what the MIMs put out."""
        self.clock.advance_to(self.clock.monotonic_s() + 1.0)
        output = np.concatenate([self.devices.mims[mim].values[:3] + 1j * self.devices.mims[mim].values[3:6] for mim in self.mims])
        drift = 1 + 0.01 * self.rng.standard_normal(self.load.shape)
        self.devices.measure(self.nodes, self.operators.flow(self.load * drift, output))

    async def compared_zones(self, *, together: bool) -> list[Compared]:
        """One cycle of each zone; then Clarabel alone solves what each of them has solved.

        Args:
            together: all zones are due at once, as in the service; else one whole cycle after another. Who waits for devices lets
                others decide, so what collecting takes by itself is told by the cycles before that ran one after another.
        """
        zones = self.controller.zones
        started = time.process_time()
        if together:
            records = await asyncio.gather(*(zone.step() for zone in zones))
        else:
            records = [await zone.step() for zone in zones]
        whole = (time.process_time() - started) / len(zones)
        found = []
        for zone, record in zip(zones, records, strict=True):
            stages = dict(record.durations_s)
            if together:
                stages["collect"] = median(self.collecting_s)
            else:
                self.collecting_s.append(stages["collect"])
            ours = sum(seconds for stage, seconds in stages.items() if stage != "dispatch")
            found.append(Compared(stages["balance"], ours, whole, *_bare_s(zone.cycle.cascade.balancer)))
        return found

    async def compared_site(self) -> Compared:
        started = time.process_time()
        await self.controller.solve_site()
        ours = time.process_time() - started
        return Compared(ours, ours, ours, *_bare_s(self.controller.level.balancer))

    async def together(self) -> tuple[float, float]:
        """All cycles, and the site solve beside them; how long the cycles, and how long the solve took [s].

        In time of the processor, both threads together: so long they take on one core of their own.
        """
        started = time.process_time()
        solved_s: list[float] = []

        async def solve() -> None:
            await self.controller.solve_site()
            solved_s.append(time.process_time() - started)

        beside = asyncio.create_task(solve())
        await asyncio.gather(*(zone.step() for zone in self.controller.zones))
        cycles_s = time.process_time() - started
        await beside
        return cycles_s, solved_s[0]


def _ratio(compared: Sequence[Compared], top: str, bottom: str) -> float:
    return median(getattr(c, top) / getattr(c, bottom) for c in compared)


async def _measured(mims: int, rounds: int) -> dict[str, object]:
    site = ZonedSite(mims)
    zones: list[Compared] = []
    alone: list[Compared] = []
    solves: list[Compared] = []
    sums: list[float] = []
    both: list[tuple[float, float]] = []
    for number in range(_WARM + rounds):
        site.advance()
        if number == _WARM:  # what was built stays: no collection looks at it again
            gc.collect()
            gc.freeze()
        if number < _WARM or number - _WARM < _ALONE_SHARE * rounds:
            one_by_one = await site.compared_zones(together=False)
            of_site = await site.compared_site()
            site.advance()
            of_zones = await site.compared_zones(together=True)
            if number >= _WARM:
                alone += one_by_one
                zones += of_zones
                solves.append(of_site)
                sums.append(sum(c.whole for c in of_zones))
        else:
            both.append(await site.together())
    return {
        "MIMs": mims,
        "zones": len(site.controller.zones),
        "cycle ms": 1e3 * median(c.ours for c in zones),
        "bare ms": 1e3 * median(c.bare for c in zones),
        "solve/bare": _ratio(zones, "solve", "bare"),
        "cycle/bare": _ratio(zones, "ours", "bare"),
        "one by one": _ratio(alone, "ours", "bare"),
        "cycle/re-solve": _ratio(zones, "ours", "again"),
        "+ dispatch": _ratio(zones, "whole", "bare"),
        "site ms": 1e3 * median(c.ours for c in solves),
        "site/bare": _ratio(solves, "ours", "bare"),
        "site/re-solve": _ratio(solves, "ours", "again"),
        "all cycles ms": 1e3 * median(sums),
        "beside the solve ms": 1e3 * median(cycles for cycles, _ in both),
        "worst ms": 1e3 * max(cycles for cycles, _ in both),
        "solve beside ms": 1e3 * median(solve for _, solve in both),
        "RSS MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def one_size(mims: int, rounds: int) -> dict[str, object]:
    """One row of the table."""
    return asyncio.run(_measured(mims, rounds))


def growth_exponent(rows: Sequence[dict[str, float]]) -> float:
    """Of the time of all cycles and one site solve in the number of MIMs: the slope of the line through the logarithms."""
    sizes = np.log([row["MIMs"] for row in rows])
    return float(np.polyfit(sizes, np.log([row["all cycles ms"] + row["site ms"] for row in rows]), 1)[0])
