"""State estimation where the zones meet: meters above them, and the zone heads that only those can prove wrong.

A zone sees nothing above its heads, so it cannot tell a wrong head meter from a wrong load. The site level holds the readings above
the zones and those of the zones against each other, with the same tests as a zone (`estimator.py`); a zone is told which of
its meters not to believe, and fills the gap by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mimctl.balance.inputs import without_nan
from mimctl.control.estimation.estimator import Estimator
from mimctl.control.events import EventLog
from mimctl.control.levels.above import Above
from mimctl.control.zone import ZoneController
from mimctl.forecast.tracker import LoadTracker
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState

#: a zone believes its meters again when nobody has told it otherwise for so long [s]
DISTRUST_S = 60.0
_NODE_BLOCKS = ("import_w", "import_var", "voltage_ln_v", "current_a", "neutral_a", "thd_v_pct", "thd_i_pct", "taken_at_s")


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the nodes, ports and MIMs of a zone stand in the arrays of the site."""

    nodes: IntArray
    ports: IntArray
    mims: IntArray


@dataclass(eq=False)
class _Outputs:
    """What the ports of the whole site put out, by the models of their zones, which hear the devices' reports themselves."""

    zones: Sequence[ZoneController]
    places: Sequence[_Place]
    ports: int

    def at(self, instant_s: float) -> ComplexArray:
        """(K,) [VA]"""
        result = np.zeros(self.ports, dtype=np.complex128)
        for zone, place in zip(self.zones, self.places, strict=True):
            result[place.ports] = np.nan_to_num(zone.output_va(instant_s))
        return result

    def each_at(self, instants_s: FloatArray, ports: IntArray) -> ComplexArray:
        """(E,) [VA]"""
        result = np.zeros(len(ports), dtype=np.complex128)
        owner, own = self._owners
        order = np.argsort(owner[ports], kind="stable")
        ends = np.searchsorted(owner[ports][order], np.arange(len(self.zones) + 1))
        for zone, begin, end in zip(self.zones, ends[:-1], ends[1:], strict=True):
            at = order[begin:end]
            result[at] = without_nan(zone.cycle.outputs.each_at(instants_s[at], own[ports[at]]))
        return result

    @cached_property
    def _owners(self) -> tuple[IntArray, IntArray]:
        """(K,) the zone of each port, −1 = none, and which of the zone's ports it is."""
        owner, own = np.full(self.ports, -1), np.zeros(self.ports, dtype=np.int64)
        for z, place in enumerate(self.places):
            owner[place.ports], own[place.ports] = z, np.arange(len(place.ports))
        return owner, own

    def reported(self, taken_at_s: FloatArray, output_va: ComplexArray, usable: BoolArray) -> None:
        """The zones have heard it already."""

    def unsure_va(self, now_s: float, heard: BoolArray) -> FloatArray:
        """(K,) [VA]"""
        result = np.zeros(self.ports)
        for zone, place in zip(self.zones, self.places, strict=True):
            result[place.ports] = zone.cycle.outputs.unsure_va(now_s, heard[place.mims])
        return result


class AboveEstimator:
    """Of one site with something above its zones."""

    def __init__(self, above: Above, zones: Sequence[ZoneController], events: EventLog, max_age_s: float) -> None:
        self._layout, self._zones, self._max_age_s = above.layout, zones, max_age_s
        self._places = [self._place(zone) for zone in zones]
        outputs = _Outputs(zones, self._places, len(above.layout.ports))
        told = ~above.zoned  # gaps inside the zones are theirs to tell
        tracker = LoadTracker(above.operators, outputs)
        self._estimator = Estimator(above.operators, tracker, events.within("above the zones"), tells=frozen(told))

    def _place(self, zone: ZoneController) -> _Place:
        layout, own = self._layout, zone.layout
        mims = [layout.mim_index[mim.id] for mim in own.mims]
        ports = [k for m in mims for k in range(*layout.ports_of_mim[m].indices(len(layout.ports)))]
        nodes = [layout.node_index[node.id] for node in own.nodes]
        return _Place(*(np.array(of, dtype=np.int64) for of in (nodes, ports, mims)))

    def estimate(self, upper: SiteState) -> SiteState:
        """The image of the meters above the zones, with what is wrong taken out and what is missing filled in where it can be.

        The zones hear which of their own meters the rest of the site contradicts.
        """
        whole = self._estimator.estimate(self._whole(upper))
        convicted = self._estimator.verdicts.convicted
        for zone, place in zip(self._zones, self._places, strict=True):
            zone.cycle.estimator.distrust(frozen(convicted[place.nodes]), upper.now_s + DISTRUST_S)
        return whole

    def _whole(self, upper: SiteState) -> SiteState:
        """One image of the site: what was read above the zones, and what the zones last read, before anything was filled in."""
        blocks = {name: getattr(upper.nodes, name).copy() for name in _NODE_BLOCKS}
        quality = upper.nodes.quality.copy()
        mim_quality, mim_taken_s = upper.mims.quality.copy(), upper.mims.taken_at_s.copy()
        inject_w, inject_var = upper.ports.inject_w.copy(), upper.ports.inject_var.copy()
        for zone, place in zip(self._zones, self._places, strict=True):
            raw = zone.cycle.estimator.raw
            if raw is None:
                continue
            for name, block in blocks.items():
                block[place.nodes] = getattr(raw.nodes, name)
            with np.errstate(invalid="ignore"):
                stale = ~(upper.now_s - raw.nodes.taken_at_s <= self._max_age_s)
            unread = stale | zone.cycle.estimator.verdicts.convicted
            quality[place.nodes] = np.where(unread, int(Quality.BAD), raw.nodes.quality)
            inject_w[place.ports], inject_var[place.ports] = raw.ports.inject_w, raw.ports.inject_var
            mim_quality[place.mims], mim_taken_s[place.mims] = raw.mims.quality, raw.mims.taken_at_s
        nodes = replace(upper.nodes, quality=frozen(quality), **{name: frozen(block) for name, block in blocks.items()})
        mims = replace(upper.mims, quality=frozen(mim_quality), taken_at_s=frozen(mim_taken_s))
        ports = replace(upper.ports, inject_w=frozen(inject_w), inject_var=frozen(inject_var))
        return replace(upper, nodes=nodes, ports=ports, mims=mims)
