"""Where everything of a site stands in the arrays: nodes, ports, MIMs, batteries. Made once per site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mimctl.model.connection import Connection
from mimctl.model.node import Node, NodeKind
from mimctl.model.site import Battery, Meter, Mim, PortSpec, Site

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
BoolArray = npt.NDArray[np.bool_]


def frozen(array: npt.NDArray) -> npt.NDArray:  # type: ignore[type-arg]
    """The same array, refusing writes: what flows through a cycle is never mutated."""
    array.flags.writeable = False
    return array


def joined(real: FloatArray, imaginary: FloatArray) -> ComplexArray:
    """real + j·imaginary, also where one of them is no number: a product with 1j would spoil both parts."""
    result: ComplexArray = np.empty(real.shape, dtype=np.complex128)
    result.real, result.imag = real, imaginary
    return result


@dataclass(frozen=True, eq=False)
class SiteLayout:
    """Index of a site's arrays. N nodes, K ports over all MIMs (in the order of `site.mims`), M MIMs, B batteries.

    Shapes in this project: per node and phase (N, 3), per port (K,), per MIM (M,), per battery (B,).

    Args:
        guards: more nodes whose net import has a least value.
    """

    site: Site
    guards: frozenset[str] = frozenset()

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return self.site.nodes

    @cached_property
    def mims(self) -> tuple[Mim, ...]:
        return self.site.mims

    @cached_property
    def ports(self) -> tuple[PortSpec, ...]:
        return tuple(port for mim in self.site.mims for port in mim.ports)

    @cached_property
    def batteries(self) -> tuple[Battery, ...]:
        return self.site.batteries

    @cached_property
    def node_index(self) -> dict[str, int]:
        return {node.id: i for i, node in enumerate(self.nodes)}

    @cached_property
    def mim_index(self) -> dict[str, int]:
        return {mim.id: i for i, mim in enumerate(self.mims)}

    @cached_property
    def meter_of_node(self) -> tuple[Meter | None, ...]:
        """The first meter named for each node."""
        found: dict[str, Meter] = {}
        for meter in self.site.meters:
            found.setdefault(meter.node, meter)
        return tuple(found.get(node.id) for node in self.nodes)

    @cached_property
    def parent(self) -> IntArray:
        """(N,) index of each node's parent, −1 for a head. Parents always come before their children."""
        return frozen(np.array([-1 if n.parent is None else self.node_index[n.parent] for n in self.nodes], dtype=np.int64))

    @cached_property
    def heads(self) -> IntArray:
        """Indices of the nodes without a parent."""
        return frozen(np.flatnonzero(self.parent < 0))

    @cached_property
    def below(self) -> BoolArray:
        """(N, N): below[a, n] is True where n is a or stands under a."""
        matrix = np.eye(len(self.nodes), dtype=np.bool_)
        for n, p in reversed(list(enumerate(self.parent))):
            if p >= 0:
                matrix[p] |= matrix[n]
        return frozen(matrix)

    @cached_property
    def has_own_load(self) -> BoolArray:
        """(N,) False: the node's flow is nothing but that of its children and MIMs. Where the site file does not say, feeds,
        transformers, UPS and PDUs only pass on to what stands below them."""
        passing = (NodeKind.FEED, NodeKind.TRANSFORMER, NodeKind.UPS, NodeKind.PDU)
        above = {node.parent for node in self.nodes}
        usual = (node.kind not in passing or node.id not in above for node in self.nodes)
        found = [u if node.own_load is None else node.own_load for node, u in zip(self.nodes, usual, strict=True)]
        return frozen(np.array(found, dtype=np.bool_))

    @cached_property
    def port_node(self) -> IntArray:
        return frozen(np.array([self.node_index[p.node] for p in self.ports], dtype=np.int64))

    @cached_property
    def port_mim(self) -> IntArray:
        return frozen(np.array([m for m, mim in enumerate(self.mims) for _ in mim.ports], dtype=np.int64))

    @cached_property
    def ports_of_mim(self) -> tuple[slice, ...]:
        """Each MIM's run of ports."""
        ends = np.cumsum([0, *(len(mim.ports) for mim in self.mims)])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @cached_property
    def port_rating_va(self) -> FloatArray:
        return frozen(np.array([p.rating_va for p in self.ports], dtype=np.float64))

    @cached_property
    def port_voltage_v(self) -> FloatArray:
        """(K,) nominal voltage across each port [V]."""
        return frozen(
            np.array(
                [
                    p.connection.nominal_voltage_v(self.nodes[n].voltage_ln_v)
                    for p, n in zip(self.ports, self.port_node, strict=True)
                ],
                dtype=np.float64,
            )
        )

    @cached_property
    def port_shares(self) -> ComplexArray:
        """(K, 3) complex: how each port's p + jq appears at its node's phase terminals."""
        rows = [p.connection.phase_shares(self.site.rotation) for p in self.ports]
        return frozen(np.array(rows, dtype=np.complex128).reshape(len(rows), 3))

    @cached_property
    def port_neutral_per_va(self) -> ComplexArray:
        """(K,) conjugate of the neutral current per VA of each port at nominal voltage [1/V]; 0 where no neutral is used."""
        units = self.site.rotation.unit_voltages
        columns = (p.connection.phases[0].column if p.connection.uses_neutral else None for p in self.ports)
        pairs = zip(columns, self.port_voltage_v, strict=True)
        return frozen(np.array([0 if c is None else 1 / (v * units[c]) for c, v in pairs], dtype=np.complex128))

    @cached_property
    def mim_neutral_rating_a(self) -> FloatArray:
        """(M,) the stated rating, else the current of the largest single-phase port; inf where no neutral is used [A]."""
        limits = []
        for mim, ports in zip(self.mims, self.ports_of_mim, strict=True):
            currents = self.port_rating_va[ports] / self.port_voltage_v[ports]
            single = [float(a) for a, port in zip(currents, mim.ports, strict=True) if port.connection.uses_neutral]
            limits.append(max(single, default=np.inf) if mim.neutral_rating_a is None else mim.neutral_rating_a)
        return frozen(np.array(limits, dtype=np.float64))

    @cached_property
    def voltage_ln_v(self) -> FloatArray:
        """(N,) nominal line-to-neutral voltage [V]."""
        return frozen(np.array([n.voltage_ln_v for n in self.nodes], dtype=np.float64))

    @cached_property
    def rating_a(self) -> FloatArray:
        return frozen(np.array([n.rating_a for n in self.nodes], dtype=np.float64))

    @cached_property
    def limit_a(self) -> FloatArray:
        """(N,) what each phase may carry for hours [A]."""
        return frozen(np.array([n.limit_a for n in self.nodes], dtype=np.float64))

    @cached_property
    def neutral_rating_a(self) -> FloatArray:
        """(N,) NaN where there is no neutral or no rating."""
        return frozen(
            np.array([np.nan if n.neutral_rating_a is None else n.neutral_rating_a for n in self.nodes], dtype=np.float64)
        )

    @cached_property
    def neutral_limit_a(self) -> FloatArray:
        """(N,) what each neutral may carry for ever [A]; inf where there is no neutral or no rating."""
        return frozen(np.where(np.isnan(self.neutral_rating_a), np.inf, self.neutral_rating_a))

    @cached_property
    def guarded(self) -> IntArray:
        """(G,) nodes whose net import has a least value: the heads, then the places of transfer devices and the guards below."""
        heads = [int(head) for head in self.heads]
        places = {self.node_index[node] for device in self.site.transfers for node, _ in device.where}
        places |= {self.node_index[node] for node in self.guards}
        return frozen(np.array([*heads, *sorted(places - set(heads))], dtype=np.int64))

    @cached_property
    def head_min_import_w(self) -> FloatArray:
        """(G,) least import per phase of each guarded node by its feed's reverse power limit [W]; −inf where it is no feed."""
        feeds = {feed.node: feed.reverse_power_limit_w for feed in self.site.feeds}
        ids = [self.nodes[g].id for g in self.guarded]
        return frozen(np.array([-feeds[i] if i in feeds else -np.inf for i in ids], dtype=np.float64))

    @cached_property
    def phase_present(self) -> BoolArray:
        """(N, 3)"""
        return frozen(
            np.array([[p in n.phases for p in ("L1", "L2", "L3")] for n in self.nodes], dtype=np.bool_).reshape(len(self.nodes), 3)
        )

    @cached_property
    def omega(self) -> FloatArray:
        """(N,) fixed weights of the reported objective."""
        return frozen(np.array([n.omega for n in self.nodes], dtype=np.float64))

    @cached_property
    def battery_mim(self) -> IntArray:
        return frozen(np.array([self.mim_index[b.mim] for b in self.batteries], dtype=np.int64))

    @cached_property
    def battery_limits_w(self) -> tuple[FloatArray, FloatArray]:
        """(B,) greatest charge and discharge [W], both positive."""
        charge = np.array([b.max_charge_w for b in self.batteries], dtype=np.float64)
        discharge = np.array([b.max_discharge_w for b in self.batteries], dtype=np.float64)
        return frozen(charge), frozen(discharge)

    @cached_property
    def battery_band_pct(self) -> tuple[FloatArray, FloatArray]:
        """(B,) reserve and greatest state of charge [%]."""
        reserve = np.array([b.reserve_pct for b in self.batteries], dtype=np.float64)
        most = np.array([b.max_soc_pct for b in self.batteries], dtype=np.float64)
        return frozen(reserve), frozen(most)

    def injection_at_nodes(self, port_power: ComplexArray) -> ComplexArray:
        """Sum complex port injections (K,) [VA] into per-phase injections at their nodes (N, 3) [VA]."""
        total = np.zeros((len(self.nodes), 3), dtype=np.complex128)
        np.add.at(total, self.port_node, port_power[:, None] * self.port_shares)
        return total

    def connections(self) -> tuple[Connection, ...]:
        return tuple(p.connection for p in self.ports)
