"""Devices behind a real broker and ChirpStack's interface, for the driver contract: a MIM, and a sensor by its profile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from contract_bench import LOADS, PORTS, Bench

from lorawan_air import EUI, Air, air, until
from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_device import LorawanDevice
from mimctl.drivers.lorawan_mim import LorawanMim
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import SystemClock
from mimctl.model.connection import Connection
from mimctl.model.errors import LinkError, LinkTimeout
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.lorawan import DownlinkState
from mimctl.model.payload import PayloadProfile
from mimctl.model.protocols import Driver, HeldSetpoint, MimCommand, Recall
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import Mim, PortSpec
from mimctl.wire.chirpstack.bridge import LorawanBridge
from mimctl.wire.payload import encode_payload, read_payload

SLOW = Latency(LatencyClass.SLOW, delay_s=1.0, command_every_s=20.0, report_every_s=20.0)


def profile(name: str) -> PayloadProfile:
    path = find_payload_profile(name)
    assert path is not None
    return load_payload_profile(path)


MIM, METER = profile("mimctl/mim"), profile("example/meter3")


def the_mim(validity_s: float = 120.0) -> Mim:
    ports = tuple(PortSpec("rack1", Connection(f"L{n}"), 2000.0) for n in (1, 2, 3))
    return Mim("mim1", DeviceAddress("air", 1, "mimctl/mim", eui=EUI), ports, latency=SLOW, validity_s=validity_s)


@dataclass
class Firmware:
    """A MIM that takes and echoes setpoints, says which it holds when asked, and reports when told to."""

    link: Air
    shown: dict[str, float] = field(default_factory=dict)
    number: int = 0
    validity_s: float = 0.0
    status: int = 0
    setpoint: tuple[float, ...] = (0.0,) * 6
    deaf: bool = False
    taken: list[int] = field(default_factory=list)

    def take(self, port: int, payload: bytes) -> bool:
        assert MIM.setpoint is not None
        assert MIM.question is not None
        if (port, payload) == (MIM.question.port, MIM.question.payload):
            self.report(frame=2)
            return True
        reading = read_payload([MIM.setpoint], port, payload)
        assert reading is not None
        number = int(reading.get("sequence") or 0)
        if self.deaf or number == self.number:
            return False
        self.number, self.validity_s, self.status = number, reading.get("validity") or 0.0, 0
        self.setpoint = tuple(reading.values[2:])
        self.taken.append(number)
        self.shown = {key: value for key, value in self.shown.items() if not key.startswith(("active_", "reactive_"))}
        self.report()
        return True

    def report(self, frame: int = 0) -> None:
        layout = MIM.uplinks[frame]
        values = dict.fromkeys(layout.keys, 0.0) | {"voltage.port1": 230.4, "frequency": 50.0, "thd_v.port1": math.nan}
        for n in range(3):
            watts, vars_ = self.setpoint[2 * n : 2 * n + 2]
            values |= {f"active_power.port{n + 1}": watts, f"setpoint_active_power.port{n + 1}": watts}
            values |= {f"reactive_power.port{n + 1}": vars_, f"setpoint_reactive_power.port{n + 1}": vars_}
        values |= {
            "sequence_ack": float(self.number),
            "command_status": float(self.status),
            "status": float(self.status),
            "watchdog_remaining": self.validity_s,
        } | self.shown
        values = {key: values[key] for key in layout.keys}
        self.link.server.uplink(EUI, layout.port, encode_payload("mim1", layout, values, measured=True))

    @property
    def ports(self) -> int:
        return 3

    @property
    def enabled(self) -> bool:
        return self.validity_s > 0

    @property
    def sequence(self) -> int:
        return self.number

    @property
    def signs_of_life(self) -> int:
        return len(self.taken)

    def setpoints(self) -> tuple[list[int], list[int]]:
        return [int(w) for w in self.setpoint[::2]], [int(q) for q in self.setpoint[1::2]]


class Patient(LorawanMim):
    """The driver; each call lasts until the medium has done what it does: the first report, the answer to a question, the echo."""

    async def read(self) -> Sample:
        while True:
            try:
                sample = await super().read()
            except LinkTimeout:
                await asyncio.sleep(0.01)
                continue
            if self.recall is not Recall.ASKED:
                return sample
            await asyncio.sleep(0.01)

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        await self.read()
        held = await super().apply(command)
        await self._echoed()
        return held

    async def release(self, reason: Reason) -> None:
        await super().release(reason)
        await self._echoed()

    async def _echoed(self) -> None:
        await until(lambda: (sent := self._bridge.downlinks(self._eui).current) and sent.state is DownlinkState.ECHOED)


class PatientSensor(LorawanDevice):
    """The driver; a reading lasts until the device has reported for the first time."""

    async def read(self) -> Sample:
        while True:
            try:
                return await super().read()
            except LinkTimeout:
                await asyncio.sleep(0.01)


@dataclass
class Sensor:
    """A meter that reports when told to; what it is not told to show it does not know."""

    link: Air
    shown: dict[str, float] = field(default_factory=dict)

    def report(self) -> None:
        layout = METER.uplinks[0]
        values = {key: self.shown.get(key, math.nan) for key in layout.keys}
        self.link.server.uplink(EUI, layout.port, encode_payload("m1", layout, values, measured=True))


def a_mim(bridge: LorawanBridge) -> LorawanMim:
    return Patient(the_mim(), bridge, MIM, SystemClock())


def a_sensor(bridge: LorawanBridge) -> LorawanDevice:
    return PatientSensor("m1", EUI, bridge, METER, SystemClock())


async def over_lorawan(
    folder: Path,
    marshalling: Literal["json", "protobuf"],
    make: Callable[[LorawanBridge], LorawanDevice],
    device: Callable[[Air], Firmware | Sensor],
    shown: Mapping[str, float],
    unknown: str,
) -> AsyncIterator[Bench]:
    async with air(folder, None, marshalling=marshalling) as link:
        fake, bridge = device(link), link.bridge()
        firmware = fake if isinstance(fake, Firmware) else None
        if firmware is not None:
            link.server.add(EUI, "mim1", firmware.take)
        fake.shown = dict(shown)
        driver = make(bridge)

        def show(values: Mapping[str, float]) -> None:
            fake.shown = fake.shown | dict(values)
            fake.report()

        async def cut() -> None:
            await link.broker.stop()
            await link.server.stop_api()
            await until(lambda: not bridge.connected)

        async def mend() -> None:
            assert link.link.lorawan is not None
            await link.broker.start()
            await link.server.start(port=link.link.lorawan.api_port)
            while True:
                try:
                    return await bridge._api.flush("mim1", EUI)
                except LinkError:
                    await asyncio.sleep(0.02)

        def another() -> Driver:
            fresh = make(bridge)
            fake.report()
            return fresh

        def written() -> list[int]:
            return [] if firmware is None else firmware.taken

        try:
            await bridge.open()
            await until(lambda: bridge.connected)
            fake.report()
            yield Bench(
                driver, shown, unknown, show, cut, mend, written, another, firmware, fake.report, counts_all=True, used_up=1
            )
        finally:
            await bridge.close()


_LOADS = {key: value for key, value in LOADS.items() if key in METER.uplinks[0].keys}
METER_BENCHES = {
    "sensor by profile, LoRaWAN": partial(
        over_lorawan, marshalling="json", make=a_sensor, device=Sensor, shown=_LOADS, unknown="active_power.L3"
    )
}
MIM_BENCHES = {
    "MIM, LoRaWAN": partial(
        over_lorawan,
        marshalling="protobuf",
        make=a_mim,
        device=Firmware,
        shown={**PORTS, "temperature": 41.0},
        unknown="thd_v.port1",
    )
}
