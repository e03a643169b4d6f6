"""One full control cycle without I/O: samples → SafePlan, and what of it is not the solve.

The samples of every cycle are new (loads drift by 1 %); the drivers hand them over from memory, and writes go nowhere. Columns:
`solve` is the balancing call, `rest` everything else up to the SafePlan (collect, analysis, forecast, bounds, judge), each as
the median over the cycles; dispatch stands beside them; `rest/solve` is the median of the ratios cycle by cycle. `RSS` is the
peak of a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from _measure import show
from balance import build_layout

from mimctl.control.events import EventLog
from mimctl.control.zone import build_zone
from mimctl.grid.tree import TreeOperators
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import FloatArray
from mimctl.model.link import Link, LinkType
from mimctl.model.protocols import Driver, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import BalanceRule, DeviceAddress, Meter, Site, Zone
from mimctl.service.logs import set_up
from mimctl.simulation.loads import DEFAULT_START

_METER_KEYS = tuple(f"{q}.{p}" for q in ("active_power", "reactive_power", "voltage", "current") for p in ("L1", "L2", "L3"))
_MIM_KEYS = (
    *(f"{q}.port{p}" for q in ("active_power", "reactive_power", "voltage") for p in (1, 2, 3)),
    "sequence_ack",
    "command_status",
)


def complete_site(mims: int, rng: np.random.Generator) -> Site:
    """The site of the balance benchmark with a meter at every node, one zone and one rule."""
    site = build_layout(mims, rng).site
    heads = tuple(node.id for node in site.nodes if node.parent is None)
    meters = tuple(Meter(f"meter-{node.id}", node.id, DeviceAddress("bench", 1)) for node in site.nodes)
    return replace(
        site,
        links=(Link("bench", LinkType.MODBUS_TCP, "127.0.0.1", 502),),
        meters=meters,
        zones=(Zone("zone", heads),),
        rules=(BalanceRule("balance", ("zone",)),),
    )


@dataclass(eq=False)
class MemoryDriver:
    """Answers from memory; as a MIM it obeys at once."""

    device: str
    clock: VirtualClock
    keys: tuple[str, ...]
    values: FloatArray

    def held(self) -> None: ...

    async def read(self) -> Sample:
        return Sample(self.device, self.clock.monotonic_s(), self.keys, self.values)

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


class Bench:
    def __init__(self, mims: int) -> None:
        rng = np.random.default_rng(mims)
        self.site = complete_site(mims, rng)
        self.clock = VirtualClock(DEFAULT_START)
        drivers = {
            m.id: MemoryDriver(m.id, self.clock, _METER_KEYS, np.concatenate([np.zeros(6), np.full(3, 230.0), np.zeros(3)]))
            for m in self.site.meters
        }
        mim_values = np.concatenate([np.zeros(6), np.full(3, 230.0), np.zeros(2)])
        drivers |= {m.id: MemoryDriver(m.id, self.clock, _MIM_KEYS, mim_values) for m in self.site.mims}
        self.drivers = drivers
        self.zone = build_zone(
            self.site, self.site.zones[0], [MemoryGroup("bench", drivers)], self.clock, EventLog(self.clock), cycle_s=1.0
        )
        self.operators = TreeOperators(self.zone.layout)
        racks = np.array([n.id.startswith("rack") for n in self.zone.layout.nodes])
        self.load = rng.uniform(1.0, 9.0, (len(racks), 3)) * 230.0 * racks[:, None] * (1 + 0.2j)
        self.rng = rng

    def measure_now(self) -> None:
        """What the meters see of the drifting loads and of what the MIMs put out."""
        layout = self.zone.layout
        output = self.zone.cycle.dispatcher.setpoint_va
        drift = 1 + 0.01 * self.rng.standard_normal(self.load.shape)
        flow = self.operators.flow(self.load * drift, output)
        for i, node in enumerate(layout.nodes):
            values = np.concatenate([flow[i].real, flow[i].imag, np.full(3, 230.0), np.abs(flow[i]) / 230.0])
            self.drivers[f"meter-{node.id}"].values = values

    async def run(self, cycles: int) -> list[dict[str, float]]:
        rounds = []
        for cycle in range(cycles + 3):
            self.clock.advance_to(float(cycle))
            self.measure_now()
            record = await self.zone.step()
            if cycle >= 3:
                rounds.append(dict(record.durations_s))
        return rounds


def one_size(mims: int, cycles: int) -> dict[str, object]:
    rounds = asyncio.run(Bench(mims).run(cycles))
    solve = [r["balance"] for r in rounds]
    rest = [sum(r.values()) - r["balance"] - r["dispatch"] for r in rounds]
    stages = {f"{name} ms": 1e3 * median(r[name] for r in rounds) for name in rounds[0] if name != "balance"}
    return {
        "MIMs": mims,
        "solve ms": 1e3 * median(solve),
        "rest ms": 1e3 * median(rest),
        "rest/solve": median(a / b for a, b in zip(rest, solve, strict=True)),
        **stages,
        "RSS MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="24,300,1000", help="MIMs, comma separated")
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    set_up("error")
    if options.one:
        sys.stdout.write(json.dumps(one_size(options.one, options.cycles)))
        return
    rows = []
    for size in options.sizes.split(","):  # a process each: the peak of one size is not that of the one before
        command = [sys.executable, __file__, "--one", size, "--cycles", str(options.cycles)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    show("cycle: samples → SafePlan, without I/O", rows, options.json)


if __name__ == "__main__":
    main()
