"""Faults of a simulation: those of the twin happen by themselves, those of the controller here; and which MIMs are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mimctl.balance.optimum import Given
from mimctl.model.clock import VirtualClock
from mimctl.model.fault import OF_CONTROLLER, Fault, FaultKind
from mimctl.model.layout import BoolArray, FloatArray
from mimctl.model.zoning import restrict
from mimctl.twin.defects import Obedience
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.plant import Plant


@dataclass(eq=False)
class Probation:
    """MIMs that nobody may command: their source is lost, or has not been healthy again for as long as the site file wants.

    By what is so, not by what the controller believes: it is no merit of a rival to feed into a source that has just come back.
    Readings are a step old for everybody, so a source that is back is seen to be healthy one look later.
    """

    plant: Plant

    def __post_init__(self) -> None:
        layout = self.plant.layout
        heads = [layout.node_index[head] for zone in layout.site.zones for head in zone.heads]
        self._guarded = np.array(sorted({*map(int, layout.guarded), *heads}), dtype=np.int64)
        #: (G, M) MIMs with a port behind each node that somebody watches
        self._behind: BoolArray = np.zeros((len(self._guarded), len(layout.mims)), dtype=np.bool_)
        below = layout.below[self._guarded][:, layout.port_node]
        for m, ports in enumerate(layout.ports_of_mim):
            self._behind[:, m] = below[:, ports].any(axis=1)
        self._until_s: FloatArray = np.full(len(self._guarded), -np.inf)
        self._was_lost: BoolArray = np.zeros(len(self._guarded), dtype=np.bool_)
        self._looked_at_s = self.plant.t_s

    def look(self) -> BoolArray:
        """(M,) at the plant's present; call it once a step."""
        site, now_s = self.plant.layout.site, self.plant.t_s
        band, pu = site.control.grid, self.plant.frequency_hz / site.frequency_hz
        lost = self.plant.dead[self._guarded] | (not band.min_frequency_pu <= pu <= band.max_frequency_pu)
        self._until_s[lost | self._was_lost] = now_s + (now_s - self._looked_at_s) + band.resync_s
        self._was_lost, self._looked_at_s = lost, now_s
        return np.asarray(self._behind[lost | (now_s < self._until_s)].any(axis=0))


@dataclass(eq=False)
class FaultRun:
    """The faults of one run, as it goes on.

    Args:
        fleet: the plant's.
        clock: whose wall clock may step.
    """

    faults: Sequence[Fault]
    plant: Plant
    fleet: MimFleet
    clock: VirtualClock
    site_paused: bool = False
    stopped: frozenset[str] = frozenset()
    _wall_s: float = 0.0
    _in_zone: dict[str, BoolArray] = field(default_factory=dict)
    _probation: Probation = field(init=False)

    def __post_init__(self) -> None:
        self._probation = Probation(self.plant)
        schedule(self.plant, [fault for fault in self.faults if fault.kind not in OF_CONTROLLER])
        site, layout = self.plant.layout.site, self.plant.layout
        for zone in site.zones:
            own = {mim.id for mim in restrict(site, zone).mims}
            self._in_zone[zone.id] = np.array([mim.id in own for mim in layout.mims], dtype=np.bool_)

    def advance_to(self, now_s: float) -> None:
        """What befalls the controller at this instant."""
        now = [fault for fault in self.faults if fault.kind in OF_CONTROLLER and fault.at_s <= now_s < fault.until_s]
        self.site_paused = any(fault.kind is FaultKind.SITE_PAUSED for fault in now)
        self.stopped = frozenset(zone for fault in now if fault.kind is FaultKind.ZONE_STOPPED for zone in fault.targets)
        steps = (dict(fault.values)["by_s"] for fault in now if fault.kind is FaultKind.CLOCK_STEP)
        wall_s = sum(by_s for by_s in steps if isinstance(by_s, float))
        if wall_s != self._wall_s:
            self.clock.step_wall(wall_s - self._wall_s)
            self._wall_s = wall_s

    def given(self, permitted: FloatArray | None = None) -> Given | None:
        """What every scenario has to put up with now; None where every MIM can do all it could.

        Args:
            permitted: (M,) share of its ratings that the rules of the site leave to each MIM; None = all.
        """
        share = self._share() if self.faults else np.ones(len(self.plant.layout.mims))
        share = share if permitted is None else np.minimum(share, permitted)
        return None if (share == 1).all() else Given(share, self.fleet.inject_va.copy())

    def _share(self) -> FloatArray:
        """(M,) part of its ratings that each MIM can be had for; 0 where it cannot be commanded, or tells nothing of itself."""
        fleet, instruments = self.fleet, self.plant.instruments
        defects, mims = fleet.defects, instruments.mims
        able = fleet.online & (instruments.mute[mims] == 0) & ~instruments.blank[mims].any(axis=1)
        able &= ~self._probation.look()
        able &= (defects.obedience == Obedience.OBEYS) & ~defects.held & (defects.dead == 0)
        for zone in self.stopped:
            able &= ~self._in_zone[zone]
        return np.where(able, np.minimum(fleet.derating, defects.delivers), 0.0)
