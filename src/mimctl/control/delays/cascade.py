"""One plan for MIMs that answer at different speeds: the slow ones follow what is slow in the load, the fast ones the rest.

From the slowest class to the fastest, each solves for the part of the load that it can follow: the load smoothed over its own
time constant, with all slower MIMs at the output that they are modelled to have by now, and all faster ones free to help. Of each
answer only the own class's setpoints are taken. No class corrects a residual that another is already correcting, so no two
integrate the same error: the loads are reconstructed from the meters and the modelled outputs, never taken from the residual.

A site of wired MIMs alone is one class, and one solve a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.balance.problem import Balancer
from mimctl.forecast.outputs import OutputModel
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.latency import LatencyClass
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.plan import Plan, SolveStatus

_SLOWEST_FIRST = (LatencyClass.SLOW, LatencyClass.MEDIUM, LatencyClass.FAST)
#: two ticks that should fall together may be apart by what a clock is
_TICK_S = 1e-3


@dataclass(eq=False)
class Smoothed:
    """The load as a class sees it: an exponential mean over its time constant.

    Args:
        time_constant_s: 0 = as it is [s].
    """

    time_constant_s: float
    _mean_va: ComplexArray | None = None
    _at_s: float = -np.inf
    _known: bytes = b""

    def follow(self, forecast: LoadForecast, now_s: float) -> LoadForecast:
        """Take in this cycle's loads; the forecast with the mean instead.

        Which node a load is told at depends on the meters that answer: when that changes, the mean begins anew.
        """
        if self.time_constant_s <= 0:
            return forecast
        load_va = forecast.load_w + 1j * forecast.load_var
        known = forecast.known.tobytes()
        if self._mean_va is None or known != self._known:
            mean_va = load_va
        else:
            share = -np.expm1(-max(0.0, now_s - self._at_s) / self.time_constant_s)
            moved = self._mean_va + share * (load_va - self._mean_va)
            mean_va = np.where(np.isfinite(moved), moved, load_va)
        self._mean_va, self._at_s, self._known = mean_va, now_s, known
        return replace(forecast, load_w=frozen(mean_va.real.copy()), load_var=frozen(mean_va.imag.copy()))


@dataclass(eq=False)
class _Band:
    """One latency class of a zone.

    Args:
        mims: (M,) its members; `faster` (M,) they and all faster ones.
        every_s: least time between two of its plans [s].
        failures: how many of its solves have failed in a row.
    """

    kind: LatencyClass
    mims: BoolArray
    faster: BoolArray
    every_s: float
    load: Smoothed
    balancer: Balancer
    due_s: float = -np.inf
    asked: bytes = field(default=b"")
    failures: int = 0

    def is_due(self, bounds: Bounds, now_s: float) -> bool:
        """Its time has come, or what its members may do is no longer what it was when they were last asked."""
        asked = bounds.mim_enabled[self.mims].tobytes() + bounds.port_s_max_va.tobytes()
        if bounds.port_pinned_va is not None:
            asked += bounds.port_pinned_va.tobytes()
        due = now_s >= self.due_s - _TICK_S or asked != self.asked
        if due:
            self.asked, self.due_s = asked, now_s + self.every_s
        return due

    def note(self, plan: Plan) -> bool:
        """Count a solve, whose failure is tried again in the next cycle, however seldom the class is told; whether it did fail."""
        failed = plan.status is SolveStatus.FAILED
        self.failures = self.failures + 1 if failed else 0
        if failed:
            self.due_s = -np.inf
        return failed


class Cascade:
    """Plans for one layout.

    Args:
        balancer: of the fastest class, and the only one where all MIMs are of one class.
        outputs: what every port puts out now, by model and report.
        period_s: time until the next plan [s].
    """

    def __init__(self, operators: TreeOperators, balancer: Balancer, outputs: OutputModel, period_s: float) -> None:
        self._layout = operators.layout
        self._balancer, self._outputs, self._period_s = balancer, outputs, period_s
        delay_s = np.array([mim.latency.delay_s for mim in self._layout.mims], dtype=np.float64)[self._layout.port_mim]
        #: (K,) share of the coming period in which a new setpoint is at work
        self._at_work = np.clip(1 - delay_s / max(period_s, 1e-9), 0.0, 1.0)
        self._bands = _bands(operators, balancer)

    @property
    def balancer(self) -> Balancer:
        """Of the fastest class."""
        return self._balancer

    @property
    def failures(self) -> IntArray:
        """(M,) how many solves of each MIM's class have failed in a row."""
        return np.asarray(sum(band.failures * band.mims for band in self._bands), dtype=np.int64)

    def plan(
        self,
        forecast: LoadForecast,
        bounds: Bounds,
        anchor_va: ComplexArray,
        setpoint_va: ComplexArray,
        *,
        now_s: float,
        gain: FloatArray | None = None,
    ) -> Plan:
        """The setpoints of all classes.

        Args:
            anchor_va: (K,) last internal plan [VA].
            setpoint_va: (K,) in force, NaN = not known [VA].
            now_s: monotonic instant of the image [s].
            gain: (M,) share of each move that is made at once; less than 1 where a device does not keep to its model.
        """
        if len(self._bands) == 1 and not self._bands[0].load.time_constant_s:
            plan = self._balancer.solve(forecast, bounds, anchor_va, setpoint_va)
            self._bands[0].note(plan)
            return plan if gain is None else _eased(plan, self._layout, setpoint_va, gain)
        return self._cascaded(forecast, bounds, anchor_va, setpoint_va, now_s, gain)

    def _cascaded(
        self,
        forecast: LoadForecast,
        bounds: Bounds,
        anchor_va: ComplexArray,
        setpoint_va: ComplexArray,
        now_s: float,
        gain: FloatArray | None,
    ) -> Plan:
        power_va = np.nan_to_num(setpoint_va)
        # what slower MIMs put out on average until the next plan, which in a long period is mostly what they are told now
        given_va = np.where(bounds.mim_enabled[self._layout.port_mim], self._outputs.at(now_s + self._period_s / 2), power_va)
        plans: list[Plan] = []
        failed: BoolArray = np.zeros(len(self._layout.mims), dtype=np.bool_)
        for band in self._bands:
            load = band.load.follow(forecast, now_s)
            if not band.is_due(bounds, now_s):
                continue
            own = replace(bounds, mim_enabled=frozen(bounds.mim_enabled & band.faster))
            slower = ~band.faster[self._layout.port_mim]
            plan = band.balancer.solve(load, own, anchor_va, np.where(slower, given_va, setpoint_va))
            plans.append(plan)
            if band.note(plan):
                failed |= band.mims
                continue
            ports = band.mims[self._layout.port_mim]
            power_va = np.where(ports, plan.inject_w + 1j * plan.inject_var, power_va)
            given_va = np.where(ports, given_va + self._at_work * (power_va - given_va), given_va)
        plan = _merged(plans, power_va, bounds, failed)
        return plan if gain is None else _eased(plan, self._layout, setpoint_va, gain)


def _bands(operators: TreeOperators, balancer: Balancer) -> list[_Band]:
    """Slowest first; the last of them has the given balancer."""
    layout = operators.layout
    kinds = [mim.latency.kind for mim in layout.mims]
    present = [kind for kind in _SLOWEST_FIRST if kind in kinds] or [LatencyClass.FAST]
    bands = []
    for i, kind in enumerate(present):
        members = np.array([k is kind for k in kinds], dtype=np.bool_)
        faster = np.array([k in present[i:] for k in kinds], dtype=np.bool_)
        own = [mim.latency for mim, is_member in zip(layout.mims, members, strict=True) if is_member]
        bands.append(
            _Band(
                kind=kind,
                mims=members,
                faster=faster,
                every_s=max((latency.command_every_s for latency in own), default=0.0),
                load=Smoothed(max((latency.filter_s for latency in own), default=0.0)),
                balancer=balancer if i == len(present) - 1 else Balancer(operators, balancer.frame.settings),
            )
        )
    return bands


def _merged(plans: Sequence[Plan], power_va: ComplexArray, bounds: Bounds, failed: BoolArray) -> Plan:
    """One plan out of those of the classes; it is worth what the worst of them is, and limited by what limits the last.

    It has failed where all of them have; else those classes whose solve has are told in it.
    """
    solved = [plan for plan in plans if plan.status is not SolveStatus.FAILED]
    if not plans:
        held = Plan(power_va.real.copy(), power_va.imag.copy(), SolveStatus.HELD, np.nan, 0.0, 0, 0.0)
        return replace(held, deadband_a=bounds.deadband_a, dwell_s=bounds.dwell_s, mim_at_once=bounds.mim_at_once)
    last = solved[-1] if solved else plans[-1]
    worst = SolveStatus.ALMOST if any(plan.status is SolveStatus.ALMOST for plan in solved) else last.status
    return replace(
        last,
        inject_w=power_va.real.copy(),
        inject_var=power_va.imag.copy(),
        status=worst,
        gap=max(plan.gap for plan in solved or plans),
        iterations=sum(plan.iterations for plan in plans),
        solve_s=sum(plan.solve_s for plan in plans),
        failed=frozen(failed) if solved and failed.any() else None,
    )


def _eased(plan: Plan, layout: SiteLayout, setpoint_va: ComplexArray, gain: FloatArray) -> Plan:
    """The moves of MIMs whose model is doubted, made smaller along the segment: the sum of their ports stays on it."""
    if (gain >= 1).all():
        return plan
    share = np.clip(gain, 0.0, 1.0)[layout.port_mim]
    start_va = np.where(np.isfinite(setpoint_va), setpoint_va, 0.0)
    power_va = start_va + share * (plan.inject_w + 1j * plan.inject_var - start_va)
    return replace(plan, inject_w=power_va.real.copy(), inject_var=power_va.imag.copy())
