"""One device as a table for people: every point with its value, unit, quality and raw registers.

The values come from the drivers that control uses; only the registers beside them are added here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from mimctl.drivers.discovery import Discovered
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.profile import PointSpec, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.model.sample import Quality, Sample
from mimctl.wire.registers import text_of

#: a refused read is asked for in smaller pieces the next time: so many times at most
_ATTEMPTS = 3


class WordSource(Protocol):
    """Raw registers by address (`wire.recorder.Recorder`, `wire.dump.DumpTransport`)."""

    def word(self, unit: int, function: int, address: int) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Registers that follow each other."""

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class PointReading:
    """One point. `value` None goes with quality BAD; `registers` are raw, None where unknown.

    Args:
        address: 0-based wire address; None where the value comes from several points.
        registers: of all places, one after the other.
        places: where they stand; of a value that comes from several points, each in turn.
        meaning: names of an enumeration's value or of the bits that are set.
    """

    point: str
    value: float | str | None
    unit: str
    quality: Quality
    address: int | None = None
    function: int = 3
    registers: tuple[int | None, ...] = ()
    meaning: str | None = None
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model of a SunSpec chain. `name` None: a vendor model that nobody described."""

    id: int
    address: int
    length: int
    name: str | None


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """One device at one instant.

    Args:
        map: `sunspec` or a profile's id.
        taken_at_s: monotonic [s]; None for a device that gave nothing but texts.
        reason: why the quality is not GOOD.
        models: of its SunSpec chain; empty for other devices.
    """

    device: str
    unit: int
    map: str
    device_class: str
    identity: tuple[tuple[str, str], ...]
    quality: Quality
    reason: str | None
    points: tuple[PointReading, ...]
    warnings: tuple[tuple[str, str], ...] = ()
    models: tuple[ModelSummary, ...] = ()
    taken_at_s: float | None = None


async def read_sample(reader: RegisterDevice) -> Sample:
    """One sample; registers that are refused together are tried in smaller pieces, as later cycles of a service would."""
    sample = await reader.read()
    for _ in range(_ATTEMPTS - 1):
        if sample.reason is None or sample.reason.code != "device.registers_refused":
            break
        sample = await reader.read()
    return sample


def mapped_points(found: Discovered, sample: Sample, words: WordSource, unit: int) -> list[PointReading]:
    """The points that mimctl has a name for: what is polled, then what is read once."""
    register_map = found.compiled.register_map
    polled = zip(sample.keys, sample.values.tolist(), strict=True)
    return [_reading(register_map, key, value, words, unit) for key, value in [*polled, *found.nameplate]]


def _reading(register_map: RegisterMap, key: str, value: float, words: WordSource, unit: int) -> PointReading:
    specs = list(_specs(register_map, key))
    registers = tuple(words.word(unit, s.function, a) for s in specs for a in range(s.address, s.end))
    shown = None if math.isnan(value) or None in registers or not _scale_known(specs, words, unit) else value
    quantity = quantity_of(key)
    return PointReading(
        point=key,
        value=shown,
        unit=quantity.unit if quantity is not None else next((s.unit for s in specs), ""),
        quality=Quality.BAD if shown is None else Quality.GOOD,
        address=specs[0].address if len(specs) == 1 else None,
        function=specs[0].function if specs else 3,
        registers=registers,
        places=tuple(Place(s.function, s.address, s.registers) for s in specs),
    )


def _scale_known(specs: Iterable[PointSpec], words: WordSource, unit: int) -> bool:
    places = ((s.function, s.scale_address) for s in specs)
    return all(a is None or words.word(unit, f, a) is not None for f, a in places)


def _specs(register_map: RegisterMap, key: str) -> Iterator[PointSpec]:
    """The points that a value is made of."""
    halves = next(((d.plus, d.minus) for d in register_map.differences if d.key == key), (key,))
    direction = {s.key: s.by for s in register_map.signed}
    parts = (part for half in halves for part in (half, direction.get(half)))
    by_key = {p.key: p for p in register_map.points}
    for part in dict.fromkeys(parts):
        if part in by_key:
            yield by_key[part]


def identity_of(register_map: RegisterMap, words: WordSource, unit: int) -> tuple[tuple[str, str], ...]:
    """Who the device says it is: the texts whose registers are all known."""
    found: list[tuple[str, str]] = []
    for name, spec in register_map.identity:
        raw = [words.word(unit, spec.function, a) for a in range(spec.address, spec.end)]
        known = [word for word in raw if word is not None]
        text = text_of(spec, struct.pack(f">{len(known)}H", *known)) if len(known) == len(raw) else None
        if text is not None:
            found.append((name, text))
    return tuple(found)
