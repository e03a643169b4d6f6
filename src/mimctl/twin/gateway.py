"""A LoRaWAN network server and its gateways in virtual time: queues and locks of class C, airtime, radio law, half-duplex radios.

What each figure is: a frame's airtime is computed (`model.airtime`); the server's interval and lock are ChirpStack's; the ways
between gateway and server are assumed (`WAY_S`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mimctl.model.lorawan import RadioPlan
from mimctl.twin.firmware import MimFleet
from mimctl.wire.chirpstack.events import Log, TxAck, Uplink
from mimctl.wire.chirpstack.stand_in import Receiver, Timing

#: radio law looks at so long a time (ETSI EN 300 220-1, observation period of the duty cycle) [s]
OBSERVED_S = 3600.0
#: from a gateway to the server and on, or back: uniform within [s]
WAY_S = (0.05, 0.3)


class Airtime:
    """Time on the air of one sender, over all and within the last hour."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self.worst_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._recent_s = 0.0

    def used_s(self, now_s: float) -> float:
        """Within the hour before an instant [s]."""
        while self._recent and self._recent[0][0] <= now_s - OBSERVED_S:
            self._recent_s -= self._recent.popleft()[1]
        return self._recent_s

    def may(self, now_s: float, airtime_s: float, share: float | None) -> bool:
        """Whether a frame more would still be within a share of the hour; None = no law."""
        return share is None or self.used_s(now_s) + airtime_s <= share * OBSERVED_S

    def add(self, now_s: float, airtime_s: float) -> None:
        self._recent.append((now_s, airtime_s))
        self._recent_s += airtime_s
        self.total_s += airtime_s
        self.worst_s = max(self.worst_s, self.used_s(now_s))


@dataclass(slots=True)
class _Item:
    id: str
    port: int
    payload: bytes
    expires_s: float


@dataclass(slots=True)
class _Device:
    eui: str
    receive: Receiver
    queued: _Item | None = None
    free_at_s: float = 0.0
    frames: int = 0
    air: Airtime = field(default_factory=Airtime)


@dataclass(slots=True)
class _Gateway:
    """`sends`: from and until when it was last on the air, and so heard nothing [s]."""

    air: Airtime = field(default_factory=Airtime)
    sends: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=32))

    @property
    def free_at_s(self) -> float:
        return self.sends[-1][1] if self.sends else -math.inf

    def is_deaf(self, since_s: float, until_s: float) -> bool:
        return any(start < until_s and end > since_s for start, end in self.sends)


class VirtualServer:
    """The devices of one link, on the time of their own firmware.

    Args:
        hear: takes each uplink and the instant at which it was heard.
        tell: takes what the server says of downlinks.
        counts: sent, and what became of frames beside those that the air lost: held back by law, not heard, expired.
    """

    def __init__(
        self,
        fleet: MimFleet,
        plan: RadioPlan,
        hear: Callable[[Uplink, float], None],
        tell: Callable[[TxAck | Log], None],
        rng: np.random.Generator,
        timing: Timing | None = None,
    ) -> None:
        self._fleet, self.plan, self._hear, self._tell, self._rng = fleet, plan, hear, tell, rng
        self._timing = timing or Timing()
        self._devices: dict[str, _Device] = {}
        self._gateways = [_Gateway() for _ in range(plan.gateways)]
        self._items = itertools.count(1)
        self._awake = False
        self.counts: Counter[str] = Counter()

    def add(self, eui: str, name: str, receive: Receiver) -> None:
        self._devices[eui] = _Device(eui, receive)

    def worst_gateway(self) -> Airtime:
        """Of the gateway that sent most in one hour."""
        return max((gateway.air for gateway in self._gateways), key=lambda air: air.worst_s)

    def worst_device(self) -> Airtime:
        """Of the device that sent most in one hour."""
        return max((device.air for device in self._devices.values()), key=lambda air: air.worst_s, default=Airtime())

    def enqueue(self, eui: str, port: int, payload: bytes, valid_s: float) -> str:
        """Queue a downlink in place of the one that waits; its id."""
        item = _Item(str(next(self._items)), port, payload, self._fleet.now_s + valid_s)
        self._devices[eui].queued = item
        if not self._awake:
            self._wake()
        return item.id

    def uplink(self, eui: str, port: int, payload: bytes) -> None:
        """A device sends, if radio law lets it."""
        device, now_s = self._devices[eui], self._fleet.now_s
        airtime_s = self.plan.uplink.airtime_s(len(payload), uplink=True)
        if not device.air.may(now_s, airtime_s, self.plan.rules.uplink_share):
            self.counts["held back"] += 1
            return
        device.air.add(now_s, airtime_s)
        device.frames += 1
        self.counts["uplinks"] += 1
        event = Uplink(eui, f"{eui} {device.frames}", "", device.frames, port, payload, None)
        self._fleet.at(now_s + airtime_s, partial(self._received, event, now_s))

    def _received(self, event: Uplink, since_s: float) -> None:
        now_s = self._fleet.now_s
        if all(gateway.is_deaf(since_s, now_s) for gateway in self._gateways):
            self.counts["not heard"] += 1  # every gateway was sending
            return
        self._fleet.at(now_s + self._way_s(), lambda: self._hear(event, now_s))

    def _wake(self) -> None:
        """At the server's next look at its queues."""
        self._awake = True
        every_s = self._timing.scheduler_s
        self._fleet.at((math.floor(self._fleet.now_s / every_s) + 1) * every_s, self._look)

    def _look(self) -> None:
        now_s, self._awake = self._fleet.now_s, False
        waiting = [device for device in self._devices.values() if device.queued is not None]
        for device in waiting:
            if device.queued is not None and now_s >= device.free_at_s:
                self._send(device, device.queued, now_s)
        if any(device.queued is not None for device in waiting):
            self._wake()

    def _send(self, device: _Device, item: _Item, now_s: float) -> None:
        if now_s > item.expires_s:
            device.queued = None
            self.counts["expired"] += 1
            self._tell(Log(device.eui, "EXPIRED", "queue item has expired", item.id))
            return
        device.free_at_s = now_s + self._timing.class_c_lock_s
        airtime_s = self.plan.downlink.airtime_s(len(item.payload), uplink=False)
        gateway = min(self._gateways, key=lambda each: (each.air.used_s(now_s), each.free_at_s))
        law = self.plan.rules.downlink_share if self.plan.rules.downlink_law else None
        if not gateway.air.may(now_s, airtime_s, law):
            self.counts["held back"] += 1
            self._tell(Log(device.eui, "DOWNLINK_GATEWAY", "DUTY_CYCLE_OVERFLOW", ""))
            return
        device.queued = None
        start_s = max(now_s + self._way_s(), gateway.free_at_s)
        gateway.air.add(start_s, airtime_s)
        gateway.sends.append((start_s, start_s + airtime_s))
        self.counts["downlinks"] += 1
        self._tell(TxAck(device.eui, item.id))
        self._fleet.at(start_s + airtime_s, partial(self._arrive, device, item))

    def _arrive(self, device: _Device, item: _Item) -> None:
        if not device.receive(item.port, item.payload):
            self.counts["lost downlinks"] += 1

    def _way_s(self) -> float:
        return float(self._rng.uniform(*WAY_S))
