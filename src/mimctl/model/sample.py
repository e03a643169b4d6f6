"""What one device said at one instant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from mimctl.model.layout import FloatArray
from mimctl.model.reason import Reason


class Quality(IntEnum):
    """How far a value may be trusted; larger is better, the smaller of two wins."""

    BAD = 0
    SUSPECT = 1
    GOOD = 2


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One reading of one device, in mimctl's units and signs.

    Args:
        device: device id.
        taken_at_s: monotonic instant the values were true, as near as the link can tell [s].
        keys: point keys; the same tuple object from one reading to the next, so that a reader can cache positions.
        values: one float per key, NaN where the device gave none.
        quality: of the reading as a whole.
        reason: why the quality is not GOOD.
    """

    device: str
    taken_at_s: float
    keys: tuple[str, ...]
    values: FloatArray
    quality: Quality = Quality.GOOD
    reason: Reason | None = None

    def get(self, key: str) -> float | None:
        """One value; None if the device has no such point or gave no value."""
        if key not in self.keys:
            return None
        value = float(self.values[self.keys.index(key)])
        return None if math.isnan(value) else value
