"""The stage between reading and deciding: what is missing is filled where the rest determines it, what is wrong is not used.

Every cycle the readings are held against each other (`sum_watch.py`), which is cheap. Only while something is missing or convicted
does anything get estimated: least squares on the sums say what the missing flows are and how surely (`grid/estimate.py`),
power-grid-model's state estimation gives them with the voltages of the whole network (`grid/observed.py`). The two must agree, or
their difference becomes part of the uncertainty.

An estimate is used where twice its standard deviation is small beside the limit of its node; elsewhere the node stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mimctl.control.estimation.filling import Filler, Filling
from mimctl.control.estimation.last_harmonics import LastHarmonics
from mimctl.control.estimation.moves import MoveWatch
from mimctl.control.estimation.sum_watch import Accuracy, SumWatch
from mimctl.control.estimation.verdicts import Verdicts
from mimctl.control.events import EventLog
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.sums import Sums, sums_of
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout, frozen, joined
from mimctl.model.problem import Severity
from mimctl.model.sample import BAD, Quality
from mimctl.model.state import MimState, NodeState, SiteState

#: a node has to be without a reading for so long before anybody is told how it fares [s]
_TOLD_AFTER_S = 3.0
_KEPT_SUMS = 64


@dataclass(eq=False)
class Estimator:
    """State estimation of one zone, over the cycles.

    Args:
        tracker: knows what the MIMs put out at the instant of each reading.
        tells: (N,) nodes whose gaps are told as events; None = all.
        raw: the last image as it was read.
    """

    operators: TreeOperators
    tracker: LoadTracker
    events: EventLog
    accuracy: Accuracy = field(default_factory=Accuracy)
    tells: BoolArray | None = None
    raw: SiteState | None = None
    _distrusted: BoolArray | None = None
    _distrusted_until_s: float = -np.inf
    _sums: dict[bytes, Sums] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.layout
        self.watch = SumWatch(layout, self.accuracy)
        self.moves = MoveWatch(layout)
        self.verdicts = Verdicts(layout, self.moves)
        self._filler = Filler(self.operators, self.watch)
        self._harmonics = LastHarmonics(self.operators)
        self._seen_s: FloatArray = np.full(len(layout.nodes), -np.inf)
        self._missing_since_s: FloatArray = np.full(len(layout.nodes), np.inf)
        self._trusted_s: FloatArray = np.full(len(layout.nodes), np.nan)

    @property
    def layout(self) -> SiteLayout:
        return self.operators.layout

    @cached_property
    def _metered(self) -> BoolArray:
        return frozen(np.array([meter is not None for meter in self.layout.meter_of_node], dtype=np.bool_))

    def estimate(self, state: SiteState) -> SiteState:
        """The same image with gaps filled, wrong readings taken out, and an uncertainty for every value."""
        nodes, self.raw = state.nodes, state
        read = np.asarray(nodes.quality > BAD)
        gross_va, net_va = self.tracker.gross_load(state), joined(nodes.import_w, nodes.import_var)
        noise_va = self._look(state, read, gross_va, net_va)
        trusted = self._trusted(read, state.now_s)
        missing: BoolArray | None = None
        filling: Filling | None = None
        if trusted.all():  # so it is in nearly every cycle
            self._trusted_s = nodes.taken_at_s
        else:
            self._trusted_s = np.where(trusted, nodes.taken_at_s, self._trusted_s)
            missing = self._metered & ~trusted
        if missing is not None and missing.any():
            filling = self._filler.fill(state, trusted, missing, gross_va, self.tracker.outputs)
            self._compare(filling, read, net_va, state.now_s)
        self._tell(missing, filling, state.now_s)
        own = self._nodes(state, trusted, read, filling, noise_va)
        return SiteState(
            state.layout, state.now_s, state.utc, own, state.ports, self._mims(state.mims), state.batteries, state.transfers
        )

    def _look(self, state: SiteState, read: BoolArray, gross_va: ComplexArray, net_va: ComplexArray) -> FloatArray:
        """The cheap part: follow the readings and hold them against each other.

        Returns:
            (N, 3) standard deviation of each part of the readings that are trusted, noise alone [VA].
        """
        taken_at_s, heard = state.nodes.taken_at_s, state.mims.quality > BAD
        fresh = read & (taken_at_s > self._seen_s)
        self._seen_s = np.where(fresh, taken_at_s, self._seen_s)
        trusted = self._trusted(read, state.now_s)
        self.watch.follow(trusted, gross_va, taken_at_s)
        self.moves.learn(taken_at_s, net_va, gross_va - net_va, np.where(heard, state.mims.taken_at_s, np.nan))
        used_gross, used_net = gross_va, net_va
        if not trusted.all():
            used_gross, used_net = np.where(trusted[:, None], gross_va, 0), np.where(trusted[:, None], net_va, 0)
        unsure_va = self.tracker.outputs.unsure_va(state.now_s, heard)
        check = self.watch.check(
            self._sums_of(trusted), used_gross, used_net, taken_at_s, fresh, state.now_s, unsure_va, state.nodes.vague_var
        )
        self.verdicts.weigh(check, used_net, state.now_s)
        self._filler.remember(trusted & ~self._doubted() if self.verdicts.doubts else trusted, gross_va, taken_at_s)
        self._harmonics.remember(trusted, state.nodes)
        self._filler.forget(self.verdicts.convicted)
        return check.noise_va

    def distrust(self, nodes: BoolArray, until_s: float) -> None:
        """Somebody who sees more than this zone knows that these readings (N,) are wrong; believed until then (monotonic) [s]."""
        self._distrusted, self._distrusted_until_s = (nodes, until_s) if nodes.any() else (None, -np.inf)

    def _trusted(self, read: BoolArray, now_s: float) -> BoolArray:
        """(N,) readings that nobody says are wrong."""
        trusted = read & ~self.verdicts.convicted
        if self._distrusted is not None and now_s < self._distrusted_until_s:
            trusted &= ~self._distrusted
        return trusted

    def _sums_of(self, usable: BoolArray) -> Sums:
        key = usable.tobytes()
        if key not in self._sums:
            if len(self._sums) >= _KEPT_SUMS:
                self._sums.clear()
            self._sums[key] = sums_of(self.operators, usable)
        return self._sums[key]

    def _doubted(self) -> BoolArray:
        flags = np.zeros(len(self.layout.nodes), dtype=np.bool_)
        if self.verdicts.doubts:
            flags[list(self.verdicts.doubts)] = True
        return flags

    def _compare(self, filling: Filling, read: BoolArray, net_va: ComplexArray, now_s: float) -> None:
        """Does a convicted meter tell the truth again?"""
        for node in map(int, np.flatnonzero(self.verdicts.convicted & read & filling.filled)):
            tolerance_va = self.accuracy.threshold * np.sqrt(2) * (filling.sigma_va[node] + self.watch.sigma_va(net_va)[node])
            self.verdicts.compare(node, net_va[node], filling.net_va[node], tolerance_va, now_s)

    def _nodes(
        self, state: SiteState, trusted: BoolArray, read: BoolArray, filling: Filling | None, noise_va: FloatArray
    ) -> NodeState:
        """With an uncertainty for every value; `noise_va` (N, 3) where trusted."""
        nodes, doubted = state.nodes, self._doubted() & trusted
        sigma = np.where(trusted[:, None], noise_va, np.nan)
        for n, error_va in self.verdicts.doubts.items():
            # twice the standard deviation of both parts together is at least the error
            sigma[n] = np.maximum(sigma[n], error_va / np.sqrt(8))
        sigma_v = np.where(read[:, None], self.watch.voltage_sigma_v(nodes.voltage_ln_v), np.nan)
        estimated = np.zeros(len(trusted), dtype=np.bool_)
        own, sigma_var, convicted = nodes, sigma, read & ~trusted
        if self.verdicts.doubts or convicted.any():
            own = replace(nodes, quality=self._quality(nodes.quality, convicted, doubted))
        if convicted.any():
            own = _without(own, convicted, self._trusted_s)
        if filling is not None:
            estimated = filling.filled
            own = _filled(own, filling)
            sigma = np.where(estimated[:, None], filling.sigma_va.real, sigma)
            sigma_var = np.where(estimated[:, None], filling.sigma_va.imag, sigma_var)
            sigma_v = np.where(estimated[:, None], filling.sigma_v, sigma_v)
        return replace(
            own,
            estimated=frozen(estimated),
            doubted=frozen(doubted),
            sigma_w=frozen(sigma),
            sigma_var=frozen(sigma_var),
            sigma_v=frozen(sigma_v),
            harmonic_a=self._harmonics.of(estimated) if filling is not None and estimated.any() else None,
        )

    @staticmethod
    def _quality(quality: IntArray, convicted: BoolArray, doubted: BoolArray) -> IntArray:
        poorer = np.where(doubted, np.minimum(quality, int(Quality.SUSPECT)), quality)
        return frozen(np.where(convicted, BAD, poorer))

    def _mims(self, mims: MimState) -> MimState:
        if not self.verdicts.mim_since_s:
            return mims
        quality = mims.quality.copy()
        doubted = list(self.verdicts.mim_since_s)
        quality[doubted] = np.minimum(quality[doubted], int(Quality.SUSPECT))
        return replace(mims, quality=frozen(quality))

    def _tell(self, missing: BoolArray | None, filling: Filling | None, now_s: float) -> None:
        self.events.keep_only("bad_meter", self.verdicts.events(), Severity.WARNING)
        if missing is None:
            self._missing_since_s.fill(np.inf)
            self.events.keep_only("node.estimated", (), Severity.INFO)
            self.events.keep_only("node.unknown", (), Severity.WARNING)
            return
        self._missing_since_s = np.where(missing, np.minimum(self._missing_since_s, now_s), np.inf)
        overdue = missing & (now_s - self._missing_since_s >= _TOLD_AFTER_S)
        told = np.flatnonzero(overdue if self.tells is None else overdue & self.tells)
        filled, unknown = [], []
        for n in map(int, told):
            name = self.layout.nodes[n].id
            if filling is not None and filling.filled[n]:
                filled.append((name, f"{name}: its flow is estimated, {filling.how(n)}"))
            else:
                unknown.append((name, f"{name}: its flow is not known: {'' if filling is None else filling.why(n)}"))
        self.events.keep_only("node.estimated", filled, Severity.INFO)
        self.events.keep_only("node.unknown", unknown, Severity.WARNING)


def _without(nodes: NodeState, convicted: BoolArray, trusted_at_s: FloatArray) -> NodeState:
    """The readings of convicted meters taken out; their voltages stay, no current transformer has a part in them.

    What is known of the node is as old as the last reading that was trusted, however often its meter answers: whoever waits for
    it to tell the truth again must not wait for ever.
    """
    rows = convicted[:, None]
    blocks = {name: frozen(np.where(rows, np.nan, getattr(nodes, name))) for name in ("import_w", "import_var", "current_a")}
    blocks["taken_at_s"] = frozen(np.where(convicted, trusted_at_s, nodes.taken_at_s))
    return replace(nodes, neutral_a=frozen(np.where(convicted, np.nan, nodes.neutral_a)), **blocks)


def _filled(nodes: NodeState, filling: Filling) -> NodeState:
    """Estimates in the place of what is missing."""
    at, rows = filling.filled, filling.filled[:, None]
    voltage = np.where(rows & np.isnan(nodes.voltage_ln_v), filling.voltage_v, nodes.voltage_ln_v)
    current = np.conj(filling.net_va / filling.phasor_v)
    return replace(
        nodes,
        import_w=frozen(np.where(rows, filling.net_va.real, nodes.import_w)),
        import_var=frozen(np.where(rows, filling.net_va.imag, nodes.import_var)),
        voltage_ln_v=frozen(voltage),
        current_a=frozen(np.where(rows, np.abs(current), nodes.current_a)),
        neutral_a=frozen(np.where(at, np.abs(current.sum(axis=1)), nodes.neutral_a)),
        quality=frozen(np.where(at, int(Quality.SUSPECT), nodes.quality)),
        taken_at_s=frozen(np.where(at, filling.taken_at_s, nodes.taken_at_s)),
    )
