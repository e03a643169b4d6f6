"""What a device is and where its registers stand: asked on the first read and again when an answer does not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mimctl.drivers.identify import identified_map
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.model.profile import DeviceClass, DeviceProfile, PointSpec, RegisterMap
from mimctl.model.reads import plan_reads
from mimctl.model.setpoints import Failsafe
from mimctl.wire.registers import CompiledMap, compiled_map, text_of
from mimctl.wire.sunspec import BASES, ModelBlock, walk
from mimctl.wire.sunspec_map import device_of, model_map, register_map_of
from mimctl.wire.sunspec_setpoints import CONTROL_MODELS, as_mim, inverter_commands
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

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
        """The map, and warnings."""
        ...


@dataclass(frozen=True, slots=True)
class SunSpecSource:
    """The device's own model chain.

    Args:
        wanted: which kind of device to take from a chain that holds several.
        base: first register of the chain; None = search.
    """

    wanted: DeviceClass
    base: int | None = None
    max_registers: int = 125

    async def discover(self, transport: Transport, unit: int, device: str) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
        bases: Sequence[int] = BASES if self.base is None else (self.base,)
        chain = await walk(transport, unit, bases, max_registers=self.max_registers)
        models = device_of(chain, self.wanted)
        if models is None and self.wanted is DeviceClass.MIM:
            models = device_of(chain, DeviceClass.INVERTER)
        if models is None:
            there = ", ".join(str(m.id) for m in chain.models)
            raise BadReply(device, f"unit {unit} is no {self.wanted}: its SunSpec models are {there}")
        found = register_map_of(models, device)
        warnings = list(chain.warnings)
        if self.wanted is DeviceClass.MIM and found.device_class is DeviceClass.INVERTER:
            commands = inverter_commands(models, await _controls(transport, unit, models, self.max_registers))
            if commands is None:
                raise BadReply(
                    device, f"unit {unit} is an inverter without controls that mimctl knows (704, or 121 with 123 or 124)"
                )
            if commands.failsafe is Failsafe.NONE:
                warnings.append(
                    ("sunspec.no_failsafe", "it has neither a reversion timer nor a heartbeat: it would keep a setpoint")
                )
            found = as_mim(found, commands)
        if len(chain.devices) > 1:
            text = f"the chain holds {len(chain.devices)} devices; the first {self.wanted} in it is taken"
            warnings.append(("sunspec.several_devices", text))
        return found, tuple(warnings)


async def _controls(
    transport: Transport, unit: int, models: Sequence[ModelBlock], max_registers: int
) -> dict[int, dict[str, float]]:
    """What the control models of an inverter hold: what it can be told, and its ratings. A model that it refuses is not there."""
    found: dict[int, dict[str, float]] = {}
    for block in models:
        if block.id not in CONTROL_MODELS:
            continue
        compiled = CompiledMap(model_map(block), max_registers)
        try:
            data = [await transport.read(unit, r.address, r.count, function=r.function) for r in compiled.reads]
        except DeviceRefusal:
            continue
        found[block.id] = dict(zip(compiled.keys, compiled.decode(data).tolist(), strict=True))
    return found


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """A profile file: the map is known before the device answers, but for its variant and how many of its parts are there.

    Args:
        instances: the parts of the device that this meter is made of; none = the device as a whole.
    """

    profile: DeviceProfile
    instances: tuple[str, ...] = ()

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
