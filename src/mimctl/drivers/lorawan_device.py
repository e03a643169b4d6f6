"""A device that sends payloads: its last frames, by the layouts of its profile, as a sample of the instant they were heard."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import LinkTimeout
from mimctl.model.layout import frozen
from mimctl.model.payload import PayloadProfile
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.wire.chirpstack.bridge import Listener
from mimctl.wire.chirpstack.events import Uplink
from mimctl.wire.chirpstack.lifecycle import DownlinkTracker
from mimctl.wire.payload import Reading, read_payload

#: values that came with another frame than the last one are believed for so long [s]
KEPT_S = 900.0


class Airway(Protocol):
    """The way to the devices of one link; `wire.chirpstack.bridge.LorawanBridge` is one, a simulated one another."""

    def watch(self, eui: str, device: str, listener: Listener, most_age_s: float) -> None: ...

    def require_up(self, device: str) -> None: ...

    async def send(
        self, eui: str, sequence: int, port: int, payload: bytes, valid_s: float, due_s: float, *, urgent: bool = False
    ) -> None: ...

    async def ask(self, eui: str, port: int, payload: bytes, valid_s: float) -> None: ...

    def downlinks(self, eui: str) -> DownlinkTracker: ...


class LorawanDevice:
    """Implements `model.protocols.Driver`. It never asks: what the device tells by itself is what there is.

    Args:
        eui: 16 lower-case hexadecimal digits.
        most_age_s: older uplinks are passed over [s].
        nominal_hz: of the site, for frequencies that are told as a difference.
    """

    def __init__(
        self,
        device: str,
        eui: str,
        bridge: Airway,
        profile: PayloadProfile,
        clock: Clock,
        *,
        most_age_s: float = KEPT_S,
        nominal_hz: float = 50.0,
    ) -> None:
        self._device, self._eui, self._bridge, self._profile, self._clock = device, eui, bridge, profile, clock
        self._nominal_hz = nominal_hz
        self._log = structlog.get_logger("mimctl.driver").bind(device=device)
        self._keys = tuple(dict.fromkeys(key for frame in profile.uplinks for key in frame.keys))
        self._place = {key: i for i, key in enumerate(self._keys)}
        self._values = np.full(len(self._keys), np.nan)
        self._at_s = np.full(len(self._keys), np.nan)
        self._sample: Sample | None = None
        #: payloads that no layout fits
        self.unreadable = 0
        bridge.watch(eui, device, self._heard, most_age_s)

    @property
    def device(self) -> str:
        return self._device

    @property
    def profile(self) -> PayloadProfile:
        return self._profile

    async def read(self) -> Sample:
        """The last sample; the same object until the device has told something new.

        Raises:
            LinkDown: no events come.
            LinkTimeout: the device has not told anything yet.
        """
        self._bridge.require_up(self._device)
        if self._sample is None:
            raise LinkTimeout(self._device, f"{self._eui} has not reported yet")
        return self._sample

    def _heard(self, uplink: Uplink, at_s: float) -> None:
        reading = read_payload(self._profile.uplinks, uplink.port, uplink.payload, self._nominal_hz)
        if reading is None:
            self.unreadable += 1
            if self.unreadable == 1:
                told = f"{len(uplink.payload)} bytes at port {uplink.port} fit no frame of {self._profile.id}"
                self._log.warning("payload.unreadable", text=told)
            return
        self._take(reading, at_s)

    def _take(self, reading: Reading, at_s: float) -> None:
        """Put what was read beside what other frames told before."""
        for key, value in zip(reading.frame.keys, reading.values.tolist(), strict=True):
            self._values[self._place[key]] = value
            self._at_s[self._place[key]] = at_s
        self._values[self._at_s < at_s - KEPT_S] = np.nan
        older_s = np.where(self._at_s < at_s, self._at_s, np.nan)
        wrong = ", ".join(reading.unbelievable)
        self._sample = Sample(
            self._device,
            at_s,
            self._keys,
            frozen(self._values.copy()),
            reason=Reason("payload.range", f"values that cannot be: {wrong}") if wrong else None,
            older_s=None if np.isnan(older_s).all() else frozen(older_s),
        )
