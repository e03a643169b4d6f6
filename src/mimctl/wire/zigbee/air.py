"""The air between virtual devices and a coordinator: frames by short address, delays, losses, and what the stick remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any, Protocol

COORDINATOR = 0x0000
#: from here on addresses mean several devices
BROADCASTS = 0xFFF8


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as the network layer carries it; `data` holds the ZDO or ZCL frame."""

    src: int
    src_ep: int
    dst: int
    dst_ep: int
    profile: int
    cluster: int
    data: bytes
    lqi: int = 200


class Trouble(StrEnum):
    """What can befall a coordinator.

    UNPLUGGED: it is not there. SILENT: its line is open and nothing comes. GARBLED: what comes makes no sense. OTHER_NETWORK: it
    holds another network.
    """

    UNPLUGGED = "unplugged"
    SILENT = "silent"
    GARBLED = "garbled"
    OTHER_NETWORK = "other_network"


class Station(Protocol):
    """A device on the air."""

    nwk: int
    #: as people write it: most significant byte first, without separators
    eui: str

    def receive(self, frame: Frame) -> None: ...


@dataclass(eq=False)
class Stick:
    """What a coordinator keeps without power: its address and the network that was formed. Keys are in it."""

    eui: str = "00124b0000c0ffee"
    network: dict[str, Any] | None = None
    node: dict[str, Any] | None = None


@dataclass(eq=False)
class Air:
    """One radio channel in memory.

    Args:
        delay_s: from sender to receiver, each way [s].
        loss: share of the frames that nobody hears, in either direction.
        seed: of the losses.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    seed: int = 1
    stick: Stick = field(default_factory=Stick)
    stations: dict[int, Station] = field(default_factory=dict)
    #: link keys under which a device may join now, by EUI; empty = nobody may
    open_to: dict[str, bytes] = field(default_factory=dict)
    lost: int = 0
    carried: int = 0
    #: what is wrong with the coordinator
    trouble: Trouble | None = None

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._own = self.stick
        self._coordinator: Callable[[Frame], None] | None = None
        self._unplug: Callable[[], None] | None = None

    @property
    def attached(self) -> bool:
        """A radio is running on it."""
        return self._coordinator is not None

    def attach(self, receive: Callable[[Frame], None], unplugged: Callable[[], None]) -> None:
        """A radio starts: frames for the coordinator go to `receive`."""
        self._coordinator, self._unplug = receive, unplugged

    def detach(self) -> None:
        self._coordinator = self._unplug = None

    def unplug(self) -> None:
        """Somebody pulls the stick out, or it restarts."""
        unplugged = self._unplug
        self.detach()
        if unplugged is not None:
            unplugged()

    def befall(self, trouble: Trouble | None, other: Stick | None = None) -> None:
        """Something happens to the coordinator, or has passed (None).

        Args:
            other: what it remembers while it holds another network.
        """
        before, self.trouble = self.trouble, trouble
        if before is Trouble.OTHER_NETWORK:
            self.stick = self._own
        if trouble is Trouble.OTHER_NETWORK and other is not None:
            self._own, self.stick = self.stick, other
        if trouble is Trouble.UNPLUGGED or Trouble.OTHER_NETWORK in (before, trouble):
            self.unplug()

    def add(self, station: Station) -> None:
        self.stations[station.nwk] = station

    def admit(self, station: Station, key: bytes) -> bool:
        """A device asks to join with its link key; True where the coordinator lets it in."""
        if self.open_to.get(station.eui) != key:
            return False
        self.add(station)
        return True

    def carry(self, frame: Frame) -> None:
        """A device or the coordinator sends: it arrives later, or not at all."""
        if self.loss and self._random.random() < self.loss:
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        if self.delay_s:
            loop.call_later(self.delay_s, self._arrive, frame)
        else:
            loop.call_soon(self._arrive, frame)

    def _garbled(self, frame: Frame) -> Frame:
        """Some other bytes, cut anywhere."""
        noise = self._random.randbytes(len(frame.data))
        return replace(frame, data=noise[: self._random.randrange(len(noise) + 1)])

    def hears(self, nwk: int) -> bool:
        """Whether a unicast would be acknowledged."""
        return nwk in self.stations

    def _arrive(self, frame: Frame) -> None:
        self.carried += 1
        if frame.dst == COORDINATOR:
            if self._coordinator is not None and self.trouble is not Trouble.SILENT:
                self._coordinator(self._garbled(frame) if self.trouble is Trouble.GARBLED else frame)
        elif frame.dst >= BROADCASTS:
            for station in list(self.stations.values()):
                if station.nwk != frame.src:
                    station.receive(frame)
        elif frame.dst in self.stations:
            self.stations[frame.dst].receive(frame)
