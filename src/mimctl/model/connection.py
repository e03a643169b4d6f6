"""What a load, a port or a meter is wired to."""

from __future__ import annotations

import math
from enum import StrEnum

from mimctl.model.phases import PHASES, Phase, Rotation


class Connection(StrEnum):
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L1L2 = "L1L2"
    L2L3 = "L2L3"
    L3L1 = "L3L1"
    THREE_PHASE = "3ph"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Every line conductor that carries its current."""
        if self is Connection.THREE_PHASE:
            return PHASES
        return tuple(Phase(self.value[i : i + 2]) for i in range(0, len(self.value), 2))

    @property
    def is_line_to_line(self) -> bool:
        return len(self.phases) == 2

    @property
    def uses_neutral(self) -> bool:
        """Single-phase connections return through the neutral; a balanced three-phase one leaves it empty."""
        return len(self.phases) == 1

    def nominal_voltage_v(self, voltage_ln_v: float) -> float:
        """Voltage across the connection [V] where the line-to-neutral voltage is `voltage_ln_v` [V]."""
        return voltage_ln_v * (math.sqrt(3) if self.is_line_to_line else 1.0)

    def phase_shares(self, rotation: Rotation = Rotation.POSITIVE) -> tuple[complex, complex, complex]:
        """How a complex power S at this connection appears at the three phase terminals, at nominal angles.

        For a line-to-line connection between phases x and y the current conj(S / (Vx − Vy)) leaves through x and
        returns through y, so the terminals see S·Vx/(Vx − Vy) and −S·Vy/(Vx − Vy). The shares always sum to one.

        Returns:
            Complex factors for L1, L2, L3.
        """
        voltages = rotation.unit_voltages
        shares = [0j, 0j, 0j]
        if self is Connection.THREE_PHASE:
            shares = [1 / 3 + 0j] * 3
        elif self.is_line_to_line:
            x, y = (p.column for p in self.phases)
            across = voltages[x] - voltages[y]
            shares[x], shares[y] = voltages[x] / across, -voltages[y] / across
        else:
            shares[self.phases[0].column] = 1 + 0j
        return shares[0], shares[1], shares[2]
