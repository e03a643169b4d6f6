"""Where a port that acts late can be, whatever its delay really is: between all that it was told since it may have acted on it.

By a wrong delay a device that has acted already is taken for one that puts out so much by itself and has yet to act: until its
next report a move would be counted twice. No device does more than it was told, so no correction takes the model further.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray


class Reach:
    """Of K ports; those that are not late are left alone.

    Args:
        late: (K,)
    """

    def __init__(self, late: BoolArray) -> None:
        self._late = late
        self.any = bool(late.any())
        #: (K, 2) real and imaginary parts: least and greatest that was told, and how far outside the device was found
        self._low, self._high = np.zeros((len(late), 2)), np.zeros((len(late), 2))
        self._off = np.zeros((len(late), 2))

    def told(self, target_va: ComplexArray) -> None:
        """One more command (K,) [VA]."""
        if self.any:
            target = _parts(target_va)
            self._low, self._high = np.minimum(self._low, target), np.maximum(self._high, target)

    def found(self, ports: BoolArray, output_va: ComplexArray, targets_va: Iterable[ComplexArray]) -> None:
        """Some ports (K,) were seen at these outputs (K,); the commands that they may have acted on, (K,) each."""
        ports = ports & self._late
        if not ports.any():
            return
        targets, output = np.array([_parts(target_va)[ports] for target_va in targets_va]), _parts(output_va)[ports]
        self._low[ports], self._high[ports] = targets.min(axis=0), targets.max(axis=0)
        # one that puts out something else by itself, to keep its DC link in balance, goes on doing so
        self._off[ports] = output - np.clip(output, self._low[ports], self._high[ports])

    def bound(self, output_va: ComplexArray, ports: IntArray | None = None) -> ComplexArray:
        """What the model says, nowhere further than a device can be.

        Args:
            output_va: (E,) of these ports (E,); None = of all.
        """
        if not self.any:
            return output_va
        at: IntArray | slice = slice(None) if ports is None else ports
        low, high = self._low[at] + np.minimum(self._off[at], 0.0), self._high[at] + np.maximum(self._off[at], 0.0)
        within = np.clip(_parts(output_va), low, high)
        return np.where(self._late[at], within[:, 0] + 1j * within[:, 1], output_va)


def _parts(power_va: ComplexArray) -> FloatArray:
    """(K,) complex → (K, 2)"""
    return np.stack([power_va.real, power_va.imag], axis=1)
