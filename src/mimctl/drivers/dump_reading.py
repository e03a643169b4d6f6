"""The devices of a register dump, read as if they were live: the same walk, the same maps, the same driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mimctl.drivers.discovery import ProfileSource, SunSpecSource
from mimctl.drivers.reading import DeviceReading, WordSource, identity_of
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.survey import survey, with_models
from mimctl.model.address import SUNSPEC
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, LinkError, UserError
from mimctl.model.profile import DeviceClass, DeviceProfile, RegisterMap
from mimctl.model.sample import Quality
from mimctl.wire.dump import DumpTransport, RegisterDump
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import BASES, MARK, ModelBlock, find_base, walk
from mimctl.wire.sunspec_device import bases_of, wanted_class
from mimctl.wire.sunspec_map import class_of, register_map_of
from mimctl.wire.transport import READ_HOLDING, READ_INPUT, Transport

_MARK_WORDS = (int.from_bytes(MARK[:2], "big"), int.from_bytes(MARK[2:], "big"))
_Warnings = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _FixedSource:
    """A register map that is known already. Implements `drivers.discovery.MapSource`."""

    register_map: RegisterMap
    name: str = SUNSPEC

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, _Warnings]:
        return self.register_map, ()


async def read_dump(
    dump: RegisterDump, clock: Clock, *, profile: DeviceProfile | None = None, units: Sequence[int] = (), every_point: bool = False
) -> list[DeviceReading]:
    """Every device of a dump, as if it were live.

    Args:
        profile: the register map of its units; None: their own SunSpec chains.
        units: only these; empty = all, less those that are other devices than the profile's, or have no chain where it takes one.

    Raises:
        UserError: none of them, or one that was named, has a chain, and there is no profile.
        LinkError: none of them, or one that was named, is the profile's, or can be read.
    """
    transport = DumpTransport(dump)
    missing = set(units) - set(dump.units)
    if missing:
        raise UserError(f"the dump has no unit {min(missing)}; it has {', '.join(map(str, dump.units))}")
    found: list[DeviceReading] = []
    others: list[LinkError | UserError] = []
    for unit in units or dump.units:
        try:
            found += await _of_unit(dump, transport, unit, profile, clock, every_point=every_point)
        except (LinkError, UserError) as other:
            if units:
                raise
            others.append(other)  # a gateway's units need not all be devices of one make
    if others and not found:
        raise others[0]
    passed_over = tuple(("dump.unit_passed_over", other.what if isinstance(other, LinkError) else str(other)) for other in others)
    return [replace(r, warnings=(*passed_over, *r.warnings)) if n == 0 else r for n, r in enumerate(found)]


async def _of_unit(
    dump: RegisterDump, transport: DumpTransport, unit: int, profile: DeviceProfile | None, clock: Clock, *, every_point: bool
) -> list[DeviceReading]:
    if profile is not None and profile.chain is None:
        return [await _by_profile(transport, unit, profile, clock)]
    turned = not transport.places(unit, _MARK_WORDS) and bool(transport.places(unit, _MARK_WORDS, READ_INPUT))
    space = DumpTransport(_input_as_holding(dump, unit)) if turned else transport
    if profile is not None:
        readings = [await _by_rules(space, unit, profile, clock, every_point=every_point)]
    else:
        readings = await _by_chain(space, unit, clock, every_point=every_point)
    return [_of_input(reading) for reading in readings] if turned else readings


def _input_as_holding(dump: RegisterDump, unit: int) -> RegisterDump:
    """One unit's input registers in place of its holding registers, where chains are looked for."""
    blocks = (replace(b, function=READ_HOLDING) for b in dump.blocks if b.unit == unit and b.function == READ_INPUT)
    return replace(dump, blocks=tuple(blocks))


def _of_input(reading: DeviceReading) -> DeviceReading:
    """The same, its registers told as what they are."""
    points = (
        replace(p, function=READ_INPUT, places=tuple(replace(place, function=READ_INPUT) for place in p.places))
        for p in reading.points
    )
    warning = (
        "sunspec.input_registers",
        "the chain stands in input registers (function 4); of a live device only function 3 is read",
    )
    return replace(reading, points=tuple(points), warnings=(*reading.warnings, warning))


async def _by_profile(transport: DumpTransport, unit: int, profile: DeviceProfile, clock: Clock) -> DeviceReading:
    guards = tuple(g for g in profile.register_map.guards if _guard_known(transport, unit, g.function, g.address, len(g.values)))
    source = ProfileSource(replace(profile, register_map=replace(profile.register_map, guards=guards)))
    reader = RegisterDevice(f"unit {unit}", transport, unit, source=source, clock=clock)
    return await survey(reader, transport, unit, source, every_point=False)


async def _by_rules(
    transport: DumpTransport, unit: int, profile: DeviceProfile, clock: Clock, *, every_point: bool
) -> DeviceReading:
    """The device that a profile is for, out of the unit's own chain."""
    base = await find_base(transport, unit, _bases(transport, unit, bases_of(profile, None)))
    source = SunSpecSource(wanted_class(profile), base, profile=profile)
    reader = RegisterDevice(f"unit {unit}", transport, unit, source=source, clock=clock)
    return await survey(reader, transport, unit, source, every_point=every_point)


def _bases(transport: DumpTransport, unit: int, usual: Sequence[int]) -> tuple[int, ...]:
    """Where a unit has the mark of a chain, the usual places first: a dump may begin where no device would."""
    places = transport.places(unit, _MARK_WORDS)
    if not places:
        raise UserError(f"unit {unit} holds no SunSpec chain; name its register map with --profile")
    return (*(b for b in usual if b in places), *(b for b in places if b not in usual))


def _guard_known(words: WordSource, unit: int, function: int, address: int, registers: int) -> bool:
    return all(words.word(unit, function, a) is not None for a in range(address, address + registers))


async def _by_chain(transport: DumpTransport, unit: int, clock: Clock, *, every_point: bool) -> list[DeviceReading]:
    chain = await walk(transport, unit, _bases(transport, unit, BASES))
    many = len(chain.devices) > 1
    found: list[DeviceReading] = []
    for number, models in enumerate(chain.devices, 1):
        name = f"unit {unit} device {number}" if many else f"unit {unit}"
        reading = await _of_models(transport, unit, name, models, clock)
        reading = replace(reading, warnings=(*(chain.warnings if number == 1 else ()), *reading.warnings))
        found.append(with_models(reading, models, transport, every_point=every_point))
    return found


async def _of_models(transport: DumpTransport, unit: int, name: str, models: Sequence[ModelBlock], clock: Clock) -> DeviceReading:
    try:
        register_map, warnings = register_map_of(models, name), _Warnings()
    except BadReply as error:  # its models contradict each other: nothing is known but that it is there
        register_map, warnings = RegisterMap(DeviceClass.OTHER, ()), (("sunspec.models", error.what),)
    if CompiledMap(register_map).keys:
        source = _FixedSource(register_map)
        reader = RegisterDevice(name, transport, unit, source=source, clock=clock)
        return await survey(reader, transport, unit, source, every_point=False)
    identity, none = identity_of(register_map, transport, unit), "no point that mimctl knows"
    return DeviceReading(name, unit, SUNSPEC, class_of(models).value, identity, Quality.BAD, none, (), warnings)
