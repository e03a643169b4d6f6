"""Every point of every SunSpec model of a device, under `model<ID>.<point>`: what mimctl has a name for, and all the rest."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from mimctl.drivers.reading import ModelSummary, Place, PointReading, WordSource
from mimctl.model.errors import DeviceRefusal
from mimctl.model.profile import PointSpec, PointType, ReadBlock, RegisterMap
from mimctl.model.reads import plan_reads
from mimctl.model.sample import Quality
from mimctl.wire.registers import CompiledMap, text_of
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_map import model_map
from mimctl.wire.sunspec_models import definition_of, leaves
from mimctl.wire.transport import Transport

#: a hardware address is 48 bits at the end of four registers; as text `AA:BB:CC:DD:EE:FF`
_EUI48_REGISTERS, _EUI48_TEXT = 4, 17
#: exceptions that say “not these registers”, rather than “not now”
NOT_THESE = (2, 3, 4)


def summaries(models: Sequence[ModelBlock]) -> tuple[ModelSummary, ...]:
    def name(block: ModelBlock) -> str | None:
        definition = definition_of(block.id)
        return None if definition is None else str(definition["group"]["name"])

    return tuple(ModelSummary(m.id, m.address, m.length, name(m)) for m in models)


async def fetch_models(transport: Transport, unit: int, models: Sequence[ModelBlock], max_registers: int) -> None:
    """Read every described point once, scale factors in the same reply; the transport remembers. Refused ones stay unknown."""
    for block in models:
        found = model_map(block)
        for read in plan_reads(found, found.points, max_registers, found.max_gap):
            await _fetch(transport, unit, read, found)


async def _fetch(transport: Transport, unit: int, read: ReadBlock, found: RegisterMap) -> None:
    try:
        await transport.read(unit, read.address, read.count, function=read.function)
    except DeviceRefusal as refusal:
        if refusal.code not in NOT_THESE:
            raise
        points = tuple(p for p in found.points if read.address <= p.address and p.end <= read.end)
        smaller = plan_reads(found, points, read.count, -1)
        if len(smaller) > 1:
            for part in smaller:
                await _fetch(transport, unit, part, found)


def model_points(models: Sequence[ModelBlock], words: WordSource, unit: int) -> list[PointReading]:
    """Decode what `words` knows. A second model of the same id is `model<ID>#2`."""
    seen: dict[int, count[int]] = {}
    found: list[PointReading] = []
    for block in models:
        number = next(seen.setdefault(block.id, count(1)))
        prefix = f"model{block.id}." if number == 1 else f"model{block.id}#{number}."
        found += _of_model(block, prefix, words, unit)
    return found


def _of_model(block: ModelBlock, prefix: str, words: WordSource, unit: int) -> Iterator[PointReading]:
    register_map, symbols = model_map(block), _symbols(block)
    numbers = _numbers(register_map, words, unit)
    for point in register_map.points:
        raw = _raw(words, unit, point.function, point.address, point.end)
        value: float | str | None = numbers.get(point.key)
        if point.type.is_text:
            value = None if None in raw else text_of(point, _bytes(raw))
            if isinstance(value, str) and point.type is PointType.HEX and point.registers == _EUI48_REGISTERS:
                value = value[-_EUI48_TEXT:]
        quality = Quality.BAD if value is None else Quality.GOOD
        meaning = _meaning(symbols.get(point.key), point, value)
        place = Place(point.function, point.address, point.registers)
        yield PointReading(prefix + point.key, value, point.unit, quality, point.address, point.function, raw, meaning, (place,))


def _numbers(register_map: RegisterMap, words: WordSource, unit: int) -> dict[str, float]:
    """The numeric points that have a value and rest on known registers alone, through the one codec."""
    compiled = CompiledMap(register_map)
    blocks = [_bytes(_raw(words, unit, r.function, r.address, r.end)) for r in compiled.reads]
    values = dict(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))

    def rests_on_known(point: PointSpec) -> bool:
        scale = () if point.scale_address is None else (point.scale_address,)
        return all(words.word(unit, point.function, a) is not None for a in (*range(point.address, point.end), *scale))

    known = {p.key for p in register_map.points if not p.type.is_text and rests_on_known(p)}
    return {key: value for key, value in values.items() if key in known and not math.isnan(value)}


def _raw(words: WordSource, unit: int, function: int, start: int, end: int) -> tuple[int | None, ...]:
    return tuple(words.word(unit, function, address) for address in range(start, end))


def _bytes(raw: Iterable[int | None]) -> bytes:
    known = [word or 0 for word in raw]
    return struct.pack(f">{len(known)}H", *known)


def _symbols(block: ModelBlock) -> dict[str, Mapping[int, str]]:
    """What the values of enumerations and the bits of bit fields are called, by point."""
    definition = definition_of(block.id)
    found: dict[str, Mapping[int, str]] = {}
    for leaf in leaves(definition, block.length, dict(block.counts)) if definition is not None else ():
        listed: list[Mapping[str, Any]] = leaf.definition.get("symbols", [])
        if listed:
            found[leaf.path] = {int(s["value"]): str(s["name"]) for s in listed}
    return found


def _meaning(symbols: Mapping[int, str] | None, point: PointSpec, value: float | str | None) -> str | None:
    if symbols is None or not isinstance(value, float):
        return None
    number = int(value)
    if not point.type.value.startswith("bitfield"):
        return symbols.get(number)
    bits = [symbols.get(n, f"bit {n}") for n in range(number.bit_length()) if number >> n & 1]
    return ", ".join(bits) or None
