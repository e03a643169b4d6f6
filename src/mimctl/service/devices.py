"""One device on request: its points, its registers. The service answers over the links it already has; the command line, without a
service, over links of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from textwrap import shorten
from typing import Any

from mimctl.control.events import EventLog
from mimctl.drivers.reading import DeviceReading, PointReading
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.survey import survey, take_dump
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.protocols import Driver, DriverGroup
from mimctl.model.site import Site
from mimctl.service.operator_writes import OperatorWrites
from mimctl.service.told import plain_sample
from mimctl.wire.dump import as_json
from mimctl.wire.recorder import Recorder


@dataclasses.dataclass(frozen=True, slots=True)
class _Watched:
    """A device and the reader that was made to look at it."""

    reader: RegisterDevice
    recorder: Recorder


class DeviceDesk:
    """Reads devices for people, through the links that control uses; their requests queue behind each other there.

    Args:
        groups: opened and closed by their owner.
        writes: takes setpoints; None = nobody does here.
        events: of a service that has listened to devices which tell by themselves; None = nobody has.
    """

    def __init__(
        self,
        groups: Iterable[DriverGroup],
        clock: Clock,
        writes: OperatorWrites | None = None,
        events: EventLog | None = None,
    ) -> None:
        self._drivers = {name: driver for group in groups for name, driver in group.drivers.items()}
        self._clock = clock
        self._writes, self._events = writes, events
        self._watched: dict[str, _Watched] = {}

    async def read(self, device: str, *, every_point: bool = False) -> dict[str, Any]:
        """One reading in plain values.

        Raises:
            UserError: no such device, or nobody has listened to it.
            LinkError: it does not answer.
        """
        driver = self._known(device)
        if not isinstance(driver, RegisterDevice):
            return await self._told(driver)
        watched = self._watch(device)
        reader = watched.reader
        reading = await survey(reader, watched.recorder, reader.unit, reader.source, every_point=every_point)
        return plain_reading(reading, self._clock.monotonic_s())

    async def _told(self, driver: Driver) -> dict[str, Any]:
        """What a device without registers told last."""
        if self._events is None:
            raise UserError(f"device '{driver.device}' tells by itself, over the air: ask a running service (mimctl run SITE)")
        return plain_sample(await driver.read(), self._events.of(driver.device), self._clock.monotonic_s())

    async def dump(self, device: str, *, redact: bool = True) -> dict[str, Any]:
        """Its registers as a dump file holds them.

        Raises: as `read`.
        """
        driver = self._driver(device)
        recorder = Recorder(driver.transport)
        taken = await take_dump(
            driver.over(recorder), recorder, driver.unit, driver.source, utc=self._clock.utc(), note=device, redact=redact
        )
        return as_json(taken)

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request that came through the door: `do` is `read`, `dump`, `write` or `release`.

        Raises: as `read`.
        """
        device, what = str(request.get("device")), request.get("do")
        if what == "read":
            return await self.read(device, every_point=request.get("every_point") is True)
        if what == "dump":
            return await self.dump(device, redact=request.get("redact") is not False)
        if what in ("write", "release") and self._writes is not None:
            self._known(device)
            return await self._writes.answer(request)
        raise UserError(f"this service cannot {what} a device")

    def _watch(self, device: str) -> _Watched:
        """The reader of a device, kept: only the first look asks it what it is."""
        if device not in self._watched:
            driver = self._driver(device)
            recorder = Recorder(driver.transport)
            self._watched[device] = _Watched(driver.over(recorder), recorder)
        return self._watched[device]

    def _driver(self, device: str) -> RegisterDevice:
        driver = self._known(device)
        if not isinstance(driver, RegisterDevice):
            raise UserError(f"device '{device}' has no registers")
        return driver

    def _known(self, device: str) -> Driver:
        if device not in self._drivers:
            raise no_such_device(device, self._drivers)
        return self._drivers[device]


def device_site(site: Site, device: str) -> Site:
    """The site with this one meter or MIM, and its link.

    Raises:
        UserError: there is none of that name.
    """
    meters = tuple(meter for meter in site.meters if meter.id == device)
    mims = tuple(mim for mim in site.mims if mim.id == device)
    transfers = tuple(t for t in site.transfers if t.id == device and t.address is not None)
    addresses = [*(m.address for m in meters), *(m.address for m in mims), *(t.address for t in transfers)]
    used = {address.link for address in addresses if address is not None}
    if any(t.id == device and t.address is None for t in site.transfers):
        raise UserError(f"'{device}' cannot be asked: it has no 'link', its 'state' in the site file is taken for true")
    if not used:
        asked = (t.id for t in site.transfers if t.address is not None)
        raise no_such_device(device, [*(meter.id for meter in site.meters), *(mim.id for mim in site.mims), *asked])
    links = tuple(link for link in site.links if link.id in used)
    return dataclasses.replace(site, links=links, meters=meters, mims=mims, batteries=(), transfers=transfers)


def no_such_device(device: str, names: Iterable[str]) -> UserError:
    known = sorted(names)
    near = get_close_matches(device, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {len(known)}: {shorten(', '.join(known), 200, placeholder=' …')}"
    return UserError(f"no device '{device}'; {hint}")


def plain_reading(reading: DeviceReading, now_s: float | None) -> dict[str, Any]:
    """A reading as JSON has it.

    Args:
        now_s: monotonic, for the age; None: it has none.
    """
    aged = None if now_s is None or reading.taken_at_s is None else round(max(0.0, now_s - reading.taken_at_s), 3)
    return {
        "device": reading.device,
        "unit": reading.unit,
        "map": reading.map,
        "class": reading.device_class,
        "identity": dict(reading.identity),
        "quality": reading.quality.name.lower(),
        "reason": reading.reason,
        "age_s": aged,
        "warnings": [{"code": code, "text": text} for code, text in reading.warnings],
        "models": [dataclasses.asdict(model) for model in reading.models],
        "points": [_plain_point(point, aged) for point in reading.points],
    }


def _plain_point(point: PointReading, age_s: float | None) -> Mapping[str, Any]:
    plain = dataclasses.asdict(point)
    return {**plain, "registers": list(point.registers), "quality": point.quality.name.lower(), "age_s": age_s}
