"""How node voltages answer to node flows: from cable data, and corrected by what the meters show."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.grid.linear import LinearMap
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.node import Node, Winding
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState


def phase_ohm(node: Node) -> complex:
    """Impedance of each phase conductor and winding between a node and its parent, at the node's own voltage [Ω]."""
    z = 0j if node.cable is None else complex(node.cable.r_ohm, node.cable.x_ohm)
    if node.transformer is not None:
        t = node.transformer
        base = 3 * node.voltage_ln_v**2 / t.rated_va
        size, r = t.short_circuit_voltage_pct / 100 * base, t.copper_loss_w / t.rated_va * base
        z += complex(r, np.sqrt(max(size**2 - r**2, 0.0)))
    return z


def neutral_ohm(node: Node) -> complex:
    """Impedance of the neutral conductor between a node and its parent; 0 where there is none [Ω]."""
    return 0j if node.cable is None else complex(node.cable.r_neutral_ohm or 0.0, node.cable.x_neutral_ohm or 0.0)


def source_ohm(layout: SiteLayout) -> ComplexArray:
    """(N,) impedance of the source behind each feed head, 0 elsewhere [Ω]."""
    result = np.zeros(len(layout.nodes), dtype=np.complex128)
    for feed in layout.site.feeds:
        n = layout.node_index[feed.node]
        x = 3 * layout.voltage_ln_v[n] ** 2 / feed.short_circuit_va / np.hypot(1.0, feed.rx_ratio)
        result[n] = complex(feed.rx_ratio * x, x)
    return result


@dataclass(frozen=True, eq=False)
class VoltageSensitivity:
    """Of one layout. N nodes.

    A current I_p of phase p drops Z_phase·I_p in its conductor and Z_neutral·ΣI in the common neutral, which every phase of the
    node sees. Drops along the way add up; through a Dyn transformer they turn as its voltages do, which is the transpose of how
    flows pass it (an ideal transformer has no losses).

    Reference: the linear voltage drop of radial feeders (M. Baran, F. Wu, IEEE Trans. Power Delivery 4(1), 1989), with the neutral
    written out as in W. Kersting, "Distribution system modeling and analysis", before Kron's reduction.
    """

    operators: TreeOperators

    @cached_property
    def drop(self) -> sparse.csr_array:
        """(3N, 3N) block diagonal: conjugate of the complex drop of each branch by the flow through it [pu/VA]."""
        layout, u = self.operators.layout, self.operators.unit_voltages
        source = source_ohm(layout)
        around = np.outer(u, u.conj())
        blocks = []
        for n, node in enumerate(layout.nodes):
            z = (phase_ohm(node) + source[n]) * np.eye(3) + neutral_ohm(node) * around.conj()
            blocks.append(z.conj() / node.voltage_ln_v**2)
        return sparse.csr_array(sparse.block_diag(blocks)) if blocks else sparse.csr_array((0, 0), dtype=np.complex128)

    @cached_property
    def along(self) -> sparse.csr_array:
        """(3N, 3N) complex: from the drops of all branches to the voltages of all nodes."""
        return sparse.csr_array(self.operators.accumulate.conj().T)

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """(3N, 3N) complex: rise of every phase voltage = Re(matrix @ what the flows are lowered by) [pu/VA]."""
        return sparse.csr_array(self.along @ self.drop)

    @cached_property
    def size(self) -> sparse.csr_array:
        """(3N, 3N) absolute values of `matrix`."""
        return sparse.csr_array(abs(self.matrix))

    def rise_pu(self, lowered_va: ComplexArray, scale: FloatArray | None = None) -> FloatArray:
        """(N, 3) rise of every phase voltage when flows (N, 3) are lowered by so much [pu].

        Args:
            scale: (N,) factor on the impedance of each branch; None = as the site file has it.
        """
        flat = (lowered_va if scale is None else lowered_va * scale[:, None]).reshape(-1)
        return (self._rises @ flat).real.reshape(-1, 3)

    @cached_property
    def _rises(self) -> LinearMap:
        return LinearMap(self.matrix)

    def row(self, node: int, column: int) -> ComplexArray:
        """(3N,) one row of `matrix`, dense."""
        matrix, result = self.matrix, np.zeros(self.matrix.shape[1], dtype=np.complex128)
        own = slice(matrix.indptr[3 * node + column], matrix.indptr[3 * node + column + 1])
        result[matrix.indices[own]] = matrix.data[own]
        return result


@dataclass(eq=False)
class ImpedanceWatch:
    """Learns how far the impedance of each branch is from the site file, out of voltages and flows at both of its ends.

    For every branch the measured drop, parent less child, is held against the drop that the data give for the measured flow:
    their slope over time is the factor. A slope needs no calibrated meters (an offset falls out), and what the grid above does
    moves both ends alike. Branches with a delta are left out: their ends have no phase in common.

    Args:
        memory_s: what is older counts less than 1/e [s].
    every_s: loads wander slowly enough for an image to be taken in so often [s].
    """

    sensitivity: VoltageSensitivity
    memory_s: float = 900.0
    every_s: float = 5.0
    _mean_x: FloatArray = field(init=False)
    _mean_y: FloatArray = field(init=False)
    _xx: FloatArray = field(init=False)
    _xy: FloatArray = field(init=False)
    _yy: FloatArray = field(init=False)
    _weight: FloatArray = field(init=False)
    _seen_at_s: FloatArray = field(init=False)
    _looked_at_s: float = -np.inf
    _scale: FloatArray | None = None

    #: factors further off are not believed; the site file is wrong then, or a meter is
    LEAST, MOST = 0.5, 2.0
    #: a factor counts when its standard error is below this
    _SURE = 0.1
    #: samples of the two ends further apart than this are not compared [s]
    _TOGETHER_S = 1.0

    def __post_init__(self) -> None:
        layout = self.sensitivity.operators.layout
        shape = (len(layout.nodes), 3)
        self._mean_x, self._mean_y, self._xx, self._xy, self._yy, self._weight = (np.zeros(shape) for _ in range(6))
        self._seen_at_s = np.full(shape[0], -np.inf)
        delta = [n.transformer is not None and n.transformer.winding is Winding.DYN for n in layout.nodes]
        self._watched: BoolArray = (layout.parent >= 0) & ~np.array(delta, dtype=np.bool_)
        self._above = np.where(layout.parent >= 0, layout.parent, 0)

    def learn(self, state: SiteState) -> None:
        """Take in one image; branches whose ends were not both measured again are passed over."""
        if state.now_s < self._looked_at_s + self.every_s:
            return
        self._looked_at_s, self._scale = state.now_s, None
        nodes, layout = state.nodes, state.layout
        good = nodes.quality >= int(Quality.GOOD)
        apart_s = np.abs(nodes.taken_at_s - nodes.taken_at_s[self._above])
        fresh = self._watched & good & good[self._above] & (nodes.taken_at_s > self._seen_at_s) & (apart_s <= self._TOGETHER_S)
        if not fresh.any():
            return
        flow_va = np.where(good[:, None], nodes.import_w + 1j * nodes.import_var, 0.0)
        expected = np.asarray((self.sensitivity.drop @ np.nan_to_num(flow_va).reshape(-1)).real).reshape(-1, 3)
        voltage_pu = nodes.voltage_ln_v / layout.voltage_ln_v[:, None]
        measured = voltage_pu[self._above] - voltage_pu
        known = fresh[:, None] & np.isfinite(measured) & np.isfinite(flow_va) & layout.phase_present
        since_s = np.where(np.isfinite(self._seen_at_s), nodes.taken_at_s - self._seen_at_s, 0.0)
        self._seen_at_s = np.where(fresh, nodes.taken_at_s, self._seen_at_s)
        self._add(known, np.where(known, expected, 0.0), np.where(known, measured, 0.0), np.exp(-since_s / self.memory_s)[:, None])

    def _add(self, known: BoolArray, x: FloatArray, y: FloatArray, kept: FloatArray) -> None:
        """One pair of values into exponentially weighted means and sums of squares about them."""
        old = np.where(known, self._weight * kept, self._weight)
        weight = old + known
        dx, dy = x - self._mean_x, y - self._mean_y
        share = np.where(known, 1.0 / np.maximum(weight, 1.0), 0.0)
        fade = np.where(known, kept, 1.0)
        gain = old * share * known
        self._xx, self._xy, self._yy = (
            fade * total + gain * a * b for total, a, b in ((self._xx, dx, dx), (self._xy, dx, dy), (self._yy, dy, dy))
        )
        self._mean_x, self._mean_y = self._mean_x + share * dx, self._mean_y + share * dy
        self._weight = weight

    @property
    def scale(self) -> FloatArray:
        """(N,) factor on each branch's impedance: 1 where nothing surer is known."""
        if self._scale is None:
            self._scale = self._worked_out()
        return self._scale

    def _worked_out(self) -> FloatArray:
        xx, xy, yy, weight = (values.sum(axis=1) for values in (self._xx, self._xy, self._yy, self._weight))
        slope = np.divide(xy, xx, out=np.ones_like(xy), where=xx > 0)
        rest = np.maximum(yy - slope * xy, 0.0)
        error = np.sqrt(np.divide(rest, np.maximum(weight - 2, 1.0) * xx, out=np.full_like(xx, np.inf), where=xx > 0))
        sure = (weight > 10) & (error < self._SURE)
        return frozen(np.where(sure, np.clip(slope, self.LEAST, self.MOST), 1.0))
