"""`simulate`: the very cycle that runs in the service, on a virtual clock, beside its rivals.

Time runs in steps of S. At the start of a step the loads take their new value and every device is sampled; the controller
acts on the samples of the step *before* (measurements one cycle old), and its devices respond. Every scenario is scored as the
mean over each step, all at the same loads: at three Gauss-Legendre points, since the devices' response is a sum of exponentials
whose middle value would flatter (at a step of 1 s by up to a tenth of a response).

Reference: M. Abramowitz, I. A. Stegun, "Handbook of mathematical functions", table 25.4.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.explain.case import Question
from mimctl.control.site_controller import build_site_controller
from mimctl.control.zone import ZoneController
from mimctl.grid.losses import ConversionLosses
from mimctl.grid.tree import TreeOperators
from mimctl.model.clock import VirtualClock
from mimctl.model.decision import DecisionRecord
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import Verdict
from mimctl.model.site import Site
from mimctl.simulation.calm import Travel, together
from mimctl.simulation.compare import Comparison
from mimctl.simulation.explained import Explanation
from mimctl.simulation.fault_report import FaultReport
from mimctl.simulation.faults import FaultRun
from mimctl.simulation.radios import RadioLinks
from mimctl.simulation.rivals import OptimumRival, RuleRival
from mimctl.simulation.scenarios import ScoreBoard
from mimctl.simulation.score import Truth
from mimctl.simulation.without import EVERYBODY, Without
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant
from mimctl.twin.terminals import port_terminals

#: a device must outlive this many missed steps, whatever its site file says: virtual steps can be long
_VALIDITY_STEPS = 3.5
_PROGRESS_EVERY = 50
#: instants within a step, as shares of it, and the time that each stands for
_POINTS = (0.5 - 0.15**0.5, 0.5, 0.5 + 0.15**0.5)
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)
#: the one of them at which distortion is looked at
_MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What to simulate.

    Args:
        loads: the site's loads with their source (generator or trace).
        start: wall-clock instant of the first step.
        optimum: whether the yardstick is worked out (it costs about as much as the control).
        faults: what goes wrong, and when.
        without: controllers that do not run at all.
        explain: one decision to be explained.
        frame_loss_pct: share of all frames on radio links that is lost, from the beginning to the end [%].
    """

    site: Site
    loads: LoadSet
    start: datetime
    hours: float
    step_s: float
    seed: int
    optimum: bool = True
    faults: tuple[Fault, ...] = ()
    without: Without = EVERYBODY
    explain: Question | None = None
    frame_loss_pct: float = 0.0


@dataclass(eq=False)
class _Counts:
    """What the controller did."""

    writes: int = 0
    failed_writes: int = 0
    clamps: int = 0
    refusals: int = 0
    over_rating: int = 0
    cycle_ms: list[float] = field(default_factory=list)

    def note(self, records: list[DecisionRecord]) -> None:
        self.cycle_ms.append(1000 * sum(seconds for r in records for _, seconds in r.durations_s))
        for record in records:
            self.writes += sum(o.kind != "refresh" and o.error is None for o in record.outcomes)
            self.failed_writes += sum(o.error is not None for o in record.outcomes)
            self.clamps += sum(j.verdict is Verdict.SCALED for j in record.safe_plan.judgements)
            self.refusals += sum(j.verdict is Verdict.REFUSED for j in record.safe_plan.judgements)

    def check_ratings(self, zone: ZoneController) -> None:
        """Setpoints as the registers hold them, whole watts and vars, may not exceed a rating."""
        setpoint = zone.cycle.dispatcher.held.setpoint_va
        self.over_rating += int((np.abs(setpoint) > zone.layout.port_rating_va + 1e-6).sum())


def adapt(site: Site, step_s: float) -> Site:
    """The site with timers that fit the step, where its own are shorter."""
    mims = tuple(replace(m, validity_s=max(m.validity_s, _VALIDITY_STEPS * step_s)) for m in site.mims)
    control = replace(site.control, max_data_age_s=max(site.control.max_data_age_s, 3 * step_s))
    return replace(site, mims=mims, control=control)


def simulate(request: Request, progress: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """Run to the end.

    Args:
        progress: told the seconds simulated so far.

    Returns:
        The result file's dictionary.
    """
    return asyncio.run(_Simulation(request, progress).run())


class _Simulation:
    def __init__(self, request: Request, progress: Callable[[float], None]) -> None:
        self._request, self._progress = request, progress
        self._steps = max(1, round(request.hours * 3600 / request.step_s))
        site = adapt(request.site, request.step_s)
        self._layout = layout = SiteLayout(site)
        self._operators = TreeOperators(layout)
        self._clock = VirtualClock(request.start)
        self._fleet = MimFleet(layout)
        self._plant = Plant(layout, request.loads, fleet=self._fleet)
        self._idle = np.zeros(len(layout.ports), dtype=np.complex128)
        self._off = np.zeros(len(layout.mims))
        self._group = PlantDriverGroup(self._plant, delay_cycles=1, seed=request.seed)
        self._radios = RadioLinks(self._plant, self._fleet, self._group, self._clock, seed=request.seed, cycle_s=request.step_s)
        schedule(self._plant, _always(request))
        self._events = EventLog(self._clock)
        self._controller = build_site_controller(site, [self._group], self._clock, self._events, cycle_s=request.step_s)
        self._faults = FaultRun(request.faults, self._plant, self._fleet, self._clock)
        self._report = FaultReport(request.faults, layout, request.step_s, len(_POINTS), yardstick=request.optimum)
        self._losses = ConversionLosses(layout)
        self._site_due_s = 0.0
        self._rule = RuleRival(self._operators)
        self._optimum = OptimumRival(self._operators) if request.optimum else None
        names = ["baseline", "controlled", "rule"] + (["optimum"] if request.optimum else [])
        self._comparison = Comparison(layout, request.step_s)
        self._board = ScoreBoard(
            self._operators, request.loads, port_terminals(layout), names, self._steps * len(_POINTS), self._on_instant
        )
        self._counts = _Counts()
        self._why = None if request.explain is None else Explanation(request.explain, request.step_s)
        self._travels = [Travel(zone.layout) for zone in self._controller.zones]

    async def run(self) -> dict[str, Any]:
        started = time.perf_counter()
        measured = self._request.loads.node_load(0.0)
        for step in range(self._steps):
            now_s = step * self._request.step_s
            await self._control(now_s)
            load_va = self._request.loads.at(now_s)
            self._rule.fleet.advance_to(now_s)
            self._rule.command(measured)
            measured = self._request.loads.terminals.nominal_power(load_va)
            self._score(now_s, load_va, measured)
            if step % _PROGRESS_EVERY == 0:
                self._progress(now_s)
        self._board.flush()
        return self._result(time.perf_counter() - started)

    def _on_instant(self, truths: Mapping[str, Truth], objectives: Mapping[str, float], dt_s: float) -> None:
        self._comparison.add(truths, objectives, dt_s)
        if self._request.faults:
            self._report.add(truths, objectives, dt_s)

    def _permitted(self) -> FloatArray | None:
        """(M,) share of its ratings that locks and reserves leave to each MIM, whoever commands it; None = all of them."""
        found = [(zone.layout, zone.cycle.rules.permitted()) for zone in self._controller.zones]
        if all(share is None for _, share in found):
            return None
        permitted = np.ones(len(self._layout.mims))
        for layout, share in found:
            if share is not None:
                permitted[[self._layout.mim_index[mim.id] for mim in layout.mims]] = share
        return permitted

    def _score(self, now_s: float, load_va: ComplexArray, node_load_va: ComplexArray) -> None:
        """One step of every scenario; loads, and with them baseline and optimum, stand still in it."""
        step_s, board = self._request.step_s, self._board
        given = self._faults.given(self._permitted())
        best = None if self._optimum is None else self._optimum.injection(node_load_va, self._fleet.discharge_w, given)
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
            dt_s = weight * step_s
            self._plant.advance_to(now_s + point * step_s)
            self._rule.fleet.advance_to(now_s + point * step_s)
            quality_s = step_s if point == _MIDDLE else 0.0
            board.add("baseline", load_va, self._idle, self._off, dt_s, quality_s=quality_s)
            given_va, lost_w = self._fleet.inject_va, self._fleet.mim_loss_w
            board.add("controlled", load_va, given_va, lost_w, dt_s, filtering=self._fleet.filtering(), quality_s=quality_s)
            board.add("rule", load_va, self._rule.injection(given), self._rule.fleet.mim_loss_w, dt_s)
            if best is not None:
                board.add("optimum", load_va, best, self._losses.watts(best), dt_s)

    async def _control(self, now_s: float) -> None:
        """Sample every device, then let each zone act on the samples of the step before."""
        self._plant.advance_to(now_s)
        self._clock.advance_to(now_s)
        self._group.capture(now_s)
        self._faults.advance_to(now_s)
        without, stopped = self._request.without, self._faults.stopped | self._request.without.zones
        records = [await zone.step() for zone in self._controller.zones if zone.id not in stopped]
        # after the zones: what they have just seen is of the same instant as the meters above them
        if now_s >= self._site_due_s and not (self._faults.site_paused or without.site):
            self._site_due_s = now_s + self._request.site.control.site_period_s
            await self._controller.solve_site()
        self._counts.note(records)
        if self._why is not None:
            self._why.look(self._controller)
        if self._request.faults:
            self._report.hear(self._events, now_s)
        for zone, travel in zip(self._controller.zones, self._travels, strict=True):
            self._counts.check_ratings(zone)
            travel.add(zone.cycle.dispatcher.held.setpoint_va, self._request.step_s)

    def _harmonics(self) -> dict[str, Any]:
        """What harmonics did, without control and with it; nothing where no load has any."""
        found = self._board.qualities
        return {"harmonics": {name: quality.summary() for name, quality in found.items()}} if found else {}

    def _air(self) -> dict[str, Any]:
        """What was on the air; nothing where no MIM is on a radio."""
        found = self._radios.summary(self._steps * self._request.step_s)
        return {"air": found} if found else {}

    def _result(self, wall_s: float) -> dict[str, Any]:
        request, counts = self._request, self._counts
        scenarios: Mapping[str, Any] = {name: score.summary() for name, score in self._board.scores.items()}
        comparison = self._comparison.summary()
        cycle_ms = np.array(counts.cycle_ms)
        fault = self._comparison.fault()
        if fault is not None:  # a share above one means that the yardstick is none
            comparison |= {"achieved_share": None, "rule_share": None}
        faults = {"faults": self._report.summary()} if request.faults else {}
        return {
            **scenarios,
            **comparison,
            **self._harmonics(),
            **faults,
            **self._air(),
            **({} if self._why is None else {"explained": self._why.answers(self._controller)}),
            "fault": fault,
            "limit_violations": comparison["limit_violations"] + counts.over_rating,
            "writes": counts.writes,
            "failed_writes": counts.failed_writes,
            "calm": together(self._travels),
            "cycles": self._steps,
            "cycle_ms": {"p50": float(np.percentile(cycle_ms, 50)), "p99": float(np.percentile(cycle_ms, 99))},
            "clamps": counts.clamps,
            "refusals": counts.refusals,
            "wall_s": wall_s,
            "times_real_time": self._steps * request.step_s / wall_s,
            "site": request.site.id,
            "start": request.start,
            "hours": self._steps * request.step_s / 3600,
            "step_s": request.step_s,
            "seed": request.seed,
        }


def _always(request: Request) -> list[Fault]:
    """What is wrong with links from the beginning to the end."""
    radios = tuple(link.id for link in request.site.links if link.type.is_radio)
    lossy = Fault(FaultKind.LINK_LOSS, radios, values=(("loss_pct", request.frame_loss_pct),))
    gone = Fault(FaultKind.LINK_DOWN, tuple(sorted(request.without.links)))
    return [*([lossy] if request.frame_loss_pct > 0 else []), *([gone] if request.without.links else [])]
