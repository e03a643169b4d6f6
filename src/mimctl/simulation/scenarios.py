"""Scored scenarios of one simulation, fed an instant at a time and solved in batches: the network is the costly part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.grid.harmonics import FilterPorts
from mimctl.grid.losses import ConversionLosses
from mimctl.grid.network import PowerNetwork
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.simulation.power_quality import PowerQuality
from mimctl.simulation.score import ScenarioScore, Truth
from mimctl.twin.filters import Filtering
from mimctl.twin.harmonics import HarmonicFlow, Harmonics
from mimctl.twin.loads import LoadSet
from mimctl.twin.terminals import Terminals

_BLOCK = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Distortion:
    """Harmonic currents of one instant: what the loads draw, less what filters take.

    Args:
        load_va: (L,) the loads that it belongs to.
        phase_a: (N, 3) rms of all harmonics [A]
        neutral_a: (N,) the same in the neutral, where triplens add [A]
        flow: all of it.
        filter_loss_w: (M,) conversion losses that the filters add [W]; None = no filter is at work.
    """

    load_va: ComplexArray
    phase_a: FloatArray
    neutral_a: FloatArray
    flow: HarmonicFlow
    filter_loss_w: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Instant:
    """One instant of one scenario, waiting to be solved. `row`: its question to the network; `quality_s`: as in `add`."""

    scenario: str
    row: int
    load_va: ComplexArray
    port_va: ComplexArray
    mim_loss_w: FloatArray
    distortion: _Distortion
    dt_s: float
    quality_s: float = 0.0


@dataclass(eq=False)
class ScoreBoard:
    """Plant truth of every scenario at the same instants, into one score each.

    Args:
        names: the scenarios, in order of report.
        on_instant: given the truth and J of every scenario, once per instant and in order of time.
    """

    operators: TreeOperators
    loads: LoadSet
    ports: Terminals
    names: Sequence[str]
    steps_hint: int
    on_instant: Callable[[Mapping[str, Truth], Mapping[str, float], float], None]
    scores: Mapping[str, ScenarioScore] = field(init=False)
    qualities: dict[str, PowerQuality] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.operators.layout
        self._losses = ConversionLosses(layout)
        self._filters = FilterPorts(layout)
        self._network = PowerNetwork(layout)
        self._harmonics = Harmonics(layout, self.loads)
        nothing = np.zeros((len(layout.nodes), 3), dtype=np.complex128)
        self._no_load_v = self._network.solve(nothing).voltage_v
        self._drawn: _Distortion | None = None
        self._waiting: list[_Instant] = []
        self._questions: list[tuple[ComplexArray, ComplexArray | None]] = []
        self._last: dict[str, _Instant] = {}
        self.scores = {name: ScenarioScore(self.operators, self.steps_hint) for name in self.names}

    def add(
        self,
        scenario: str,
        load_va: ComplexArray,
        port_va: ComplexArray,
        mim_loss_w: FloatArray,
        dt_s: float,
        *,
        filtering: Filtering | None = None,
        quality_s: float = 0.0,
    ) -> None:
        """One instant. Every scenario is added once per instant, in any order.

        Args:
            load_va: (L,) powers of the loads [VA].
            port_va: (K,) what the MIM ports deliver [VA].
            mim_loss_w: (M,) conversion losses [W].
            dt_s: time the instant stands for [s].
            filtering: what the harmonic filters do; None = nothing.
            quality_s: time it stands for in the figures of distortion [s]; 0 = it is none of the instants they are worked out at.
        """
        last = self._last.get(scenario)
        if last is not None and last.load_va is load_va and last.port_va is port_va:
            row = last.row  # nothing has moved in this scenario since: one solve serves both
        else:
            row = len(self._questions)
            phase = self.loads.terminals.phase_power(load_va) - self.ports.phase_power(port_va)
            pairs = _difference(self.loads.terminals.pair_power(load_va), self.ports.pair_power(port_va))
            self._questions.append((phase, pairs))
        distortion = self._distortion(load_va) if filtering is None else self._filtered(load_va, filtering)
        instant = _Instant(scenario, row, load_va, port_va, mim_loss_w, distortion, dt_s, quality_s)
        self._last[scenario] = instant
        self._waiting.append(instant)
        if len(self._waiting) == _BLOCK * len(self.names):
            self.flush()

    def _distortion(self, load_va: ComplexArray) -> _Distortion:
        if self._drawn is None or self._drawn.load_va is not load_va:
            self._drawn = self._solved(load_va, None)
        return self._drawn

    def _solved(self, load_va: ComplexArray, filtering: Filtering | None) -> _Distortion:
        """At no-load voltages: what the loads draw hardly depends on the scenario."""
        flow = self._harmonics.solve(load_va, self._no_load_v, np.zeros_like(self._no_load_v), filtering)
        return _Distortion(load_va, np.sqrt((np.abs(flow.current_a) ** 2).sum(axis=-1)), flow.neutral_a, flow)

    def _filtered(self, load_va: ComplexArray, filtering: Filtering) -> _Distortion:
        found = self._solved(load_va, filtering)
        if found.flow.filter_a is None:
            return found
        layout = self.operators.layout
        size_va = np.abs(filtering.power_va)
        harmonic_va = found.flow.filter_a / self._filters.rating_a * layout.port_rating_va
        losses_w = self._losses.watts(np.hypot(size_va, harmonic_va).astype(np.complex128)) - self._losses.watts(filtering.power_va)
        return replace(found, filter_loss_w=losses_w)

    def _note_quality(self, instant: _Instant, current_a: ComplexArray, voltage_v: ComplexArray) -> None:
        """Distortion of one instant, for the scenarios that are asked for it."""
        if instant.scenario not in self.qualities:
            self.qualities[instant.scenario] = PowerQuality(self.operators.layout)
        extra_w = instant.distortion.filter_loss_w
        total_w = 0.0 if extra_w is None else float(extra_w.sum())
        self.qualities[instant.scenario].add(instant.distortion.flow, current_a, voltage_v, total_w, instant.quality_s)

    def flush(self) -> None:
        """Solve and score what waits."""
        if not self._waiting:
            return
        phase = np.stack([question[0] for question in self._questions])
        pairs = None
        if any(question[1] is not None for question in self._questions):
            nothing = np.zeros_like(phase[0])
            pairs = np.stack([nothing if question[1] is None else question[1] for question in self._questions])
        found = self._network.solve_batch(phase, pairs)
        neutral = np.abs(found.current_a.sum(axis=-1))
        loss = found.loss_w
        truths: dict[str, Truth] = {}
        objectives: dict[str, float] = {}
        for instant in self._waiting:
            i, distortion = instant.row, instant.distortion
            mims_w = instant.mim_loss_w if distortion.filter_loss_w is None else instant.mim_loss_w + distortion.filter_loss_w
            if instant.quality_s > 0 and len(distortion.flow.orders):
                self._note_quality(instant, found.current_a[i], found.voltage_v[i])
            truth = Truth(
                found.flow_va[i],
                found.voltage_v[i],
                found.current_a[i],
                np.hypot(neutral[i], distortion.neutral_a),
                float(loss[i]),
                float(mims_w.sum()),
                mims_w,
                found.branch_loss_w[i],
                np.hypot(np.abs(found.current_a[i]), distortion.phase_a),
            )
            truths[instant.scenario] = truth
            objectives[instant.scenario] = self.scores[instant.scenario].add(truth, instant.dt_s)
            if len(truths) == len(self.names):
                self.on_instant(truths, objectives, instant.dt_s)
                truths, objectives = {}, {}
        self._waiting.clear()
        self._questions.clear()
        self._last.clear()


def _difference(a: ComplexArray | None, b: ComplexArray | None) -> ComplexArray | None:
    if a is None or b is None:
        return a if b is None else -b
    return a - b
