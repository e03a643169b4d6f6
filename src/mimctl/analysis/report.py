"""From the process image to the report: every figure that the site is judged by, worked out once per cycle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.analysis.concentration import Contingencies, fullest_phase_pct, loading_pct
from mimctl.analysis.harmonic_limits import node_limits
from mimctl.analysis.harmonics import rms_with_thd, tdd_pct
from mimctl.analysis.sequence import (
    LIVE_SHARE,
    current_phasors,
    magnitude,
    phasors_from_magnitudes,
    voltage_unbalance_pct,
    vuf2_from_line_to_line_pct,
    working_voltage_v,
)
from mimctl.analysis.unbalance import (
    current_nema_pct,
    gate_a,
    lvur_nema_pct,
    neutral_fundamental_a,
    pvur_ieee112_pct,
    pvur_ieee936_pct,
    sequence_ratios,
)
from mimctl.grid.failover import Failover
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, frozen, joined
from mimctl.model.report import SiteReport
from mimctl.model.sample import BAD
from mimctl.model.state import NodeState, SiteState


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What the meters say, made comparable: (N,) or (N, 3), fundamental unless said, NaN = unknown.

    Args:
        usable: the node's meter may be believed
        known: its P and Q are there
        flow: net import [VA]
        volts: voltage that the currents are worked out with [V]
        current, fundamental: phasors and their magnitudes [A]
        rms: with harmonics [A]
        neutral: with harmonics where it is measured [A]
    """

    usable: BoolArray
    known: BoolArray
    flow: ComplexArray
    volts: FloatArray
    current: ComplexArray
    fundamental: FloatArray
    rms: FloatArray
    neutral: FloatArray


class Analyst:
    """Makes the report of one site; holds what depends on the layout alone.

    Args:
        operators: of the site's tree.
        demand_a: (N,) maximum demand current that TDD refers to [A]; by default that of the site file, else the limit for hours.
    """

    def __init__(self, operators: TreeOperators, demand_a: FloatArray | None = None) -> None:
        layout = operators.layout
        self._operators = operators
        self._layout = layout
        self._limits = node_limits(layout)
        self._demand_a = self._limits.demand_a if demand_a is None else demand_a
        self._gate_a = gate_a(layout.rating_a)
        self._absent = ~layout.phase_present
        self._complete = bool(layout.phase_present.all())
        self._omega_sum = float(layout.omega.sum())
        self._three_phase = layout.phase_present.all(axis=1)
        self._limit_a = np.where(layout.phase_present, layout.limit_a[:, None], np.nan)
        self._contingencies, self._failover = Contingencies(operators), Failover(operators)
        size = len(layout.nodes)
        self._unknown = frozen(np.full(size, np.nan))
        self._unknown_3 = frozen(np.full((size, 3), np.nan))

    def report(self, state: SiteState, *, detail: bool = True) -> SiteReport:
        """Judge one image.

        Args:
            state: of this layout.
            detail: False leaves out what no control decision needs (NaN): all ratios, distortion, concentration and headroom.

        Returns:
            The report. A node whose quality is BAD or that gives no P and Q is not `known` and its sequence values are NaN;
            a current that it does give is still reported. Currents include the harmonics where the meter gives rms or THD.
            The reported objective is Σ ω·J_n over the known nodes / Σ ω of the same, so that a node that drops out does not
            pass for an improvement.
        """
        reading = self._read(state.nodes)
        sequence = self._operators.sequence_currents(reading.current)
        i0, i1, i2 = magnitude(sequence).T
        per_node = node_objective(sequence, self._layout.rating_a)
        return SiteReport(
            known=reading.known,
            current_a=reading.rms,
            i1_a=i1,
            i2_a=i2,
            i0_a=i0,
            neutral_a=reading.neutral,
            loading_pct=loading_pct(reading.rms, self._layout.limit_a),
            node_objective=per_node,
            objective=self._objective(per_node, reading.known),
            **(self._ratios(i0, i1, i2, reading) | self._detail(state, reading) if detail else self._no_detail),
        )

    def _read(self, nodes: NodeState) -> _Reading:
        usable = np.asarray(nodes.quality > BAD)
        flow = self._flow(nodes, usable)
        volts = working_voltage_v(nodes.voltage_ln_v, self._layout.voltage_ln_v)
        current = current_phasors(flow, volts, self._operators.unit_voltages)
        fundamental = magnitude(current)
        return _Reading(
            usable=usable,
            known=np.asarray(np.isfinite(flow).all(axis=1)),
            flow=flow,
            volts=volts,
            current=current,
            fundamental=fundamental,
            rms=self._rms(nodes, usable, fundamental),
            neutral=np.where(usable & ~np.isnan(nodes.neutral_a), nodes.neutral_a, neutral_fundamental_a(current)),
        )

    def _flow(self, nodes: NodeState, usable: BoolArray) -> ComplexArray:
        """(N, 3) measured net import [VA]; zero on phases that a node does not have, NaN where unknown."""
        flow = joined(nodes.import_w, nodes.import_var)
        if not usable.all():
            flow[~usable] = np.nan
        if not self._complete:
            flow[self._absent & usable[:, None]] = 0
        return flow

    def _rms(self, nodes: NodeState, usable: BoolArray, fundamental: FloatArray) -> FloatArray:
        """(N, 3) rms currents [A]: as measured, else out of the fundamental and its THD, else the fundamental."""
        unknown = np.isnan(nodes.current_a)
        if not usable.all():
            unknown |= ~usable[:, None]
        if not self._complete:
            unknown |= self._absent
        if not unknown.any():
            return nodes.current_a
        distorted = rms_with_thd(fundamental, nodes.thd_i_pct)
        estimate = np.where(np.isnan(distorted), fundamental, distorted)
        rms: FloatArray = np.where(unknown, estimate, nodes.current_a)
        return rms

    def _objective(self, per_node: FloatArray, known: BoolArray) -> float:
        if known.all():
            weight, total = self._omega_sum, float(self._layout.omega.dot(per_node))
        else:
            weight, total = float(self._layout.omega[known].sum()), float(self._layout.omega[known] @ per_node[known])
        return total / weight if weight > 0 else float("nan")

    @cached_property
    def _no_detail(self) -> dict[str, FloatArray]:
        one, three = self._unknown, self._unknown_3
        ratios = ("i2_i1", "i0_i1", "unbalance_nema_pct", "vuf2_pct", "vuf0_pct", "concentration_pct")
        rates = ("lvur_nema_pct", "pvur_ieee112_pct", "pvur_ieee936_pct", "thd_v_limit_pct", "tdd_limit_pct")
        headroom = ("headroom_firm_a", "headroom_n1_a", "headroom_assisted_a", "failover_headroom_a")
        wide = (*headroom, "thd_v_pct", "thd_i_pct", "tdd_pct")
        return dict.fromkeys((*ratios, *rates), one) | dict.fromkeys(wide, three)

    def _ratios(self, i0: FloatArray, i1: FloatArray, i2: FloatArray, reading: _Reading) -> dict[str, FloatArray]:
        i2_i1, i0_i1 = sequence_ratios(i0, i1, i2, self._gate_a)
        nema = np.where(self._three_phase, current_nema_pct(reading.rms, self._gate_a), np.nan)
        return {"i2_i1": i2_i1, "i0_i1": i0_i1, "unbalance_nema_pct": nema, "headroom_assisted_a": self._limit_a - reading.rms}

    def _detail(self, state: SiteState, reading: _Reading) -> dict[str, FloatArray]:
        nodes, usable = state.nodes, reading.usable
        vuf2, vuf0 = self._voltage_unbalance(nodes, usable)
        thd_v = np.where(usable[:, None], nodes.thd_v_pct, np.nan)
        thd_i = np.where(usable[:, None], nodes.thd_i_pct, np.nan)
        return {
            "vuf2_pct": vuf2,
            "vuf0_pct": vuf0,
            "concentration_pct": fullest_phase_pct(reading.rms, self._gate_a),
            "thd_v_pct": thd_v,
            "thd_i_pct": thd_i,
            "tdd_pct": tdd_pct(thd_i, reading.fundamental, self._demand_a[:, None]),
            **self._headroom(state, reading),
            **self._voltage_rates(nodes, usable),
            "thd_v_limit_pct": self._limits.thd_v_pct,
            "tdd_limit_pct": self._limits.tdd_pct,
        }

    def _voltage_rates(self, nodes: NodeState, usable: BoolArray) -> dict[str, FloatArray]:
        """Unbalance by magnitudes alone, as NEMA and IEEE have it; NaN where a phase is dead.

        Where no meter gives line-to-line voltages they are worked out with nominal angles.
        """
        phase = np.where((usable & self._three_phase)[:, None], nodes.voltage_ln_v, np.nan)
        alive: BoolArray = np.logical_and.reduce(phase >= LIVE_SHARE * self._layout.voltage_ln_v[:, None], axis=1)
        phase = np.where(alive[:, None], phase, np.nan)
        turned = phase * self._operators.unit_voltages
        line = magnitude(turned - np.roll(turned, -1, axis=1))
        if nodes.voltage_ll_v is not None:
            line = np.where(np.isnan(nodes.voltage_ll_v) | ~alive[:, None], line, nodes.voltage_ll_v)
        return {
            "lvur_nema_pct": lvur_nema_pct(line),
            "pvur_ieee112_pct": pvur_ieee112_pct(phase),
            "pvur_ieee936_pct": pvur_ieee936_pct(phase),
        }

    def _voltage_unbalance(self, nodes: NodeState, usable: BoolArray) -> tuple[FloatArray, FloatArray]:
        """VUF2 and VUF0 (N,) [%], as exactly as the meter allows.

        With line-to-neutral and line-to-line magnitudes the phasors are known; with line-to-line alone VUF2 is; with
        line-to-neutral alone the angles are taken as nominal, and an unbalance of the angles stays unseen.
        """
        live = usable & self._three_phase
        phase = np.where(live[:, None], nodes.voltage_ln_v, np.nan)
        rotation, floor = self._layout.site.rotation, LIVE_SHARE * self._layout.voltage_ln_v
        nominal_angles = phase * self._operators.unit_voltages
        if nodes.voltage_ll_v is None:
            return voltage_unbalance_pct(nominal_angles, rotation, floor)
        line = np.where(live[:, None], nodes.voltage_ll_v, np.nan)
        exact = phasors_from_magnitudes(phase, line, rotation)
        best = np.where(np.isnan(exact).any(axis=1, keepdims=True), nominal_angles, exact)
        vuf2, vuf0 = voltage_unbalance_pct(best, rotation, floor)
        from_lines = vuf2_from_line_to_line_pct(line)
        return np.where(np.isnan(from_lines), vuf2, from_lines), vuf0

    def _headroom(self, state: SiteState, reading: _Reading) -> dict[str, FloatArray]:
        """Firm, N-1 and failover headroom (N, 3) [A]. The harmonic current that flows now is taken to stay."""
        flow, volts, rms = reading.flow, reading.volts, reading.rms
        injection = joined(state.ports.inject_w, state.ports.inject_var)
        # What the meter saw beyond the fundamental: harmonics. Rounding may leave a hair below zero.
        distortion = np.maximum(rms**2 - reading.fundamental**2, 0)
        firm = np.sqrt((magnitude(self._contingencies.firm_flow(flow, injection)) / volts) ** 2 + distortion)
        single = np.sqrt((self._contingencies.worst_single_loss_va(flow, injection) / volts) ** 2 + distortion)
        heads = self._layout.heads
        failover = np.full_like(rms, np.nan)
        # Rectifiers of one kind distort alike: the harmonic currents of the feeds are added, not their squares.
        harmonic = np.sqrt(distortion[heads]).sum(axis=0)
        carried = magnitude(self._contingencies.failover_flow(flow, injection)) / volts[heads]
        failover[heads] = self._limit_a[heads] - np.sqrt(carried**2 + harmonic**2)
        if self._failover.losses:
            gross = flow + (self._operators.port_flow @ injection).reshape(-1, 3) if len(injection) else flow
            after, _ = self._failover.current_a(flow, gross, injection)
            failover = self._limit_a - np.sqrt(after**2 + distortion)
        return {
            "headroom_firm_a": self._limit_a - firm,
            "headroom_n1_a": self._limit_a - single,
            "failover_headroom_a": failover,
        }
