"""What one scenario was like: the figures of a run, gathered step by step from the plant's own truth.

Nothing is scored on measurements: they carry the noise and the delay that the controller has to live with. A step only stores
and returns its J; the rest is worked out in blocks. But for the series of J (16 bytes a step) memory does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.analysis.sequence import LIVE_SHARE, magnitude, voltage_unbalance_pct
from mimctl.analysis.unbalance import current_nema_pct, gate_a, sequence_ratios
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.simulation.losses import LossShares
from mimctl.simulation.quantile import Histogram

#: one place's figures; None where there is none (no neutral, never above the gate current, not three-phase)
Metrics = dict[str, float | None]

#: every key that a place has, in the order of the result file
METRICS = (
    "i2_i1_mean",
    "i2_i1_p95",
    "i0_i1_mean",
    "i0_i1_p95",
    "neutral_a_mean",
    "vuf2_p95",
    "unbalance_nema_mean",
    "max_phase_load_pct",
    "overload_min",
    "loss_kwh",
    "objective",
)
#: of these a site has the sum of its feed heads; of the other, which are ratios, the worst feed
_EXTENSIVE = ("neutral_a_mean", "overload_min")

_BLOCK_VALUES = 16384
_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One scored instant of one scenario, out of the plant.

    Args:
        flow_va: (N, 3) complex net import of every node, load positive [VA]
        voltage_v: (N, 3) complex line-to-neutral voltages, at any common angle per node [V]
        current_a: (N, 3) complex fundamental phase currents at each node's breaker [A]
        neutral_a: (N,) neutral current, triplens included where the plant has them; NaN where there is no neutral [A]
        network_loss_w: in all cables and transformers [W]
        mim_loss_w: of all MIMs' conversion and standby [W]
        mim_losses_w: (M,) the MIMs' losses one by one; without it nodes have no loss figure
        branch_losses_w: (N,) the network's losses by branch (node to parent); likewise
        rms_a: (N, 3) phase currents with harmonics; without it the fundamentals are what loads the breakers [A]
    """

    flow_va: ComplexArray
    voltage_v: ComplexArray
    current_a: ComplexArray
    neutral_a: FloatArray
    network_loss_w: float
    mim_loss_w: float
    mim_losses_w: FloatArray | None = None
    branch_losses_w: FloatArray | None = None
    rms_a: FloatArray | None = None


def phase_peak_a(truth: Truth) -> FloatArray:
    """(N,) current on the fullest phase of every node [A]."""
    size = magnitude(truth.current_a) if truth.rms_a is None else truth.rms_a
    peak: FloatArray = np.maximum(np.maximum(size[:, 0], size[:, 1]), size[:, 2])
    return peak


class _Mean:
    """Time-weighted mean of (N,) values, of the time in which they are known."""

    def __init__(self, size: int) -> None:
        self._sum = np.zeros(size)
        self._time = np.zeros(size)

    def add(self, values: FloatArray, dt_s: FloatArray) -> None:
        known = ~np.isnan(values)
        self._sum += dt_s @ np.where(known, values, 0)
        self._time += dt_s @ known

    def value(self) -> FloatArray:
        known = self._time > 0
        return np.where(known, self._sum / np.where(known, self._time, 1), np.nan)


class _Block:
    """Raw values of the steps that are not worked out yet."""

    def __init__(self, nodes: int) -> None:
        self.size = max(8, min(256, _BLOCK_VALUES // max(nodes, 1)))
        self.filled = 0
        self.dt_s = np.empty(self.size)
        self.current = np.empty((self.size, nodes, 3), dtype=np.complex128)
        self.voltage = np.empty_like(self.current)
        self.neutral = np.empty((self.size, nodes))
        self.peak = np.empty((self.size, nodes))

    def push(self, truth: Truth, dt_s: float) -> bool:
        """Take one step in; True when the block is full."""
        i = self.filled
        self.dt_s[i] = dt_s
        self.current[i] = truth.current_a
        self.voltage[i] = truth.voltage_v
        self.neutral[i] = truth.neutral_a
        self.peak[i] = phase_peak_a(truth)
        self.filled = i + 1
        return self.filled == self.size


class ScenarioScore:
    """Accumulates one scenario.

    Args:
        operators: of the site's tree.
        steps_hint: how many steps are to be expected; more are taken all the same.
    """

    def __init__(self, operators: TreeOperators, steps_hint: int = 0) -> None:
        self._layout = layout = operators.layout
        nodes = len(layout.nodes)
        self._sequence = operators.sequence.T
        # Rows scaled so that the plain sum of squares is J = Σ ω·3(|I0|² + |I2|²)/I_rated².
        self._unbalanced = np.ascontiguousarray(self._sequence[:, [0, 2]])
        self._scale = (np.sqrt(3 * layout.omega) / layout.rating_a)[:, None]
        self._gate_a = gate_a(layout.rating_a)
        self._not_three_phase = ~layout.phase_present.all(axis=1)
        self._losses = LossShares(layout)
        self._block = _Block(nodes)
        self._series = np.empty((max(steps_hint, 1024), 2))
        self._steps = 0
        self._means = {k: _Mean(nodes) for k in ("i2_i1", "i0_i1", "neutral_a", "unbalance_nema", "objective")}
        self._histograms = {k: Histogram(nodes) for k in ("i2_i1", "i0_i1", "vuf2")}
        self._peak_a = np.zeros(nodes)
        self._overload_s = np.zeros(nodes)
        self._network_loss_j = 0.0
        self._mim_loss_j = 0.0

    @property
    def objectives(self) -> FloatArray:
        """(T,) J of every step so far."""
        return self._series[: self._steps, 0]

    @property
    def steps_s(self) -> FloatArray:
        """(T,) how long every step stands for [s]."""
        return self._series[: self._steps, 1]

    def add(self, truth: Truth, dt_s: float) -> float:
        """Score one instant.

        Args:
            truth: of the plant in this scenario; its arrays are copied.
            dt_s: how long it stands for [s].

        Returns:
            The reported J of this instant; NaN, and left out of the mean, where the current of any node is unknown.
        """
        weighted = (truth.current_a @ self._unbalanced) * self._scale
        objective = float(np.vdot(weighted, weighted).real)
        if self._steps == len(self._series):
            self._series = np.concatenate([self._series, np.empty_like(self._series)])
        self._series[self._steps] = objective, dt_s
        self._steps += 1
        self._network_loss_j += truth.network_loss_w * dt_s
        self._mim_loss_j += truth.mim_loss_w * dt_s
        self._losses.add(truth.branch_losses_w, truth.mim_losses_w, dt_s)
        if self._block.push(truth, dt_s):
            self._work_out()
        return objective

    def _work_out(self) -> None:
        """Turn the block's raw values into sums and histograms."""
        block, t = self._block, self._block.filled
        if not t:
            return
        dt, current, neutral, peak = block.dt_s[:t], block.current[:t], block.neutral[:t], block.peak[:t]
        sequence = magnitude(current @ self._sequence)
        i0, i1, i2 = sequence[..., 0], sequence[..., 1], sequence[..., 2]
        i2_i1, i0_i1 = sequence_ratios(i0, i1, i2, self._gate_a)
        phase = magnitude(current)
        nema = current_nema_pct(phase, self._gate_a)
        vuf2, _ = voltage_unbalance_pct(block.voltage[:t], self._layout.site.rotation, LIVE_SHARE * self._layout.voltage_ln_v)
        nema[:, self._not_three_phase] = vuf2[:, self._not_three_phase] = np.nan
        objective = 3 * (i0**2 + i2**2) / self._layout.rating_a**2
        means = {"i2_i1": i2_i1, "i0_i1": i0_i1, "neutral_a": neutral, "unbalance_nema": nema, "objective": objective}
        for name, values in means.items():
            self._means[name].add(values, dt)
        for name, values in (("i2_i1", i2_i1), ("i0_i1", i0_i1), ("vuf2", vuf2)):
            self._histograms[name].add(values, dt)
        self._peak_a = np.fmax(self._peak_a, np.fmax.reduce(peak, axis=0))
        self._overload_s += dt @ (peak > self._layout.limit_a)
        block.filled = 0

    def summary(self) -> dict[str, Metrics | dict[str, Metrics]]:
        """The figures so far: `site`, and every node by its id under `nodes`.

        Means are over time; ratios only over the time in which the positive sequence is above the gate current (2 % of the
        breaker rating, at least 0.2 A). `max_phase_load_pct` and `overload_min` refer to the limit for hours. `loss_kwh` of
        a node is that of everything from its supply cable downwards, with the losses of its MIMs.

        Returns:
            The site has the sum over its feed heads of what can be added, the worst feed of what is a ratio, all losses of
            the network and the MIMs, and as `objective` the time mean of J; a node has its own 3(|I0|² + |I2|²)/I_rated².
        """
        self._work_out()
        columns = self._columns()
        nodes = {n.id: _place(columns, i) for i, n in enumerate(self._layout.nodes)}
        return {"site": self._site(columns), "nodes": nodes}

    def _columns(self) -> dict[str, FloatArray]:
        """(N,) per metric, NaN = none."""
        columns = {f"{name}_mean": mean.value() for name, mean in self._means.items()}
        columns |= {f"{name}_p95": histogram.quantile(0.95) for name, histogram in self._histograms.items()}
        columns["objective"] = columns.pop("objective_mean")
        columns["max_phase_load_pct"] = 100 * self._peak_a / self._layout.limit_a
        columns["overload_min"] = self._overload_s / 60
        columns["loss_kwh"] = self._losses.below_j() / _JOULES_PER_KWH
        return {name: columns[name] for name in METRICS}

    def _site(self, columns: dict[str, FloatArray]) -> Metrics:
        heads = {name: column[self._layout.heads] for name, column in columns.items()}
        site: Metrics = {}
        for name, column in heads.items():
            known = column[~np.isnan(column)]
            total = known.sum() if name in _EXTENSIVE else known.max(initial=-np.inf)
            site[name] = float(total) if len(known) else None
        site["loss_kwh"] = (self._network_loss_j + self._mim_loss_j) / _JOULES_PER_KWH
        known = ~np.isnan(self.objectives)
        time_s = float(self.steps_s[known].sum())
        site["objective"] = float(self.objectives[known] @ self.steps_s[known]) / time_s if time_s > 0 else None
        return site


def _place(columns: dict[str, FloatArray], i: int) -> Metrics:
    return {name: None if np.isnan(column[i]) else float(column[i]) for name, column in columns.items()}
