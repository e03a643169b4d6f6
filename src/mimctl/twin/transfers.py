"""Virtual transfer devices: what they do when the source of their feed is lost, and what they say of themselves.

The supply that they switch to is not modelled: behind the device the voltage is there again, as stiff as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mimctl.model.layout import SiteLayout
from mimctl.model.transfer import Transfer, TransferState

TRANSFER_KEYS = ("status", "frequency", "available_inject")
#: how soon a device that its interlock keeps open looks again
_LOOK_AGAIN_S = 0.5


@dataclass(eq=False)
class Switch:
    """One of them.

    Args:
        node: index of the node that it supplies.
        state: what it is in.
        lost: how many faults keep its normal source away.
        told: what it says to be in, whatever it is; None = the truth.
    """

    device: Transfer
    node: int
    state: TransferState
    lost: int = 0
    turn: int = 0
    told: TransferState | None = None

    @property
    def goal(self) -> TransferState:
        """Where it wants to be."""
        if not self.lost:
            return self.device.fixed or TransferState.NORMAL
        return self.device.backup or TransferState.OPEN


class Switches:
    """All transfer devices of a plant.

    Args:
        cut: opens the supply of a node; `restore` closes it again.
        frequency_hz: of the grid now.
    """

    def __init__(
        self, layout: SiteLayout, cut: Callable[[int], None], restore: Callable[[int], None], frequency_hz: Callable[[], float]
    ) -> None:
        self._cut, self._restore = cut, restore
        #: whether an interlock of its own keeps a device open now
        self.blocked: Callable[[Switch], bool] = lambda _: False
        self._frequency_hz = frequency_hz
        self.devices = [
            Switch(device, layout.node_index[device.node], device.fixed or TransferState.NORMAL) for device in layout.site.transfers
        ]

    def at(self, node: int) -> Switch | None:
        """The device that supplies a node."""
        return next((switch for switch in self.devices if switch.node == node), None)

    def lose(self, switch: Switch, later: Callable[[float, Callable[[], None]], None]) -> None:
        """The normal source is gone.

        Args:
            later: calls something after so many seconds.
        """
        switch.lost += 1
        self._change(switch, later)

    def regain(self, switch: Switch, later: Callable[[float, Callable[[], None]], None]) -> None:
        """It is there again."""
        switch.lost -= 1
        self._change(switch, later)

    def move(self, switch: Switch, state: TransferState) -> None:
        """Be in a state at once."""
        if (switch.state is TransferState.OPEN) != (state is TransferState.OPEN):
            (self._cut if state is TransferState.OPEN else self._restore)(switch.node)
        switch.state = state

    def _change(self, switch: Switch, later: Callable[[float, Callable[[], None]], None]) -> None:
        """Nothing is fed while a change lasts; only the last change that was begun is finished."""
        switch.turn += 1
        turn = switch.turn
        if switch.device.transfer_s <= 0 and not self.blocked(switch):
            self.move(switch, switch.goal)
            return
        self.move(switch, TransferState.OPEN)

        def finish() -> None:
            if switch.turn == turn and self.blocked(switch):
                later(_LOOK_AGAIN_S, finish)
            elif switch.turn == turn:
                self.move(switch, switch.goal)

        later(switch.device.transfer_s, finish)

    def values(self, switch: Switch) -> tuple[float, float, float]:
        """What the device says of itself, in the order of `TRANSFER_KEYS`; NaN where it has no word for it."""
        codes = {state: code for code, state in switch.device.codes}
        state = switch.state if switch.told is None else switch.told
        dead = state is TransferState.OPEN
        source = next((s for s in switch.device.sources if s.state is state), None)
        available = math.nan if source is None or source.available_va is None else source.available_va
        return float(codes.get(state, math.nan)), math.nan if dead else self._frequency_hz(), available
