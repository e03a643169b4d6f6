"""Where the filters of a layout act: on which lines of which nodes, and who shares one harmonic current with whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.balance.harmonics import water_level
from mimctl.grid.harmonics import FilterPorts, current_accumulate, rms_room_a
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout, frozen

#: stands for a neutral without a limit [A]
_BOUNDLESS_A = 1e9


@dataclass(frozen=True, eq=False)
class FilterPlaces:
    """Index tables of one layout. K ports."""

    layout: SiteLayout

    @cached_property
    def ports(self) -> FilterPorts:
        return FilterPorts(self.layout)

    @cached_property
    def effect(self) -> sparse.csr_array:
        """(3N, K) harmonic current that an ampere of each port takes from each line, at best."""
        # the elements of one port stand on different lines, or are one
        rows = (3 * self.ports.node[:, None] + np.arange(3)).reshape(-1)
        values, columns = np.abs(self.ports.inject).reshape(-1), np.repeat(self.ports.port, 3)
        own = sparse.csr_array((values, (rows, columns)), shape=(3 * len(self.layout.nodes), len(self.layout.ports)))
        return sparse.csr_array(abs(current_accumulate(self.layout)) @ own)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Ports that see one and the same harmonic current, whose shares together must not exceed it."""
        found: dict[tuple[int, str], list[int]] = defaultdict(list)
        for k in np.flatnonzero(self.ports.able):
            node, connection = int(self.layout.port_node[k]), self.layout.ports[k].connection
            with_three = Connection.THREE_PHASE in self._connections(node)
            place = "delta" if with_three and not connection.uses_neutral else connection.value
            found[node, place].append(int(k))
        return tuple(tuple(group) for group in found.values())

    @cached_property
    def resting(self) -> FloatArray:
        """(K,) 0.0 at ports between lines of a node where others work against the neutral: both would cancel the same current."""
        rest = np.ones(len(self.layout.ports))
        for k in np.flatnonzero(self.ports.able):
            here = self._connections(int(self.layout.port_node[k]))
            if not self.layout.ports[k].connection.uses_neutral and any(c.uses_neutral for c in here):
                rest[k] = 0.0
        return frozen(rest)

    def _connections(self, node: int) -> set[Connection]:
        """Of the filtering ports at a node."""
        return {self.layout.ports[k].connection for k in np.flatnonzero(self.ports.able & (self.layout.port_node == node))}

    def split(self, local_a: FloatArray, left_a: FloatArray) -> FloatArray:
        """(K,) what each port may take at most [A]: inside what it has left, those of one place never more than there is.

        Args:
            local_a: (K,) harmonic current that each port sees [A].
            left_a: (K,) rms that each port has left [A].
        """
        room_a = self.resting * left_a
        result = np.zeros(len(local_a))
        for group in self.groups:
            own = list(group)
            there_a = float(local_a[own].max())
            result[own] = np.minimum(water_level(there_a, room_a[own]), room_a[own])
        return result

    def beside_neutral(self, wanted_a: FloatArray, powers_va: Sequence[ComplexArray], part: float) -> FloatArray:
        """(K,) what of the wanted currents fits into the neutrals of the MIMs beside the fundamental [A].

        Triplens of a MIM's ports add in its neutral; which of its harmonics are triplens nobody tells, so all count.

        Args:
            powers_va: (K,) each, setpoints that the fundamental goes through; the worst of them counts [VA].
            part: share of the neutral's rating that is used.
        """
        layout, mims = self.layout, len(self.layout.mims)
        through = layout.port_neutral_per_va
        used_a = np.zeros(mims)
        for power_va in powers_va:
            common = np.zeros(mims, dtype=np.complex128)
            np.add.at(common, layout.port_mim, power_va * through)
            used_a = np.maximum(used_a, np.abs(common))
        room_a = rms_room_a(part * np.minimum(layout.mim_neutral_rating_a, _BOUNDLESS_A), used_a)
        needed_a = np.bincount(layout.port_mim, np.where(through != 0, wanted_a, 0.0), mims)
        share = np.where(needed_a > room_a, room_a / np.maximum(needed_a, 1e-9), 1.0)
        return np.where(through != 0, wanted_a * share[layout.port_mim], wanted_a)
