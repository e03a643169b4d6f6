"""How port powers follow their setpoints: a ramp along the segment, then a first-order lag. Exact for any step of time."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.twin.dclink import DcLink

#: a first-order lag is through 95 % of a step after this many time constants
TIME_CONSTANTS_TO_95_PCT = -math.log(0.05)
#: nearer to its target than this an output has arrived
_STILL_VA = 1e-6


class Response:
    """State of all ports. K ports, M MIMs.

    The reference walks straight from where it is to the target, as fast as the fastest port of the MIM may (so that the sum of
    the ports never leaves the segment); the output follows the reference with one time constant per MIM.

    Args:
        rate_w_per_s: (M,) ramp limit, inf = none.
        time_constant_s: (M,)
    """

    def __init__(self, link: DcLink, rate_w_per_s: FloatArray, time_constant_s: FloatArray) -> None:
        ports = len(link.owner)
        self._link = link
        self._normal_rate, self._normal_lag = rate_w_per_s, np.maximum(time_constant_s, 1e-9)
        self._rate, self._lag = self._normal_rate.copy(), self._normal_lag.copy()
        self.target = np.zeros(ports, dtype=np.complex128)
        self._reference = np.zeros(ports, dtype=np.complex128)
        self.output = np.zeros(ports, dtype=np.complex128)
        self._ramping = False
        self._still = True

    def aim(self, ports: slice, target: ComplexArray, m: int) -> None:
        """Walk to a new target as an ordinary setpoint."""
        self._rate[m], self._lag[m] = self._normal_rate[m], self._normal_lag[m]
        self._set(ports, target, m)

    def retreat(self, ports: slice, target: ComplexArray, m: int, within_s: float) -> None:
        """Walk to a new target in `within_s` without lag, slower only where the ramp limit says so."""
        self._reference[ports] = self.output[ports]
        far = float(np.abs(target - self.output[ports]).max())
        self._rate[m] = min(float(self._normal_rate[m]), max(far, 1e-9) / within_s)
        self._lag[m] = min(float(self._normal_lag[m]), within_s / 6)
        self._set(ports, target, m)

    def _set(self, ports: slice, target: ComplexArray, m: int) -> None:
        self.target[ports] = target
        self._still = False
        if math.isinf(self._rate[m]):
            self._reference[ports] = target
        else:
            self._ramping = True

    def place(self, ports: slice, output: ComplexArray) -> None:
        """Begin at another output than the one that was reached; say next where to walk to."""
        self.output[ports] = self._reference[ports] = output

    def drop(self, ports: slice) -> None:
        """Open the contactor: nothing flows from this instant."""
        self.target[ports] = self._reference[ports] = self.output[ports] = 0.0

    def advance(self, dt_s: float) -> bool:
        """Let time pass; whether any output has moved."""
        if self._ramping:
            self._ramp(dt_s)
            self._still = False
        elif not self._still:
            gap = self.output - self.target
            self._still = bool((np.abs(gap) < _STILL_VA).all())
            self.output = self.target.copy() if self._still else self.target + gap * np.exp(-dt_s / self._lag)[self._link.owner]
            return True
        return not self._still

    def _ramp(self, dt_s: float) -> None:
        """A lag behind a linear reference: x = r − vτ + (x0 − r0 + vτ)·e^(−t/τ) while it moves, then the plain lag."""
        owner = self._link.owner
        way = self.target - self._reference
        with np.errstate(invalid="ignore"):
            duration = np.nan_to_num(self._link.largest(np.abs(way)) / self._rate)
        moving = np.minimum(dt_s, duration)
        arrived: BoolArray = (duration <= dt_s)[owner]
        speed = way / np.where(duration > 0, duration, 1.0)[owner]
        behind = speed * self._lag[owner]
        lagging = self.output - self._reference + behind
        end = np.where(arrived, self.target, self._reference + speed * moving[owner])
        output = end - behind + lagging * np.exp(-moving / self._lag)[owner]
        self.output = end + (output - end) * np.exp(-(dt_s - moving) / self._lag)[owner]
        self._reference = end
        self._ramping = not arrived.all()
