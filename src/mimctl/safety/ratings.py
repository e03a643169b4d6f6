"""What the site itself says about every limit, worked out once: the judge never has to believe the bounds of a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mimctl.grid.harmonics import FilterPorts
from mimctl.grid.linear import LinearMap
from mimctl.grid.losses import ConversionLosses
from mimctl.grid.regions import Regions
from mimctl.grid.sensitivity import VoltageSensitivity
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.node import Winding


@dataclass(frozen=True, eq=False)
class Ratings:
    """Fixed limits and index tables of one layout. N nodes, K ports, M MIMs, H heads."""

    operators: TreeOperators

    @property
    def layout(self) -> SiteLayout:
        return self.operators.layout

    @cached_property
    def starts(self) -> IntArray:
        """(M,) first port of each MIM."""
        return frozen(np.array([ports.start for ports in self.layout.ports_of_mim], dtype=np.int64))

    @cached_property
    def port_count(self) -> IntArray:
        counts = np.array([len(mim.ports) for mim in self.layout.mims], dtype=np.int64)
        if (counts == 0).any():
            raise ValueError("a MIM without ports cannot be judged")
        return frozen(counts)

    def sums(self, values: npt.NDArray) -> npt.NDArray:  # type: ignore[type-arg]
        """(…, M) sums over the ports of each MIM."""
        return np.add.reduceat(values, self.starts, axis=-1)

    def smallest(self, values: FloatArray) -> FloatArray:
        return np.minimum.reduceat(values, self.starts)

    def largest(self, values: FloatArray) -> FloatArray:
        return np.maximum.reduceat(values, self.starts)

    def any_of(self, flags: BoolArray) -> BoolArray:
        """(…, M) whether any port of the MIM is flagged."""
        return np.logical_or.reduceat(flags, self.starts, axis=-1)

    @cached_property
    def neutral_slack_a(self) -> FloatArray:
        """(M,) what rounding every port by one unit of W and var may add to the neutral current [A]."""
        return frozen(self.sums(np.abs(self.layout.port_neutral_per_va)) * np.sqrt(2))

    @cached_property
    def ramp_va_per_s(self) -> FloatArray:
        """(K,)"""
        return frozen(np.array([mim.ramp_w_per_s for mim in self.layout.mims], dtype=np.float64)[self.layout.port_mim])

    @cached_property
    def cycle_s(self) -> float:
        """The shortest control cycle of the site [s]: no ramp is judged over less."""
        return min((zone.cycle_s for zone in self.layout.site.zones), default=1.0)

    @cached_property
    def validity_s(self) -> FloatArray:
        """(M,)"""
        return frozen(np.array([mim.validity_s for mim in self.layout.mims], dtype=np.float64))

    @cached_property
    def report_every_s(self) -> FloatArray:
        """(M,) how often each MIM tells its state; 0 = every cycle [s]."""
        return frozen(np.array([mim.latency.report_every_s for mim in self.layout.mims], dtype=np.float64))

    @cached_property
    def report_age_s(self) -> FloatArray:
        """(M,) how old the reports of each MIM may be by its own medium, 0 = as the site file says for all [s]."""
        return frozen(np.array([mim.latency.stale_s for mim in self.layout.mims], dtype=np.float64))

    @cached_property
    def late(self) -> BoolArray:
        """(K,) ports of MIMs that act on a setpoint, or tell what they do, only some time after it was written."""
        found = np.array([mim.latency.is_late for mim in self.layout.mims], dtype=np.bool_)
        return frozen(found[self.layout.port_mim])

    @cached_property
    def loss_max_w(self) -> FloatArray:
        """(M,) conversion losses with every port at its rating [W]."""
        return frozen(ConversionLosses(self.layout).watts(self.layout.port_rating_va.astype(np.complex128)))

    @cached_property
    def balance_tolerance_w(self) -> FloatArray:
        """(M,) how far Σp may be from what the storage gives: solver accuracy and rounding [W]."""
        return frozen(0.5 * self.port_count + 1e-3 * self.sums(self.layout.port_rating_va))

    @cached_property
    def limit_va(self) -> FloatArray:
        """(N, 1) V·I that a phase may carry for hours [VA]."""
        return frozen((self.layout.limit_a * self.layout.voltage_ln_v)[:, None])

    @cached_property
    def no_margin_va(self) -> FloatArray:
        """(N, 3) zeros: how far flows may be off of which nobody says that they are [VA]."""
        return frozen(np.zeros((len(self.layout.nodes), 3)))

    @cached_property
    def guarded_v(self) -> FloatArray:
        """(G, 1) nominal voltage of the guarded nodes [V]."""
        return frozen(self.layout.voltage_ln_v[self.layout.guarded, None])

    @cached_property
    def per_volt(self) -> ComplexArray:
        """(N, 3) conjugated phase current per VA of flow [A/VA]: magnitudes and sums are those of the currents."""
        return frozen(1 / (self.operators.unit_voltages[None, :] * self.layout.voltage_ln_v[:, None]))

    # Products are sparse at any size: as quick as dense ones for a small site, and never handed to the threads of a BLAS, which
    # wait for each other for milliseconds where the processor is busy.

    @cached_property
    def port_flow(self) -> sparse.csr_array:
        """(3N, K) how one VA at each port lowers the flows."""
        return self.operators.port_flow

    def flow_row(self, row: int) -> ComplexArray:
        """(K,) one row of `port_flow`."""
        matrix = self.port_flow
        own = slice(matrix.indptr[row], matrix.indptr[row + 1])
        result = np.zeros(matrix.shape[1], dtype=np.complex128)
        result[matrix.indices[own]] = matrix.data[own]
        return result

    @cached_property
    def port_flow_size(self) -> LinearMap:
        """(3N, K) absolute values of `port_flow`."""
        return LinearMap(abs(self.operators.port_flow))

    @cached_property
    def rounding_va(self) -> FloatArray:
        """(N, 3) what rounding every port by one unit of W and var adds to a flow, twice its spread if they are independent."""
        squares = (abs(self.operators.port_flow) ** 2).sum(axis=1)
        return frozen(2 * np.sqrt(2 * np.asarray(squares)).reshape(-1, 3))

    @cached_property
    def touches(self) -> sparse.csr_array:
        """(N, M) 1.0 where a MIM has a port at or below the node."""
        layout = self.layout
        count = (len(layout.nodes), len(layout.mims))
        matrix = np.zeros(count, dtype=np.float64)
        for node, mim in zip(layout.port_node, layout.port_mim, strict=True):
            matrix[layout.below[:, node], mim] = 1.0
        return sparse.csr_array(matrix)

    @cached_property
    def filters(self) -> FilterPorts:
        """The ports with harmonic filters."""
        return FilterPorts(self.layout)

    @cached_property
    def regions(self) -> Regions:
        return Regions(self.operators)

    @cached_property
    def cover_node(self) -> IntArray:
        """(K,) nearest node at or above each port that has a meter, −1 where there is none."""
        return frozen(self.regions.top[self.layout.port_node])

    @cached_property
    def port_phases(self) -> BoolArray:
        """(K, 3) line conductors that each port stands on."""
        rows = [[phase in port.connection.phases for phase in ("L1", "L2", "L3")] for port in self.layout.ports]
        return frozen(np.array(rows, dtype=np.bool_).reshape(len(rows), 3))

    @cached_property
    def supply(self) -> sparse.csr_array:
        """(K, 3N) 1.0 for every phase of every node that a port's own conductors are fed through.

        Above a delta winding each phase of the secondary stands on two of the primary, so there all three count.
        """
        layout, rows, columns = self.layout, [], []
        for k, node in enumerate(layout.port_node):
            phases, at = self.port_phases[k], int(node)
            while at >= 0:
                own = 3 * at + np.flatnonzero(phases)
                columns.append(own)
                rows.append(np.full(len(own), k))
                transformer = layout.nodes[at].transformer
                if transformer is not None and transformer.winding is Winding.DYN:
                    phases = np.ones(3, dtype=np.bool_)
                at = int(layout.parent[at])
        size = (len(layout.ports), 3 * len(layout.nodes))
        if not rows:
            return sparse.csr_array(size)
        r, c = np.concatenate(rows), np.concatenate(columns)
        return sparse.csr_array((np.ones(len(r)), (r, c)), shape=size)

    @cached_property
    def sensitivity(self) -> VoltageSensitivity:
        """How node voltages answer to node flows."""
        return VoltageSensitivity(self.operators)

    @cached_property
    def ancestors(self) -> sparse.csr_array:
        """(N, N) 1.0 where the column is the row's node itself or stands above it."""
        return sparse.csr_array(self.layout.below.T.astype(np.float64))
