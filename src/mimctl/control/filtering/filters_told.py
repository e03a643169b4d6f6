"""What the harmonic filters were last told: the dispatcher's memory of shares, beside that of setpoints."""

from __future__ import annotations

import numpy as np
import structlog

from mimctl.grid.harmonics import FilterPorts
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.layout import FloatArray, IntArray, SiteLayout
from mimctl.model.plan import NO_FILTER, HarmonicShares
from mimctl.model.protocols import HeldSetpoint


class FiltersTold:
    """Shares of one layout. A port without a filter has none and is never told any."""

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        self._ports = FilterPorts(layout)
        self._log = structlog.get_logger("mimctl.dispatch")
        able = self._ports.able
        self._share: FloatArray = np.where(able, 0.0, np.nan) if len(able) else np.zeros(0)
        self._orders: IntArray = np.zeros(len(layout.ports), dtype=np.int64)

    @property
    def shares(self) -> HarmonicShares | None:
        """What they hold, NaN where not known; None where no MIM has a filter."""
        return HarmonicShares(self._share.copy(), self._orders.copy()) if self._ports.any else None

    def command(self, m: int, shares: HarmonicShares | None) -> tuple[HarmonicShare, ...] | None:
        """The part of a plan that one MIM is told; None for a MIM without a filter."""
        if shares is None or not self._ports.any:
            return None
        ports = self._layout.ports_of_mim[m]
        if not self._ports.able[ports].all() or (self._orders[ports] == NO_FILTER).any():
            return None
        return tuple(
            HarmonicShare(share, orders if share > 0 else 0)
            for share, orders in zip(shares.share[ports].tolist(), shares.orders[ports].tolist(), strict=True)
        )

    def holds(self, m: int, held: HeldSetpoint | None) -> None:
        """What a MIM was found to hold, or took; None = nobody knows. One that shows no shares has no filter."""
        ports = self._layout.ports_of_mim[m]
        if not self._ports.any or not self._ports.able[ports].all() or (self._orders[ports] == NO_FILTER).any():
            return
        if held is None or held.harmonics is None:
            self._share[ports] = np.nan
            self._orders[ports] = 0 if held is None else NO_FILTER
            if held is not None:
                self._log.warning("mim.no_filter", device=self._layout.mims[m].id, text="the site file says that it can filter")
            return
        self._share[ports] = [part.share for part in held.harmonics]
        self._orders[ports] = [part.orders for part in held.harmonics]

    def silent(self, m: int) -> None:
        """The MIM filters nothing."""
        ports = self._layout.ports_of_mim[m]
        can = self._ports.able[ports] & (self._orders[ports] != NO_FILTER)
        self._share[ports] = np.where(can, 0.0, np.nan)
