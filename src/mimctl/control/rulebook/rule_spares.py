"""MIMs that a reserve rule keeps at rest, so that they can step in where others fail."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.model.layout import BoolArray


@dataclass(eq=False)
class Spares:
    """Who of one rule's MIMs in one zone works. Nobody is relieved by a spare that could go on: that would only move setpoints.

    Args:
        reached: (M,) MIMs of the rule.
        count: how many of them rest while nobody fails.
    """

    reached: BoolArray
    count: int
    _working: BoolArray | None = field(init=False, default=None)
    #: (M,) those that rested last; None = nobody
    rested: BoolArray | None = field(init=False, default=None)

    def forget(self) -> None:
        """The rule is not in force: the next time it begins anew."""
        self._working = self.rested = None

    def resting(self, usable: BoolArray) -> BoolArray:
        """(M,) MIMs to rest now.

        Args:
            usable: (M,) MIMs that could be commanded.
        """
        most = max(0, int(self.reached.sum()) - self.count)
        able = self.reached & usable
        kept = np.zeros_like(able) if self._working is None else self._working & able
        free = np.flatnonzero(able & ~kept)
        working = kept.copy()
        working[free[: max(0, most - int(kept.sum()))]] = True
        self._working, self.rested = working, able & ~working
        return self.rested
