"""How late a MIM is: what decides which part of the load it can follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class LatencyClass(StrEnum):
    """Fast: wired, answers within a cycle. Medium: a mesh radio, seconds. Slow: a wide-area radio, up to minutes."""

    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Latency:
    """What a MIM's medium allows.

    Args:
        delay_s: from writing a setpoint until the device begins to act on it [s].
        command_every_s: least time between two commands, signs of life included; 0 = every cycle [s].
        report_every_s: how often the device tells its state; 0 = every cycle [s].
    """

    kind: LatencyClass = LatencyClass.FAST
    delay_s: float = 0.0
    command_every_s: float = 0.0
    report_every_s: float = 0.0

    @property
    def filter_s(self) -> float:
        """Time constant of the part of the load that such a MIM is asked to follow [s].

        What moves faster than its commands come and act would be followed too late, which is worse than not at all.
        """
        return max(self.command_every_s, 2 * self.delay_s)

    @property
    def is_late(self) -> bool:
        """It acts on a setpoint, or shows that it did, later than in the cycle after."""
        return self.delay_s > 0 or self.report_every_s > 0

    @property
    def stale_s(self) -> float:
        """Older reports of the device are not believed: it has missed three [s]."""
        return 3 * self.report_every_s


#: acts and answers within a cycle
WIRED = Latency()

#: what a class means where the site file says no more
TYPICAL = {
    LatencyClass.FAST: WIRED,
    LatencyClass.MEDIUM: Latency(LatencyClass.MEDIUM, delay_s=2.0, command_every_s=5.0, report_every_s=5.0),
    LatencyClass.SLOW: Latency(LatencyClass.SLOW, delay_s=30.0, command_every_s=60.0, report_every_s=60.0),
}


def integrator_gain_limit(delay_periods: float) -> float:
    """Largest gain at which u ← u + g·r is stable when r tells of u as it was `delay_periods` commands ago.

    Reference: the characteristic polynomial z^(m+1) − z^m + g reaches the unit circle at g = 2·sin(π/(2(2m+1))).
    """
    return 2 * math.sin(math.pi / (2 * (2 * delay_periods + 1)))
