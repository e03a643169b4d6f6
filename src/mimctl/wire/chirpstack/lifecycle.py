"""What becomes of the downlink of one device: from the queue to the echo, or to one of its other ends. Pure; time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mimctl.model.lorawan import DownlinkState
from mimctl.wire.chirpstack.events import Ack, Log, TxAck

_KEPT = 8
#: of ChirpStack's log: the downlink that is queued was refused by a gateway, and stays queued
_GATEWAY = "DOWNLINK_GATEWAY"
#: no gateway has taken it yet
_BEFORE_THE_AIR = (DownlinkState.ENQUEUED, DownlinkState.GATEWAY_ERROR)
#: of ChirpStack's log: the downlink will never be sent
_DROPPED = ("EXPIRED", "DOWNLINK_PAYLOAD_SIZE", "DOWNLINK_CODEC", "F_CNT_DOWN")


@dataclass(slots=True)
class Downlink:
    """One downlink.

    Args:
        sequence: number that the device echoes.
        item: its id in the server's queue.
        due_s: without an echo by then it counts as lost, monotonic [s].
    """

    sequence: int
    item: str
    due_s: float
    state: DownlinkState = DownlinkState.ENQUEUED
    text: str = ""


class DownlinkTracker:
    """Follows the downlinks of one device; there is one at a time, and a newer one supersedes it.

    Args:
        told: called with each change of state.
    """

    def __init__(self, told: Callable[[Downlink], None]) -> None:
        self._told = told
        self._recent: deque[Downlink] = deque(maxlen=_KEPT)
        #: events about a downlink whose id the server has not told yet
        self._early: list[TxAck | Ack] = []

    @property
    def current(self) -> Downlink | None:
        """The newest; None before the first one."""
        return self._recent[-1] if self._recent else None

    def begin(self, sequence: int, due_s: float) -> None:
        """A downlink is on its way into the queue. Its echo may be here before the server's answer is."""
        self._recent.append(Downlink(sequence, "", due_s))

    def enqueued(self, item: str) -> None:
        """The newest is in the queue, and whatever waited there is gone."""
        for before in list(self._recent)[:-1]:
            if not before.state.is_final:
                self._move(before, DownlinkState.SUPERSEDED, f"by {self._recent[-1].sequence}")
        now = self._recent[-1]
        now.item = item
        if now.state is DownlinkState.ENQUEUED:
            self._told(now)
        early, self._early = [event for event in self._early if event.item == item], []
        for event in early:
            self.happened(event)

    def refused(self, why: str) -> None:
        """The newest is not in the queue, as far as is known: its number is used up all the same."""
        self._move(self._recent[-1], DownlinkState.EXPIRED, why)

    def happened(self, event: TxAck | Ack | Log) -> None:
        """An event of the server; one about a downlink that nobody remembers is passed over."""
        if isinstance(event, Log):
            self._logged(event)
            return
        found = self._of(event.item)
        if found is None and (now := self.current) is not None and not now.item:
            self._early = [*self._early[-_KEPT:], event]
        if found is None or found.state.is_final:
            return
        if isinstance(event, TxAck):
            self._move(found, DownlinkState.TXACK)
        elif event.acknowledged:
            self._move(found, DownlinkState.ACK)
        else:
            self._move(found, DownlinkState.NACK, "the device did not acknowledge it")

    def _logged(self, log: Log) -> None:
        if log.code == _GATEWAY and not log.item:
            # the server does not say which; one that a gateway took already is not meant: it was a frame of the network's own
            found = self.current
            if found is not None and found.state not in _BEFORE_THE_AIR:
                return
        elif log.code == _GATEWAY or log.code in _DROPPED:
            found = self._of(log.item)
        else:
            return
        if found is not None and not found.state.is_final:
            state = DownlinkState.GATEWAY_ERROR if log.code == _GATEWAY else DownlinkState.EXPIRED
            self._move(found, state, f"{log.code}: {log.text}" if log.text else log.code)

    def echoed(self, sequence: int) -> bool:
        """The device told the number of the setpoint in force; whether it is that of the newest downlink.

        An echo proves it, whatever the server said before.
        """
        now = self.current
        if now is None or now.sequence != sequence:
            return False
        if now.state is not DownlinkState.ECHOED:
            self._move(now, DownlinkState.ECHOED)
        return True

    def pass_to(self, now_s: float) -> None:
        """Time passes: a downlink that nobody echoed in time is lost."""
        now = self.current
        if now is not None and not now.state.is_final and now_s > now.due_s:
            self._move(now, DownlinkState.EXPIRED, f"not echoed in time (was {now.state})")

    def knows(self, sequence: int) -> bool:
        """Whether a number is that of one of the last downlinks."""
        return any(downlink.sequence == sequence for downlink in self._recent)

    def _of(self, item: str) -> Downlink | None:
        return next((d for d in self._recent if item and d.item == item), None)

    def _move(self, downlink: Downlink, state: DownlinkState, text: str = "") -> None:
        if downlink.state is not state:
            downlink.state, downlink.text = state, text
            self._told(downlink)
