"""What a device is and where its registers stand: asked on the first read and again when an answer does not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from mimctl.drivers.identify import identified_map
from mimctl.model.address import SUNSPEC
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.model.profile import DeviceClass, DeviceProfile, PointSpec, RegisterMap
from mimctl.model.reads import plan_reads
from mimctl.wire.registers import CompiledMap, compiled_map, text_of
from mimctl.wire.sunspec import Chain, ModelBlock
from mimctl.wire.sunspec_device import map_of_chain, rules_of, walk_for
from mimctl.wire.sunspec_rules import models_of
from mimctl.wire.transport import Transport

#: the texts of one device stand close together
_IDENTITY_GAP = 8


@dataclass(frozen=True, slots=True, eq=False)
class Discovered:
    """One device as it is now.

    Args:
        identity: manufacturer, model, version, serial as the device tells them.
        nameplate: values that do not change, read once.
        warnings: (code, text) for people.
    """

    compiled: CompiledMap
    identity: tuple[tuple[str, str], ...]
    nameplate: tuple[tuple[str, float], ...]
    warnings: tuple[tuple[str, str], ...]


class MapSource(Protocol):
    """Where a register map comes from."""

    @property
    def name(self) -> str:
        """`sunspec`, or the id of a profile."""
        ...

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
        """The map, and warnings."""
        ...


@dataclass(frozen=True, slots=True)
class SunSpecSource:
    """The device's own model chain.

    Args:
        wanted: which kind of device to take from a chain that holds several.
        base: first register of the chain; None = search.
        profile: what is known about the device all the same; None = nothing.
    """

    wanted: DeviceClass
    base: int | None = None
    max_registers: int = 125
    profile: DeviceProfile | None = None

    @property
    def name(self) -> str:
        return SUNSPEC if self.profile is None else self.profile.id

    async def walk(self, transport: Transport, unit: int) -> Chain:
        return await walk_for(transport, unit, self.profile, self.base, self.max_registers)

    def models(self, chain: Chain) -> tuple[ModelBlock, ...]:
        """The models of the device that is meant; none where the chain has no such device."""
        return models_of(chain, self.wanted, rules_of(self.profile)) or ()

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
        return await map_of_chain(
            transport,
            unit,
            device,
            self.wanted,
            await self.walk(transport, unit),
            profile=self.profile,
            max_registers=self.max_registers,
        )


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """A profile file: the map is known before the device answers, but for its variant and how many of its parts are there.

    Args:
        instances: the parts of the device that this meter is made of; none = the device as a whole.
    """

    profile: DeviceProfile
    instances: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.profile.id

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
        return await identified_map(transport, unit, device, self.profile, self.instances)


async def discover(transport: Transport, unit: int, device: str, source: MapSource, max_registers: int) -> Discovered:
    """Ask the device what it is.

    Raises:
        LinkError: it does not answer, or is not what it should be.
    """
    register_map, warnings = await source.discover(transport, unit, device)
    compiled = compiled_map(register_map, max_registers)
    if not compiled.keys:
        raise BadReply(device, f"unit {unit} has no point that mimctl knows")
    identity = await _identity(transport, unit, register_map.identity, max_registers)
    return Discovered(compiled, identity, await _nameplate(transport, unit, register_map, max_registers), warnings)


async def _identity(
    transport: Transport, unit: int, points: tuple[tuple[str, PointSpec], ...], max_registers: int
) -> tuple[tuple[str, str], ...]:
    """Texts for people, in as few reads as they take: a device that refuses them is none the worse for it."""
    specs = tuple(point for _, point in points)
    found: dict[PointSpec, str] = {}
    for read in plan_reads(RegisterMap(DeviceClass.OTHER, specs), specs, max_registers, max_gap=_IDENTITY_GAP):
        try:
            data = await transport.read(unit, read.address, read.count, function=read.function)
        except DeviceRefusal:
            continue
        for point in specs:
            if point.function == read.function and read.address <= point.address and point.end <= read.end:
                start = 2 * (point.address - read.address)
                text = text_of(point, data[start : start + 2 * point.registers])
                if text is not None:
                    found[point] = text
    return tuple((name, found[point]) for name, point in points if point in found)


async def _nameplate(
    transport: Transport, unit: int, register_map: RegisterMap, max_registers: int
) -> tuple[tuple[str, float], ...]:
    static = compiled_map(register_map, max_registers, static=True)
    if not static.keys:
        return ()
    blocks: list[bytes | None] = []
    for read in static.reads:
        try:
            blocks.append(await transport.read(unit, read.address, read.count, function=read.function))
        except DeviceRefusal:
            blocks.append(None)
    values = static.decode(blocks)
    return tuple((key, float(value)) for key, value in zip(static.keys, values, strict=True) if not math.isnan(value))
