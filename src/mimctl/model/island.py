"""A part of the site that a MIM may feed by itself while a contactor keeps it off the grid.

A bus is formed by one MIM at a time: it sets voltage, frequency and phase, and everything else on the bus can only follow. Nobody
forms anything but by an operator's lease, and only while the bus is proven dead and proven cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

#: what a MIM says of its own operating state while it forms (64901 St)
FORMING_STATE = 3.0


@dataclass(frozen=True, slots=True)
class Island:
    """What may be formed, by whom, and what proves that it is cut off.

    Args:
        contactor: id of the transfer device whose `open` cuts it off.
        node: the node that this device supplies; the island is this node and all below it.
        formers: ids of the MIMs that may form it.
        also_open: further transfer devices that must be open too, such as a breaker above or a bypass.
        voltage_pu, frequency_pu: what is formed, of the nominal values.
        dead_time_s: how long the bus stays without voltage between a former and whatever feeds it next [s].
        reclose_s: how long the contactor waits, with voltage above it, before it closes [s]; None = it closes on a dead bus alone.
    """

    id: str
    contactor: str
    node: str
    formers: tuple[str, ...]
    also_open: tuple[str, ...] = ()
    voltage_pu: float = 1.0
    frequency_pu: float = 1.0
    dead_time_s: float = 5.0
    reclose_s: float | None = None

    @property
    def switches(self) -> tuple[str, ...]:
        """Every transfer device that must be open."""
        return (self.contactor, *self.also_open)


@dataclass(frozen=True, slots=True)
class FormWish:
    """An operator's lease to form an island, in force now.

    Args:
        lease: its id.
        owner: who asked.
        mim, island: ids.
    """

    lease: str
    owner: str
    mim: str
    island: str


@dataclass(frozen=True, slots=True)
class FormOrder:
    """One MIM forms one island from now on, or goes on with it. Only the judge makes one.

    Args:
        voltage_ln_v: line to neutral, rms [V].
        frequency_hz: [Hz]
        angle_deg: of L1 when it begins; on a dead bus any will do [°].
    """

    mim: str
    island: str
    voltage_ln_v: float
    frequency_hz: float
    angle_deg: float = 0.0
