"""What the MIMs do when nobody tells them anything: how long each waits, and what it does then.

A device tells how it is commanded when it is first met; until then, and where it tells nothing, the site file's word counts.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping

import numpy as np

from mimctl.model.layout import FloatArray, SiteLayout
from mimctl.model.protocols import Commanded
from mimctl.model.setpoints import Failsafe, MimMap
from mimctl.model.site import ExpiryAction


class Silence:
    """Of M MIMs of one layout.

    Args:
        commanded: by the index of the MIM; the others tell nothing of how they are commanded.
    """

    def __init__(self, layout: SiteLayout, commanded: Mapping[int, Commanded]) -> None:
        self._layout = layout
        self._commanded = commanded
        #: devices count whole seconds, never more than they were given
        self.validity_s: FloatArray = np.array([max(1.0, math.floor(mim.validity_s)) for mim in layout.mims])
        #: what the devices told of how they are commanded, and how long each waits for us by that [s]
        self._waits: tuple[list[MimMap | None], FloatArray] | None = None

    @property
    def waits_s(self) -> FloatArray:
        """(M,) how long after a write each device may still hold on to it, inf = for ever [s]."""
        told = [device.mim_map for device in self._commanded.values()]
        if self._waits is None or any(map(operator.is_not, told, self._waits[0])):  # told once, when a device is first met
            # its clock starts when the command has come
            every = [mim.latency.delay_s + self._wait_s(m) for m, mim in enumerate(self._layout.mims)]
            self._waits = told, np.array(every, dtype=np.float64)
        return self._waits[1]

    def action(self, m: int) -> ExpiryAction | None:
        """What a device does then; None where that is not known."""
        told = self._map(m)
        return self._layout.mims[m].expiry_action if told is None or told.expiry_codes else told.silent_action

    def endless(self) -> frozenset[str]:
        """MIMs that keep what they were told for ever: without a failsafe, or told to hold."""
        waits_s = self.waits_s
        mims = enumerate(self._layout.mims)
        return frozenset(mim.id for m, mim in mims if math.isinf(waits_s[m]) or self.action(m) is ExpiryAction.HOLD)

    def _map(self, m: int) -> MimMap | None:
        """How a device is commanded; None where its driver does not tell, or has not met it yet."""
        return self._commanded[m].mim_map if m in self._commanded else None

    def _wait_s(self, m: int) -> float:
        """How long a device waits for us: the time that it is given, or its own where that is fixed or shorter [s]."""
        told, given_s = self._map(m), float(self.validity_s[m])
        if told is None:
            return given_s
        if told.failsafe is Failsafe.NONE:
            return math.inf
        if told.validity is None:
            return given_s if told.failsafe_s is None else told.failsafe_s
        return min(t for t in (given_s, told.failsafe_s, told.validity.maximum) if t is not None)
