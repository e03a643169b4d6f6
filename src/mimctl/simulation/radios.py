"""The radio links of a simulated site: MIMs on Zigbee behind a mesh, MIMs on LoRaWAN behind their own driver and a virtual server.

The driver of a LoRaWAN MIM is the very one of the service, with its payloads, numbers and echoes; what stands between it and the
device's firmware runs in virtual time. A command over Zigbee has its answer within the cycle: its way there, its way back and the
reports are modelled without frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from mimctl.config.profiles.payload_profile import site_payload_profiles
from mimctl.drivers.lorawan_mim import LorawanMim
from mimctl.drivers.zigbee_mim_map import mim_map
from mimctl.model.clock import Clock
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link, LinkType
from mimctl.model.payload import PayloadProfile
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.firmware import MimFleet
from mimctl.twin.gateway import VirtualServer
from mimctl.twin.instruments import Instruments
from mimctl.twin.lorawan_mim import ECHO_S, LorawanMimTwin
from mimctl.twin.mesh_drivers import LONGEST_FRAME_S, MeshMim, MeshWay
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.wire.chirpstack.bridge import Listener
from mimctl.wire.chirpstack.events import Log, TxAck, Uplink
from mimctl.wire.chirpstack.lifecycle import Downlink, DownlinkTracker

#: devices look whether a report is due so often [s]
_LOOK_S = 1.0
#: a cycle leaves so much of itself for commands and their answers
_FOR_COMMANDS = 0.9
#: a bridge waits so long for an answer where the cycle does not end before: two attempts of 2 s
_MOST_PATIENCE_S = 4.0


class _Here(World):
    """The plant as it is at this instant of the simulation, which moves it on by itself."""

    def __init__(self, plant: Plant, clock: Clock) -> None:
        super().__init__(plant, clock, refresh_s=0.0)

    def advance(self) -> float:
        return self.plant.t_s


@dataclass(slots=True)
class _Watched:
    device: str
    listener: Listener
    downlinks: DownlinkTracker


@dataclass(eq=False)
class AirBridge:
    """What `drivers.lorawan_device.Airway` asks for, in virtual time."""

    instruments: Instruments
    clock: Clock
    ends: dict[str, int] = field(default_factory=dict)
    server: VirtualServer = field(init=False)
    _watched: dict[str, _Watched] = field(default_factory=dict)

    def watch(self, eui: str, device: str, listener: Listener, most_age_s: float) -> None:
        self._watched[eui] = _Watched(device, listener, DownlinkTracker(self._moved))

    def require_up(self, device: str) -> None:
        self.instruments.require_reachable(device)

    async def send(
        self, eui: str, sequence: int, port: int, payload: bytes, valid_s: float, due_s: float, *, urgent: bool = False
    ) -> None:
        watched = self._watched[eui]
        if not urgent:
            self.require_up(watched.device)
        watched.downlinks.begin(sequence, due_s)
        watched.downlinks.enqueued(self.server.enqueue(eui, port, payload, valid_s))

    async def ask(self, eui: str, port: int, payload: bytes, valid_s: float) -> None:
        self.require_up(self._watched[eui].device)
        self.server.enqueue(eui, port, payload, valid_s)

    def downlinks(self, eui: str) -> DownlinkTracker:
        tracker = self._watched[eui].downlinks
        tracker.pass_to(self.clock.monotonic_s())
        return tracker

    def hear(self, uplink: Uplink, at_s: float) -> None:
        self._watched[uplink.eui].listener(uplink, at_s)

    def tell(self, event: TxAck | Log) -> None:
        self._watched[event.eui].downlinks.happened(event)

    def _moved(self, downlink: Downlink) -> None:
        if downlink.state.is_final:
            self.ends[str(downlink.state)] = self.ends.get(str(downlink.state), 0) + 1


@dataclass(eq=False)
class _Zigbee:
    link: Link
    rows: list[int]
    mims: list[MeshMim]

    def summary(self, instruments: Instruments, elapsed_s: float) -> dict[str, Any]:
        """Airtime is that of the longest frame, each hop a frame of its own."""
        frames = int(instruments.frames[self.rows].sum())
        hops = sum(int(instruments.frames[row]) * mim.hops for row, mim in zip(self.rows, self.mims, strict=True))
        return {
            "kind": str(LinkType.ZIGBEE),
            "mims": len(self.mims),
            "commands_per_mim_h": _per_hour(sum(mim.commands for mim in self.mims), len(self.mims), elapsed_s),
            "frames": frames,
            "lost": int(instruments.lost[self.rows].sum()),
            "channel_share": hops * LONGEST_FRAME_S / elapsed_s,
        }


@dataclass(eq=False)
class _Lorawan:
    link: Link
    rows: list[int]
    bridge: AirBridge

    def summary(self, instruments: Instruments, elapsed_s: float) -> dict[str, Any]:
        """Shares of the time on the air are of the hour with most of it, or of the run where that is shorter."""
        server = self.bridge.server
        counts, rules, hour_s = server.counts, server.plan.rules, min(elapsed_s, 3600.0)
        not_heard = counts["not heard"]
        return {
            "kind": str(LinkType.LORAWAN),
            "mims": len(self.rows),
            "commands_per_mim_h": _per_hour(counts["downlinks"], len(self.rows), elapsed_s),
            "frames": counts["downlinks"] + counts["uplinks"],
            "lost": int(instruments.lost[self.rows].sum()) + not_heard,
            "not_heard": not_heard,
            "held_back": counts["held back"],
            "downlinks": dict(sorted(self.bridge.ends.items())),
            "gateway_share": server.worst_gateway().worst_s / hour_s,
            "gateway_limit": rules.downlink_share,
            "device_share": server.worst_device().worst_s / hour_s,
            "device_limit": rules.uplink_share,
        }


class RadioLinks:
    """Every radio link of a site that has MIMs.

    Args:
        group: the drivers of the whole site; those of MIMs on radios are replaced.
        cycle_s: of control [s].
    """

    def __init__(self, plant: Plant, fleet: MimFleet, group: PlantDriverGroup, clock: Clock, *, seed: int, cycle_s: float) -> None:
        self._plant, self._fleet, self._group, self._clock, self._seed = plant, fleet, group, clock, seed
        self._cycle_s = cycle_s
        self._world = _Here(plant, clock)
        self._links: list[_Zigbee | _Lorawan] = []
        for link in plant.layout.site.links:
            mims = [m for m, mim in enumerate(plant.layout.mims) if mim.address.link == link.id]
            if mims and link.type is LinkType.ZIGBEE:
                self._links.append(self._zigbee(link, mims))
            elif mims and link.type is LinkType.LORAWAN:
                self._links.append(self._lorawan(link, mims))

    def summary(self, elapsed_s: float) -> dict[str, Any]:
        """By id of the link, what was on the air so far."""
        return {each.link.id: each.summary(self._plant.instruments, elapsed_s) for each in self._links}

    @property
    def _layout(self) -> SiteLayout:
        return self._plant.layout

    def _rows(self, mims: list[int]) -> list[int]:
        return [self._plant.instruments.row[self._layout.mims[m].id] for m in mims]

    def _random(self, m: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, 0x616972, m])

    def _zigbee(self, link: Link, mims: list[int]) -> _Zigbee:
        drivers = []
        for m in mims:
            mim = self._layout.mims[m]
            point = next(p for p in mim_map(len(mim.ports), mim.latency.report_every_s).points if p.key == "active_power.port1")
            patience_s = min(_MOST_PATIENCE_S, _FOR_COMMANDS * self._cycle_s)
            way = replace(
                MeshWay(), patience_s=patience_s, report_every_s=point.most_s, least_s=point.least_s, change_w=point.change
            )
            drivers.append(MeshMim(self._group, self._fleet, m, mim.id, way, self._random(m)))
            self._group.replace(drivers[-1])
        return _Zigbee(link, self._rows(mims), drivers)

    def _lorawan(self, link: Link, mims: list[int]) -> _Lorawan:
        spec = link.lorawan
        if spec is None:
            raise ValueError(f"{link.id} is no LoRaWAN link")
        bridge = AirBridge(self._plant.instruments, self._clock)
        random = np.random.default_rng([self._seed, 0x6C6F7261])
        bridge.server = VirtualServer(self._fleet, spec.plan, bridge.hear, bridge.tell, random)
        profiles: Mapping[str, PayloadProfile] = site_payload_profiles(self._layout.site)
        for m in mims:
            mim, rng = self._layout.mims[m], self._random(m)
            profile = profiles[mim.address.profile]
            soon = partial(self._echo, rng)
            twin = LorawanMimTwin(m, self._layout, self._world, profile, bridge.server, spec, rng, soon, started=False)
            self._look(twin, float(rng.uniform(0.0, max(_LOOK_S, mim.latency.report_every_s))))
            self._group.replace(LorawanMim(mim, bridge, profile, self._clock, nominal_hz=self._layout.site.frequency_hz))
        return _Lorawan(link, self._rows(mims), bridge)

    def _echo(self, rng: np.random.Generator, report: Any) -> None:
        self._fleet.at(self._fleet.now_s + float(rng.uniform(*ECHO_S)), report)

    def _look(self, twin: LorawanMimTwin, at_s: float) -> None:
        """Have a device look whether a report is due, and again after a while."""

        def look() -> None:
            twin.tick(self._fleet.now_s)
            self._look(twin, at_s + _LOOK_S)

        self._fleet.at(at_s, look)


def _per_hour(count: int, mims: int, elapsed_s: float) -> float:
    return count / mims * 3600 / elapsed_s
