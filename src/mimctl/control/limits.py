"""Bounds: everything that restricts the coming plan, gathered before the solve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from mimctl.balance.inputs import without_nan
from mimctl.grid.losses import ConversionLosses
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.calendar import active_at
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.reason import Reason
from mimctl.model.site import BalanceRule


def rule_in_force(layout: SiteLayout, zone: str, utc: datetime, idle: frozenset[str] = frozenset()) -> BalanceRule | None:
    """The first balance rule of the zone whose window is open, without those whose condition does not hold (`idle`)."""
    rules = (rule for rule in layout.site.rules if zone in rule.zones and rule.id not in idle)
    return next((rule for rule in rules if active_at(rule.window, utc, layout.site.timezone)), None)


class BoundsMaker:
    """Ratings and rules of one layout, joined with what holds this cycle."""

    def __init__(self, layout: SiteLayout, zone: str) -> None:
        self._layout = layout
        self._zone = zone
        self._losses = ConversionLosses(layout)
        self._node_limit = frozen(np.repeat(layout.limit_a[:, None], 3, axis=1))
        self._ramp_w_per_s = np.array([layout.mims[m].ramp_w_per_s for m in layout.port_mim], dtype=np.float64)
        #: one that is commanded less often has longer for each step
        self._every_s = np.array([layout.mims[m].latency.command_every_s for m in layout.port_mim], dtype=np.float64)
        self._weights: dict[BalanceRule, FloatArray] = {}
        self._ports: tuple[FloatArray, FloatArray] | None = None
        self._steps: tuple[float, FloatArray] | None = None

    def bounds(
        self,
        utc: datetime,
        setpoint_va: ComplexArray,
        period_s: float,
        *,
        obeying: BoolArray,
        reported: BoolArray,
        yielded: BoolArray | None = None,
        authority: FloatArray | None = None,
        paused: bool = False,
        idle_rules: frozenset[str] = frozenset(),
    ) -> Bounds:
        """What may be done this cycle.

        Args:
            utc: decides which rule is in force.
            obeying: (M,) False: left out because it did not follow its setpoints.
            reported: (M,) the MIM has told its state lately.
            yielded: (M,) left to somebody else who commands the MIM; None = none.
            authority: (M,) share of its ratings that each MIM may use; None = all.
            setpoint_va: (K,) setpoints in force, for losses [VA].
            period_s: time until the next plan, for ramps [s].
            paused: somebody wants the zone to watch only.
            idle_rules: ids of balance rules whose condition does not hold.
        """
        rule = rule_in_force(self._layout, self._zone, utc, idle_rules)
        left = np.zeros_like(obeying) if yielded is None else yielded
        share = np.ones(len(obeying)) if authority is None else authority
        wanted = obeying & ~left if rule is not None and not paused else np.zeros_like(obeying)
        return Bounds(
            mim_enabled=frozen(wanted & reported),
            mim_release=frozen(~wanted & ~left),
            port_s_max_va=self._port_limit(authority),
            mim_neutral_max_a=self._layout.mim_neutral_rating_a,
            mim_dc_w=frozen(-self._losses.watts(without_nan(setpoint_va))),
            step_max_va=self._step(period_s),
            node_limit_a=self._node_limit,
            node_neutral_limit_a=self._layout.neutral_limit_a,
            head_min_import_w=self._layout.head_min_import_w,
            weights=self._weight(rule),
            deadband_a=0.0 if rule is None else rule.deadband_a,
            dwell_s=0.0 if rule is None else rule.dwell_s,
            restrictions=(*self._restrictions(obeying, reported, rule, paused=paused), *self._narrowed(left, share)),
        )

    def _port_limit(self, authority: FloatArray | None) -> FloatArray:
        """(K,) the same array for as long as the same authority is given [VA]."""
        if authority is None:
            return self._layout.port_rating_va
        if self._ports is None or self._ports[0] is not authority:
            self._ports = authority, frozen(self._layout.port_rating_va * authority[self._layout.port_mim])
        return self._ports[1]

    def _step(self, period_s: float) -> FloatArray:
        """(K,) the same array for as long as the period is the same [VA]."""
        if self._steps is None or self._steps[0] != period_s:
            self._steps = period_s, frozen(self._ramp_w_per_s * np.maximum(self._every_s, period_s))
        return self._steps[1]

    def _weight(self, rule: BalanceRule | None) -> FloatArray:
        if rule is None:
            return self._layout.omega
        if rule not in self._weights:
            weights = self._layout.omega.copy()
            for node, factor in rule.weights:
                if node in self._layout.node_index:
                    weights[self._layout.node_index[node]] *= factor
            self._weights[rule] = frozen(weights)
        return self._weights[rule]

    def _restrictions(
        self, obeying: BoolArray, reported: BoolArray, rule: BalanceRule | None, *, paused: bool
    ) -> tuple[Restriction, ...]:
        if paused:
            return (Restriction(self._zone, Reason("zone.paused", f"zone {self._zone} is paused: it watches only")),)
        if rule is None:
            reason = Reason("rule.none_in_force", f"no balance rule of zone {self._zone} is in force now")
            return (Restriction(self._zone, reason),)
        if (obeying & reported).all():
            return ()
        strays = Reason("mim.ignores_setpoint", "the MIM does not follow its setpoints")
        silent = Reason("mim.silent", "the MIM has not told its state lately")
        found = [Restriction(self._layout.mims[m].id, strays) for m in np.flatnonzero(~obeying)]
        return (*found, *(Restriction(self._layout.mims[m].id, silent) for m in np.flatnonzero(obeying & ~reported)))

    def _narrowed(self, yielded: BoolArray, share: FloatArray) -> Iterator[Restriction]:
        if not yielded.any() and (share >= 1.0).all():
            return
        rival = Reason("mim.second_master", "somebody else writes setpoints to the MIM: it is left alone for now")
        yield from (Restriction(self._layout.mims[m].id, rival) for m in np.flatnonzero(yielded))
        for m in np.flatnonzero(share < 1.0):
            yield Restriction(self._layout.mims[m].id, Reason("mim.authority", f"it may use {share[m]:.0%} of its rating"))
