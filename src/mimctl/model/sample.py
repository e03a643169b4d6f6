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


#: the same as plain numbers: looking up a member of an enumeration takes longer than the comparison of an array with it
BAD, GOOD = int(Quality.BAD), int(Quality.GOOD)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One reading of one device, in mimctl's units and signs.

    Args:
        device: device id.
        taken_at_s: monotonic instant the values were true, as near as the link can tell [s].
        keys: point keys; the same tuple object from one reading to the next, so that a reader can cache positions.
        values: one float per key, NaN where the device gave none.
        quality: of the reading as a whole.
        reason: why the quality is not GOOD, or why some values are missing that are read now and then.
        older_s: (len(keys),) the instant of each value that is older than `taken_at_s`, NaN for the others; None = all are of one
            instant [s].
    """

    device: str
    taken_at_s: float
    keys: tuple[str, ...]
    values: FloatArray
    quality: Quality = Quality.GOOD
    reason: Reason | None = None
    older_s: FloatArray | None = None

    def instant_s(self, key: str) -> float:
        """When one value was true, monotonic [s]."""
        if self.older_s is None or key not in self.keys:
            return self.taken_at_s
        own_s = float(self.older_s[self.keys.index(key)])
        return self.taken_at_s if math.isnan(own_s) else own_s

    def get(self, key: str) -> float | None:
        """One value; None if the device has no such point or gave no value."""
        if key not in self.keys:
            return None
        value = float(self.values[self.keys.index(key)])
        return None if math.isnan(value) else value
