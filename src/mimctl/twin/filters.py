"""Harmonic filters in the firmware of MIMs: shares that are commanded, follow with a lag, end with the setpoints, and never take
more of a port's rms rating than its fundamental leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.grid.harmonics import FilterPorts, rms_room_a
from mimctl.model.harmonics import HarmonicShare, orders_in
from mimctl.model.layout import ComplexArray, FloatArray, IntArray, SiteLayout
from mimctl.twin.response import TIME_CONSTANTS_TO_95_PCT

#: a filter that is to stop is silent after so many seconds
_STOP_S = 0.3
#: a share below this is none
_STILL = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Filtering:
    """What the filters are about to do at one instant. K ports.

    Args:
        share: (K,) of the harmonic current that each port sees.
        orders: (K,) bits of the orders.
        power_va: (K,) what the ports deliver at the fundamental [VA].
        limit_va: (K,) what each port may carry now [VA].
    """

    share: FloatArray
    orders: IntArray
    power_va: ComplexArray
    limit_va: FloatArray


class FilterBank:
    """The filters of all MIMs of a layout; those of MIMs without any stay at zero."""

    def __init__(self, layout: SiteLayout) -> None:
        self.ports = FilterPorts(layout)
        count = len(layout.ports)
        lags = [0.0 if mim.harmonic_filter is None else mim.harmonic_filter.response_s for mim in layout.mims]
        self._normal_lag_s = np.maximum(np.array(lags, dtype=np.float64)[layout.port_mim], 1e-9) / TIME_CONSTANTS_TO_95_PCT
        self._lag_s = self._normal_lag_s.copy()
        self.commanded = np.zeros(count)
        self.orders: IntArray = np.zeros(count, dtype=np.int64)
        self.share = np.zeros(count)
        self._still = True

    def command(self, ports: slice, shares: Sequence[HarmonicShare] | None) -> None:
        """Take new shares; None leaves those in force. A port without a filter takes none."""
        if shares is None:
            return
        wanted = np.clip(np.nan_to_num(np.array([s.share for s in shares], dtype=np.float64)), 0.0, 1.0)
        self.commanded[ports] = np.where(self.ports.able[ports], wanted, 0.0)
        self.orders[ports] = [s.orders for s in shares]
        self._lag_s[ports] = self._normal_lag_s[ports]
        self._still = False

    def stop(self, ports: slice) -> None:
        """Walk to nothing, quickly: the setpoints have ended."""
        self.commanded[ports] = 0.0
        self._lag_s[ports] = np.minimum(self._normal_lag_s[ports], _STOP_S / TIME_CONSTANTS_TO_95_PCT)
        self._still = False

    def drop(self, ports: slice) -> None:
        """The contactor is open."""
        self.commanded[ports] = self.share[ports] = 0.0

    def advance(self, dt_s: float) -> None:
        """First order towards what is commanded."""
        if self._still:
            return
        gap = self.share - self.commanded
        self._still = bool((np.abs(gap) < _STILL).all())
        self.share = self.commanded.copy() if self._still else self.commanded + gap * np.exp(-dt_s / self._lag_s)

    def filtering(self, power_va: ComplexArray, limit_va: FloatArray) -> Filtering | None:
        """What they do at these port powers; None where none does anything."""
        return Filtering(self.share, self.orders, power_va, limit_va) if (self.share > _STILL).any() else None


class Compensator:
    """What filters take out of the harmonic currents of a tree, from its ends upwards: those above see what those below leave.

    Args:
        orders: (H,) of the currents.
        accumulate: (3N, 3N) branch currents from own currents.
    """

    def __init__(self, layout: SiteLayout, orders: FloatArray, accumulate: sparse.csr_array) -> None:
        self._layout, self._orders = layout, orders
        self._ports = ports = FilterPorts(layout)
        self._accumulate = accumulate
        depth = np.zeros(len(layout.nodes), dtype=np.int64)
        for n, parent in enumerate(layout.parent):
            depth[n] = 0 if parent < 0 else depth[parent] + 1
        own = depth[ports.node]
        self._levels = [np.flatnonzero(own == level) for level in sorted(set(own.tolist()), reverse=True)]
        filters = [mim.harmonic_filter for mim in layout.mims]
        late_s = np.array([0.0 if f is None else f.timing_error_s for f in filters])[layout.port_mim[ports.port]]
        self._turn = np.exp(-2j * np.pi * layout.site.frequency_hz * late_s[:, None] * orders)
        #: (E, 1) elements whose current returns through the neutral
        self._neutral = np.array([layout.ports[k].connection.uses_neutral for k in ports.port], dtype=np.bool_)

    def apply(self, drawn: ComplexArray, filtering: Filtering) -> tuple[ComplexArray, FloatArray]:
        """Own currents with the filters at work.

        Args:
            drawn: (3N, H) what the loads draw at each node.
            filtering: what the filters are told.

        Returns:
            (3N, H) the same with the filters, and (K,) the rms harmonic current of each port [A].
        """
        ports, result = self._ports, drawn.copy()
        chosen = self._chosen(filtering)
        port_a = np.zeros(len(self._layout.ports))
        for elements in self._levels:
            rows = (3 * ports.node[elements][:, None] + np.arange(3)).reshape(-1)
            lines = (self._accumulate[rows] @ result).reshape(len(elements), 3, -1)
            sensed = np.einsum("el,elh->eh", ports.sense[elements], lines)
            wanted = chosen[elements] * self._turn[elements] * sensed
            wanted *= self._allowed(elements, wanted, filtering)[:, None]
            np.maximum.at(port_a, ports.port[elements], np.linalg.norm(wanted, axis=1))
            injected = ports.inject[elements][:, :, None] * wanted[:, None, :]
            np.subtract.at(result, rows, injected.reshape(len(rows), -1))
        return result, port_a

    def _chosen(self, filtering: Filtering) -> FloatArray:
        """(E, H) share of each order."""
        bits = [set(orders_in(int(b))) for b in filtering.orders[self._ports.port]]
        mask = np.array([[int(h) in own for h in self._orders] for own in bits], dtype=np.float64).reshape(len(bits), -1)
        return np.asarray(filtering.share[self._ports.port][:, None] * mask)

    def _allowed(self, elements: IntArray, wanted: ComplexArray, filtering: Filtering) -> FloatArray:
        """(E,) factor that keeps every port and every MIM's neutral inside its rms rating, the fundamental first."""
        ports, layout = self._ports, self._layout
        k = ports.port[elements]
        rating_a = ports.fundamental_a(filtering.limit_va)
        room_a = rms_room_a(rating_a, ports.fundamental_a(np.abs(filtering.power_va)))
        size = np.zeros(len(layout.ports))
        np.maximum.at(size, k, np.linalg.norm(wanted, axis=1))
        factor = np.where(size > room_a, room_a / np.maximum(size, 1e-12), 1.0)
        mims, through = layout.port_mim[k], self._neutral[elements]
        common = np.zeros((len(layout.mims), wanted.shape[1]), dtype=np.complex128)
        np.add.at(common, mims[through], (wanted * factor[k][:, None])[through])
        fundamental = np.zeros(len(layout.mims), dtype=np.complex128)
        np.add.at(fundamental, layout.port_mim, filtering.power_va * layout.port_neutral_per_va)
        neutral_room_a = rms_room_a(layout.mim_neutral_rating_a, np.abs(fundamental))
        neutral_a = np.linalg.norm(common, axis=1)
        share = np.where(neutral_a > neutral_room_a, neutral_room_a / np.maximum(neutral_a, 1e-12), 1.0)
        return np.asarray(factor[k] * np.where(through, share[mims], 1.0))
