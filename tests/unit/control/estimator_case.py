"""A hall of racks with made-up readings for the estimator: no plant, no MIMs, lossless, every figure known by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from tests.builders import START, node, rack_site, state_of

from mimctl.control.estimation.estimator import Estimator
from mimctl.control.events import EventLog
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.event import Event
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.node import Cable, NodeKind
from mimctl.model.site import Meter, Site
from mimctl.model.state import SiteState

_LOSSLESS = Cable(1e-9, 0.0)


def hall(pdus: int = 2, racks: int = 3) -> Site:
    """feed → pdus → racks, a meter everywhere."""
    nodes = [node("feed", None, NodeKind.FEED, 400.0)]
    for p in range(pdus):
        nodes.append(node(f"pdu{p}", "feed", NodeKind.PDU, 160.0, cable=_LOSSLESS))
        nodes += [node(f"rack{p}{r}", f"pdu{p}", rating_a=63.0, cable=_LOSSLESS) for r in range(racks)]
    nodes = [replace(n, omega=1 / len(nodes)) for n in nodes]
    meters = tuple(Meter(f"m-{n.id}", n.id, DeviceAddress("gw", i + 1)) for i, n in enumerate(nodes))
    return replace(rack_site(1, mims=False), nodes=tuple(nodes), meters=meters)


@dataclass
class Bench:
    """An estimator and its readings, one cycle a second."""

    site: Site
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START))

    def __post_init__(self) -> None:
        self.layout = SiteLayout(self.site)
        self.operators = TreeOperators(self.layout)
        self.events = EventLog(self.clock)
        tracker = LoadTracker(self.operators, OutputModel(self.layout))
        self.estimator = Estimator(self.operators, tracker, self.events)

    def step(
        self, flow_va: ComplexArray, *, dead: tuple[str, ...] = (), taken_s: FloatArray | None = None, **more: FloatArray
    ) -> SiteState:
        """The next second: these readings (N, 3) of these instants (N,), some meters dead; `more` of what the nodes show."""
        now_s = self.clock.monotonic_s() + 1.0
        self.clock.advance_to(now_s)
        alive = np.array([n.id not in dead for n in self.layout.nodes])
        taken = now_s if taken_s is None else taken_s
        state = state_of(self.site, flow_va, now_s=now_s, node_taken_s=taken, good_nodes=alive)
        return self.estimator.estimate(replace(state, nodes=replace(state.nodes, **more)))

    def open(self, *codes: str) -> list[Event]:
        return [event for event in self.events.open() if event.code in codes]

    def flow(self, rack_load_va: ComplexArray) -> ComplexArray:
        """(N, 3) true flows of loads (racks, 3) [VA]."""
        load = np.zeros((len(self.layout.nodes), 3), dtype=complex)
        load[self.racks] = rack_load_va
        for n in reversed(range(len(load))):
            if self.layout.parent[n] >= 0:
                load[self.layout.parent[n]] += load[n]
        return load

    @property
    def racks(self) -> list[int]:
        return [i for i, n in enumerate(self.layout.nodes) if n.kind is NodeKind.RACK]

    def wandering(self, seconds: int, seed: int = 1, noise: float = 0.001) -> Iterator[tuple[ComplexArray, ComplexArray]]:
        """(truth, readings) (N, 3) of every second: loads that wander by some percent, meters with noise."""
        rng = np.random.default_rng(seed)
        load = rng.uniform(500, 3000, (len(self.racks), 3)) * (1 + 0.25j)
        for _ in range(seconds):
            load = load * (1 + 0.02 * rng.standard_normal(load.shape))
            truth = self.flow(load)
            yield truth, truth * (1 + noise * rng.standard_normal(truth.shape))
