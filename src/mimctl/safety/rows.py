"""All limits of the tree as rows of one form: |complex affine| ≤ limit and real affine ≤ limit, in the setpoints together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.safety.picture import Picture
from mimctl.safety.ratings import Ratings
from mimctl.safety.segment import BOUNDLESS, band_interval, disc_interval

#: rows may be over by this share of their limit, and by this much [A]: what floating point leaves
_RELATIVE, _ABSOLUTE = 1e-9, 1e-6
#: a voltage row is in thousandths of nominal, so that one tolerance fits all
_PER_MILLE = 1000.0


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one cycle: first the cones, V·N·4 (three phases and the neutral), then the bands: V·G·3 guarded nodes, N·3 voltages
    above, N·3 voltages below. Currents in A, voltages in ‰ of nominal."""

    ratings: Ratings
    picture: Picture
    unit: float

    @property
    def _views(self) -> int:
        return len(self.picture.base_va)

    @cached_property
    def cones(self) -> int:
        return int(self._views * len(self.ratings.layout.nodes) * 4)

    @cached_property
    def _scale(self) -> FloatArray:
        """(N,) factor on the impedance of each branch."""
        scale = self.picture.impedance_scale
        return np.ones(len(self.ratings.layout.nodes)) if scale is None else scale

    @cached_property
    def limit(self) -> FloatArray:
        """(R,)"""
        picture, control = self.picture, self.ratings.layout.site.control
        result = np.empty(self._count)
        cones, heads, voltages = self._parts(result)
        cones[..., :3], cones[..., 3] = picture.current_a, picture.neutral_a
        np.clip(-(picture.import_w / self.ratings.guarded_v), -BOUNDLESS, BOUNDLESS, out=heads)
        known = np.isfinite(picture.highest_pu)
        voltages[0] = np.where(known, _PER_MILLE * control.max_voltage_pu, BOUNDLESS)
        voltages[1] = np.where(known, -_PER_MILLE * control.min_voltage_pu, BOUNDLESS)
        return result

    @cached_property
    def _count(self) -> int:
        layout = self.ratings.layout
        return int(self.cones + self._views * len(layout.guarded) * 3 + 2 * len(layout.nodes) * 3)

    def _parts(self, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Views of rows (R,): (V, N, 4) cones, (V, G, 3) guarded nodes, (2, N, 3) voltages above and below."""
        views, bands = self._views, self.cones + self._views * len(self.ratings.layout.guarded) * 3
        return (
            rows[: self.cones].reshape(views, -1, 4),
            rows[self.cones : bands].reshape(views, -1, 3),
            rows[bands:].reshape(2, -1, 3),
        )

    @cached_property
    def tolerance(self) -> FloatArray:
        """(R,)"""
        return _ABSOLUTE + _RELATIVE * np.abs(self.limit)

    def _made_of(self, flow_va: ComplexArray, high_pu: FloatArray, low_pu: FloatArray) -> ComplexArray:
        """(R,) rows of flows (V, N, 3), or (N, 3) in every view [VA], and of voltages (N, 3) [pu]; the bands real."""
        result = np.empty(self._count, dtype=np.complex128)
        cones, heads, voltages = self._parts(result)
        currents = flow_va * self.ratings.per_volt
        cones[..., :3] = currents
        # spelled out, for a reduction over an axis of three costs several times as much
        cones[..., 3] = currents[..., 0] + currents[..., 1] + currents[..., 2]
        heads[:] = flow_va.real[..., self.ratings.layout.guarded, :] / -self.ratings.guarded_v
        np.multiply(high_pu, _PER_MILLE, out=voltages[0])
        np.multiply(low_pu, -_PER_MILLE, out=voltages[1])
        return result

    @cached_property
    def _base(self) -> ComplexArray:
        """(R,) every row with the MIMs under command at zero."""
        picture = self.picture
        high_pu, low_pu = (np.where(np.isnan(pu), 0.0, pu) for pu in (picture.highest_pu, picture.lowest_pu))
        return self._made_of(picture.base_va, high_pu, low_pu)

    def response(self, power_va: ComplexArray) -> ComplexArray:
        """(R,) what setpoints (K,) add to every row; the bands real."""
        lowered_va = self.ratings.operators.behind(power_va)
        rise_pu = self.ratings.sensitivity.rise_pu(lowered_va, self.picture.impedance_scale)
        return self._made_of(-lowered_va, rise_pu, rise_pu)

    def values(self, affine: ComplexArray) -> FloatArray:
        """(R,) the sizes that the limits hold, of affine values (R,)."""
        result = affine.real.copy()
        np.abs(affine[: self.cones], out=result[: self.cones])
        return result

    def affine(self, power_va: ComplexArray) -> ComplexArray:
        """(R,) every row with these setpoints (K,) [VA]."""
        return self._base + self.response(power_va)

    def over(self, power_va: ComplexArray, bound: FloatArray) -> BoolArray:
        """(R,) rows beyond `bound` (R,) with these setpoints."""
        result: BoolArray = self.values(self.affine(power_va)) > bound + self.tolerance
        return result

    @cached_property
    def rounding(self) -> FloatArray:
        """(R,) what rounding every setpoint to whole units is likely to add to a row at most."""
        layout = self.ratings.layout
        flow_va = self.unit * self.ratings.rounding_va
        currents = flow_va / layout.voltage_ln_v[:, None]
        cones = np.concatenate([currents, currents.sum(axis=1, keepdims=True)], axis=1).reshape(-1)
        voltages = _PER_MILLE * (self.ratings.sensitivity.size @ (flow_va * self._scale[:, None]).reshape(-1))
        heads = currents[layout.guarded].reshape(-1)
        return np.concatenate(
            [np.tile(cones, self._views), np.tile(heads, self._views), voltages.reshape(-1), voltages.reshape(-1)]
        )

    def interval(self, start: ComplexArray, move: ComplexArray, bound: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The t for which affine start + t·move keeps every row within `bound`, row by row."""
        cones = disc_interval(start[: self.cones], move[: self.cones], bound[: self.cones])
        bands = band_interval(start[self.cones :].real, move[self.cones :].real, bound[self.cones :])
        return np.concatenate([cones[0], bands[0]]), np.concatenate([cones[1], bands[1]])

    def place(self, row: int) -> tuple[str, int, int]:
        """Kind of a row (`current`, `neutral`, `reverse`, `voltage_high`, `voltage_low`), its node and phase column."""
        nodes = len(self.ratings.layout.nodes)
        if row < self.cones:
            node, column = divmod(row % (nodes * 4), 4)
            return ("neutral", node, 0) if column == 3 else ("current", node, column)
        row -= self.cones
        heads = self.ratings.layout.guarded
        if row < self._views * len(heads) * 3:
            head, column = divmod(row % (len(heads) * 3), 3)
            return "reverse", int(heads[head]), column
        row -= self._views * len(heads) * 3
        kind = "voltage_high" if row < nodes * 3 else "voltage_low"
        node, column = divmod(row % (nodes * 3), 3)
        return kind, node, column

    def at(self, nodes: BoolArray) -> BoolArray:
        """(R,) the rows of currents and imports at these nodes (N,) themselves."""
        voltages = np.zeros(3 * len(nodes), dtype=np.bool_)
        cones, heads = np.repeat(nodes, 4), np.repeat(nodes[self.ratings.layout.guarded], 3)
        return np.concatenate([np.tile(cones, self._views), np.tile(heads, self._views), voltages, voltages])

    def spread(self, nodes: BoolArray) -> BoolArray:
        """(R,) rows that change when something moves below these nodes (N,), which include all that stand above it."""
        voltages = np.repeat(self.ratings.ancestors @ nodes.astype(np.float64) > 0, 3)
        cones, heads = np.repeat(nodes, 4), np.repeat(nodes[self.ratings.layout.guarded], 3)
        return np.concatenate([np.tile(cones, self._views), np.tile(heads, self._views), voltages, voltages])

    def movers(self, rows: BoolArray) -> BoolArray:
        """(M,) MIMs that have a part in any of these rows (R,)."""
        layout, nodes = self.ratings.layout, np.zeros(len(self.ratings.layout.nodes), dtype=np.bool_)
        for row in np.flatnonzero(rows):
            kind, node, _ = self.place(int(row))
            nodes |= layout.below[:, node] if kind.startswith("voltage") else np.arange(len(nodes)) == node
        result: BoolArray = self.ratings.touches.T @ nodes.astype(np.float64) > 0
        return result

    def shares(self, row: int, power_va: ComplexArray) -> ComplexArray:
        """(M,) what each MIM's setpoints add to one row; they sum to the row's `response`."""
        ratings = self.ratings
        kind, node, column = self.place(row)
        if kind == "current":
            weights = -ratings.flow_row(3 * node + column) * ratings.per_volt[node, column]
        elif kind == "neutral":
            weights = -sum((ratings.flow_row(3 * node + c) * ratings.per_volt[node, c] for c in range(3)), np.zeros(1, complex))
        elif kind == "reverse":
            weights = ratings.flow_row(3 * node + column) / ratings.layout.voltage_ln_v[node]
        else:
            sign = _PER_MILLE if kind == "voltage_high" else -_PER_MILLE
            along = ratings.sensitivity.row(node, column) * np.repeat(self._scale, 3)
            weights = sign * (along @ ratings.port_flow)
        added = ratings.sums(weights * power_va)
        return added if row < self.cones else added.real + 0j
