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

    def __post_init__(self) -> None:
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

    def given(self) -> Given | None:
        """What the yardstick has to put up with now; None where every MIM can do all it could."""
        share = self._share()
        return None if (share == 1).all() else Given(share, self.fleet.inject_va.copy())

    def _share(self) -> FloatArray:
        """(M,) part of its ratings that each MIM can be had for; 0 where it cannot be commanded, or tells nothing of itself."""
        fleet, instruments = self.fleet, self.plant.instruments
        defects, mims = fleet.defects, instruments.mims
        able = fleet.online & (instruments.mute[mims] == 0) & ~instruments.blank[mims].any(axis=1)
        able &= self._mains_in_band()
        able &= (defects.obedience == Obedience.OBEYS) & ~defects.held & (defects.dead == 0)
        for zone in self.stopped:
            able &= ~self._in_zone[zone]
        return np.where(able, np.minimum(fleet.derating, defects.delivers), 0.0)

    def _mains_in_band(self) -> bool:
        """Where the mains is taken for lost nobody may be commanded, so nobody can be had."""
        site, pu = self.plant.layout.site, self.plant.frequency_hz / self.plant.layout.site.frequency_hz
        return site.control.grid.min_frequency_pu <= pu <= site.control.grid.max_frequency_pu
