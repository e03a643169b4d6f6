"""Setpoints that an operator wants at some ports for a while: they become bounds before the solve, and expire by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import BoolArray, SiteLayout, frozen
from mimctl.model.reason import Reason


@dataclass(frozen=True, slots=True)
class Pin:
    """One MIM's ports, injection positive.

    Args:
        power_va: one per port [VA]; None: the port is left to the solve, which keeps the MIM's balance with it.
        until_s: monotonic [s].
    """

    mim: str
    power_va: tuple[complex | None, ...]
    until_s: float


class Pins:
    """The pins of one zone; at most one for each MIM, the latest."""

    def __init__(self) -> None:
        self._pins: dict[str, Pin] = {}

    def put(self, pin: Pin) -> None:
        self._pins[pin.mim] = pin

    def take(self, mim: str) -> Pin | None:
        """End a pin before its time; None where there was none."""
        return self._pins.pop(mim, None)

    def active(self, now_s: float) -> tuple[Pin, ...]:
        """The pins in force. Expired ones are forgotten."""
        self._pins = {mim: pin for mim, pin in self._pins.items() if now_s < pin.until_s}
        return tuple(self._pins.values())

    def narrowed(self, bounds: Bounds, layout: SiteLayout, usable: BoolArray, now_s: float) -> Bounds:
        """The bounds with every pin in force: its MIM is commanded, rule or no rule, if it can be; no deadband keeps it back.

        Args:
            usable: (M,) MIMs that report and follow their setpoints.
            now_s: monotonic [s].
        """
        pins = self.active(now_s)
        if not pins:
            return bounds
        wanted = np.full(len(layout.ports), np.nan + 0j)
        enabled = bounds.mim_enabled.copy()
        release = np.zeros(len(layout.mims), dtype=np.bool_) if bounds.mim_release is None else bounds.mim_release.copy()
        for pin in pins:
            m = layout.mim_index[pin.mim]
            wanted[layout.ports_of_mim[m]] = [np.nan if power is None else power for power in pin.power_va]
            enabled[m], release[m] = usable[m], release[m] and not usable[m]
        # with nobody else to balance, the other ports take what the MIM's own balance needs and no more
        weights = bounds.weights if bounds.mim_enabled.any() else frozen(np.zeros_like(bounds.weights))
        why = Reason("pin.operator", "set by an operator for a while")
        return replace(
            bounds,
            mim_enabled=frozen(enabled),
            mim_release=frozen(release),
            port_pinned_va=frozen(wanted),
            weights=weights,
            deadband_a=0.0,
            restrictions=(*bounds.restrictions, *(Restriction(pin.mim, why) for pin in pins)),
        )
