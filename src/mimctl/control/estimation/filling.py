"""The missing flows of one cycle: from the readings at hand to values with their uncertainty, or to the reason for having none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from mimctl.control.estimation.sum_watch import SumWatch
from mimctl.forecast.outputs import Outputs
from mimctl.grid.estimate import Estimate, Group, Known, estimate, groups_of
from mimctl.grid.observed import ObservedNetwork, Readings
from mimctl.grid.sums import sums_of
from mimctl.grid.tree import TreeOperators
from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, frozen
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState

#: an estimate is of use where twice its standard deviation is below this share of the node's limit
USEFUL = 0.2
#: what a node drew last is never taken for more certain than this: a share of it, and what it may wander in a minute
_LAST_OF_READING, _WANDER = 0.01, 0.05
#: standard deviation of an estimated voltage, as share of nominal
_OF_VOLTAGE = 0.01
_KEPT_GROUPS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """Estimates of one cycle. Shapes (N, 3) unless said; NaN where there is none.

    Args:
        filled: (N,) nodes with an estimate that is good enough to be used.
        net_va: net import, load positive [VA].
        sigma_va: standard deviations, of P in the real and of Q in the imaginary part.
        phasor_v, voltage_v, sigma_v: phase to neutral [V]; the phasors are nominal where the power flow gave none.
        taken_at_s: the instant of the oldest reading that takes part; NaN where none does [s].
        estimate: what the sums say; margin_a: (N,) twice the deviation on the worst phase [A].
        name: of a node; no_sum: why a node is in no sum.
    """

    filled: BoolArray
    net_va: ComplexArray
    sigma_va: ComplexArray
    phasor_v: ComplexArray
    voltage_v: FloatArray
    sigma_v: FloatArray
    taken_at_s: float
    estimate: Estimate
    margin_a: FloatArray
    name: Callable[[int], str]
    no_sum: Callable[[int], str]

    def how(self, node: int) -> str:
        """In words: where the estimate comes from and how sure it is."""
        others = self._others(node)
        source = (
            "the sums of its neighbours determine it"
            if self.estimate.by_sums[node]
            else f"from a total with {others} and what each drew last"
        )
        return f"{source}; twice its standard deviation is {self.margin_a[node]:.1f} A"

    def why(self, node: int) -> str:
        """In words: why there is no estimate of use."""
        if self.estimate.group[node] < 0:
            return self.no_sum(node)
        others = self._others(node)
        if not np.isfinite(self.margin_a[node]):
            return (
                f"one total for it and {others}, and nothing tells how they share it"
                if others
                else "no reading is left that determines it"
            )
        return f"the estimate is off by up to {self.margin_a[node]:.1f} A" + (f", one total for it and {others}" if others else "")

    def _others(self, node: int) -> str:
        """The nodes that were estimated together with this one."""
        group = np.flatnonzero(self.estimate.group == self.estimate.group[node])
        return ", ".join(self.name(int(n)) for n in group if n != node)


class Filler:
    """Keeps what every node drew last, and the networks of power-grid-model."""

    def __init__(self, operators: TreeOperators, watch: SumWatch) -> None:
        layout = operators.layout
        nodes = len(layout.nodes)
        self._operators, self._layout, self._watch = operators, layout, watch
        self._sums = sums_of(operators, np.ones(nodes, dtype=np.bool_))
        self._groups: dict[bytes, tuple[Group, ...]] = {}
        self._network: ObservedNetwork | None = None
        self._last_va: ComplexArray = np.full((nodes, 3), np.nan + 1j * np.nan)
        self._last_s: FloatArray = np.full(nodes, np.nan)
        self._net_va = np.zeros((nodes, 3), dtype=np.complex128)
        self._log = structlog.get_logger("mimctl.estimate")
        self._failed = False

    def remember(self, trusted: BoolArray, gross_va: ComplexArray, taken_at_s: FloatArray) -> None:
        """What the trusted nodes (N,) draw now, gross (N, 3) [VA]."""
        if trusted.all():
            self._last_va, self._last_s = gross_va, taken_at_s
            return
        self._last_va = np.where(trusted[:, None], gross_va, self._last_va)
        self._last_s = np.where(trusted, taken_at_s, self._last_s)

    def forget(self, nodes: BoolArray) -> None:
        """What these nodes (N,) drew last was never true."""
        if nodes.any():
            self._last_va = np.where(nodes[:, None], np.nan, self._last_va)

    def fill(self, state: SiteState, trusted: BoolArray, missing: BoolArray, gross_va: ComplexArray, outputs: Outputs) -> Filling:
        """Estimate the flows of the missing nodes (N,).

        Args:
            trusted: (N,) readings that count.
            gross_va: (N, 3) [VA].
            outputs: of the MIMs at any instant.
        """
        part = self._sums.members[(self._sums.members & ~trusted).any(axis=1)].any(axis=0) & trusted
        taken_at_s = state.nodes.taken_at_s
        instant_s = float(taken_at_s[part].min()) if part.any() else float("nan")
        behind_va = np.zeros_like(self._net_va)
        if part.any() and len(self._layout.ports):
            behind_va = self._operators.behind(outputs.at(instant_s))
        sigma_va = self._sigma_va(
            np.where(trusted[:, None], gross_va - behind_va, 0), np.where(trusted, taken_at_s - instant_s, 0.0)
        )
        unsure_va = outputs.unsure_va(state.now_s, state.mims.quality > Quality.BAD)
        found = self._estimate(state.now_s, trusted, gross_va, sigma_va, unsure_va)
        guess_va = np.where(trusted[:, None], gross_va, np.nan_to_num(found.gross_va)) - behind_va
        self._net_va = np.where(np.isfinite(guess_va), guess_va, 0)
        net_va, phasor_v = found.gross_va - behind_va, self._nominal_v()
        wanted = missing & np.isfinite(net_va).all(axis=1)
        deviation_va = found.sigma_va
        if wanted.any():
            net_va, phasor_v, deviation_va = self._observed(state, trusted, wanted, sigma_va, net_va, deviation_va)
        margin_a = (2 * np.hypot(deviation_va.real, deviation_va.imag) / self._layout.voltage_ln_v[:, None]).max(axis=1)
        with np.errstate(invalid="ignore"):
            filled = wanted & (margin_a <= USEFUL * self._layout.limit_a)
        return Filling(
            filled=frozen(filled),
            net_va=np.where(filled[:, None], net_va, np.nan),
            sigma_va=np.where(filled[:, None], deviation_va, np.nan),
            phasor_v=phasor_v,
            voltage_v=np.abs(phasor_v),
            sigma_v=np.broadcast_to(_OF_VOLTAGE * self._layout.voltage_ln_v[:, None], (*filled.shape, 3)),
            taken_at_s=instant_s,
            estimate=found,
            margin_a=margin_a,
            name=self._name,
            no_sum=self._no_sum,
        )

    def _sigma_va(self, net_va: ComplexArray, apart_s: FloatArray) -> ComplexArray:
        """(N, 3) of readings taken for an instant that they are so far from; for P and Q alike."""
        both = np.hypot(self._watch.sigma_va(net_va), self._watch.astray_va(np.abs(apart_s)))
        return np.asarray(both * (1 + 1j))

    def _estimate(
        self, now_s: float, trusted: BoolArray, gross_va: ComplexArray, sigma_va: ComplexArray, unsure_va: FloatArray
    ) -> Estimate:
        lost_va, lost_sigma_va = self._watch.losses(self._net_va)
        age_s = np.maximum(now_s - self._last_s, 0.0)[:, None]
        size_va = np.abs(self._last_va)
        variance = (_LAST_OF_READING * size_va) ** 2 + age_s * (self._watch.drift_va2_per_s + (_WANDER * size_va) ** 2 / 60.0)
        return estimate(
            self._sums,
            self._groups_of(trusted),
            Known(
                usable=trusted,
                gross_va=gross_va,
                sigma_va=sigma_va,
                last_va=self._last_va,
                last_sigma_va=np.sqrt(variance) * (1 + 1j),
                lost_va=lost_va,
                lost_sigma_va=lost_sigma_va,
                present=self._layout.phase_present,
                unsure_va=unsure_va,
            ),
        )

    def _groups_of(self, trusted: BoolArray) -> tuple[Group, ...]:
        key = trusted.tobytes()
        if key not in self._groups:
            if len(self._groups) >= _KEPT_GROUPS:
                self._groups.clear()
            self._groups[key] = groups_of(self._sums, trusted)
        return self._groups[key]

    def _observed(
        self,
        state: SiteState,
        trusted: BoolArray,
        wanted: BoolArray,
        sigma_va: ComplexArray,
        net_va: ComplexArray,
        deviation_va: ComplexArray,
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """Flows, voltages and deviations of the wanted nodes as the whole network has it; as the sums have it where that fails."""
        if self._network is None:
            self._network = ObservedNetwork(self._layout)
        voltage_v = np.where(trusted[:, None], state.nodes.voltage_ln_v, np.nan)
        injection_va = self._layout.injection_at_nodes(np.nan_to_num(state.ports.inject_w + 1j * state.ports.inject_var))
        readings = Readings(
            measured=trusted,
            flow_va=self._net_va,
            sigma_va=sigma_va,
            injection_va=injection_va,
            voltage_v=voltage_v,
            sigma_v=self._watch.voltage_sigma_v(voltage_v),
        )
        try:
            found = self._network.solve(readings)
        except PowerFlowFailed as error:
            if not self._failed:
                self._log.warning("no state estimation, the sums alone are used", error=str(error))
            self._failed = True
            return net_va, self._nominal_v(), deviation_va
        self._failed = False
        apart = found.flow_va - net_va
        wider = np.maximum(deviation_va.real, np.abs(apart.real) / 2) + 1j * np.maximum(deviation_va.imag, np.abs(apart.imag) / 2)
        rows = wanted[:, None]
        present = np.where(self._layout.phase_present, found.flow_va, 0)
        return np.where(rows, present, net_va), found.voltage_v, np.where(rows, wider, deviation_va)

    def _nominal_v(self) -> ComplexArray:
        return np.asarray(self._operators.unit_voltages * self._layout.voltage_ln_v[:, None])

    def _name(self, node: int) -> str:
        return self._layout.nodes[node].id

    def _no_sum(self, node: int) -> str:
        """Why a node is in no sum."""
        parent = int(self._layout.parent[node])
        if parent < 0:
            return "nothing stands above it, and below it not all is measured or it has a load of its own"
        name = self._layout.nodes[parent].id
        if self._layout.has_own_load[parent]:
            return f"{name} may have a load of its own, so that no total tells of it"
        return "no total above it is measured"
