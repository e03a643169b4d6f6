"""One full control cycle without I/O: samples → SafePlan, and what of it is not the solve.

The samples of every cycle are new (loads drift by 1 %); the drivers hand them over ready made, and writes go nowhere. Columns:
`solve` is the balancing call, `rest` everything else up to the SafePlan (collect, analysis, forecast, bounds, judge), each as
the median over the cycles; dispatch stands beside them; `rest/solve` is the median of the ratios cycle by cycle. `RSS` is the
peak of a process of its own.

All times are of the processor: with no I/O in them that is what they take on a core of their own.

The second table is the whole site in zones of twenty MIMs (`_zones.py`), on one core. `cycle` is samples → SafePlan of one zone,
`site` one picture, solve and orders of the site level; `bare` sets Clarabel up with the matrices that the call before it had and
solves, `re-solve` only exchanges values and solves. The zones are due together; `one by one` is the ratio of whole cycles after
each other. `all cycles` has dispatch, memory and the turns between the stages in it; `beside the solve` the same while the site
level solves in its thread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from statistics import median

import numpy as np
from _measure import save, show, stages_on_cpu_time
from _memory import MemoryDevices, lossless
from _zones import growth_exponent
from _zones import one_size as one_zoned_size
from balance import build_layout

from mimctl.control.events import EventLog
from mimctl.control.zone import build_zone
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.link import Link, LinkType
from mimctl.model.site import BalanceRule, Meter, Site, Zone
from mimctl.service.logs import set_up
from mimctl.simulation.loads import DEFAULT_START


def complete_site(mims: int, rng: np.random.Generator) -> Site:
    """The site of the balance benchmark with a meter at every node, one zone and one rule."""
    site = build_layout(mims, rng).site
    heads = tuple(node.id for node in site.nodes if node.parent is None)
    meters = tuple(Meter(f"meter-{node.id}", node.id, DeviceAddress("bench", 1)) for node in site.nodes)
    return replace(
        site,
        nodes=lossless(site.nodes),
        links=(Link("bench", LinkType.MODBUS_TCP, "127.0.0.1", 502),),
        meters=meters,
        zones=(Zone("zone", heads),),
        rules=(BalanceRule("balance", ("zone",)),),
    )


class Bench:
    def __init__(self, mims: int) -> None:
        rng = np.random.default_rng(mims)
        self.site = complete_site(mims, rng)
        self.clock = VirtualClock(DEFAULT_START)
        self.devices = MemoryDevices(self.site, self.clock)
        self.zone = build_zone(self.site, self.site.zones[0], [self.devices.group], self.clock, EventLog(self.clock), cycle_s=1.0)
        self.operators = TreeOperators(self.zone.layout)
        racks = np.array([n.id.startswith("rack") for n in self.zone.layout.nodes])
        self.load = rng.uniform(1.0, 9.0, (len(racks), 3)) * 230.0 * racks[:, None] * (1 + 0.2j)
        self.rng = rng

    def measure_now(self) -> None:
        """What the meters see of the drifting loads and of what the MIMs put out."""
        output = self.zone.cycle.dispatcher.held.setpoint_va
        drift = 1 + 0.01 * self.rng.standard_normal(self.load.shape)
        nodes = tuple(node.id for node in self.zone.layout.nodes)
        self.devices.measure(nodes, self.operators.flow(self.load * drift, output))

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


def in_own_process(kind: str, size: str, cycles: int) -> dict[str, float]:
    """One row; the peak of one size is not that of the one before, and no thread of a BLAS waits for another."""
    command = [sys.executable, __file__, f"--{kind}", size, "--cycles", str(cycles)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    row: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    return row


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="24,300,1000", help="MIMs in one zone, comma separated; empty leaves them out")
    parser.add_argument("--zoned", default="100,1000", help="the same in zones of twenty; 10000 takes some minutes")
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one-zoned", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    set_up("error")
    if options.one:
        stages_on_cpu_time()
        sys.stdout.write(json.dumps(one_size(options.one, options.cycles)))
        return
    if options.one_zoned:
        stages_on_cpu_time()
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        sys.stdout.write(json.dumps(one_zoned_size(options.one_zoned, options.cycles)))
        return
    rows = [in_own_process("one", size, options.cycles) for size in options.sizes.split(",") if size]
    zoned = [in_own_process("one-zoned", size, options.cycles) for size in options.zoned.split(",") if size]
    if len(zoned) > 1:
        zoned = [{**row, "growth": growth_exponent(zoned)} for row in zoned]
    if options.json:
        save("cycle", [*rows, *zoned], options.json)
    if options.json != "-":
        show("cycle: samples → SafePlan, without I/O", rows)
        show("zones of 20 MIMs and the site level, on one core", zoned)


if __name__ == "__main__":
    main()
