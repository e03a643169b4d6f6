"""Releases on their way over a medium that tells only later, by the device's own echo, whether they came."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, SiteLayout
from mimctl.model.protocols import MimDriver, ProvesLate

#: of a MIM, for people
UNPROVEN = "was told to let go and has not shown that it did: it may hold its setpoint until its validity is over"
#: an echo that takes no longer than this, or twice what its medium takes for a setpoint, is not late [s]
_ORDINARY_S = 5.0


class Unproven:
    """Of the M MIMs of one layout.

    Args:
        drivers: by the index of the MIM; a release by any but `ProvesLate` is proven when it returns.
    """

    def __init__(self, layout: SiteLayout, drivers: Mapping[int, MimDriver]) -> None:
        self._layout = layout
        self._late: dict[int, ProvesLate] = {m: d for m, d in drivers.items() if isinstance(d, ProvesLate)}
        self._since_s: FloatArray = np.full(len(layout.mims), np.inf)

    @property
    def waiting(self) -> BoolArray:
        """(M,) told to let go, and not known to have done so."""
        return np.isfinite(self._since_s)

    def names(self) -> tuple[str, ...]:
        return tuple(self._layout.mims[m].id for m in np.flatnonzero(self.waiting))

    def overdue(self, now_s: float) -> tuple[str, ...]:
        """Those whose echo should have been here by now."""
        mims = [self._layout.mims[m] for m in np.flatnonzero(self.waiting)]
        since_s = self._since_s[self.waiting].tolist()
        return tuple(
            mim.id for mim, sent_s in zip(mims, since_s, strict=True) if now_s - sent_s > max(_ORDINARY_S, 2 * mim.latency.delay_s)
        )

    def sent(self, m: int, now_s: float) -> bool:
        """A release went out; whether it still has to be proven."""
        if m not in self._late or self._late[m].release_proven:
            self.over(m)
            return False
        self._since_s[m] = min(self._since_s[m], now_s)
        return True

    def proven(self) -> list[int]:
        """Indices of those that have echoed by now; they wait no more."""
        found = [int(m) for m in np.flatnonzero(self.waiting) if self._late[int(m)].release_proven]
        for m in found:
            self.over(m)
        return found

    def over(self, m: int) -> None:
        """Nobody waits for it any more: it was proven, the device told something else, or its validity has ended it."""
        self._since_s[m] = np.inf
