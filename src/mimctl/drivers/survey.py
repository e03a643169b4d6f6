"""Read one device whole, through the drivers that control uses; and take its registers as a dump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mimctl.drivers.discovery import Discovered, MapSource, SunSpecSource
from mimctl.drivers.model_points import NOT_THESE, fetch_models, model_points, summaries
from mimctl.drivers.reading import DeviceReading, WordSource, identity_of, mapped_points, read_sample
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.model.sample import Sample
from mimctl.wire.dump import RegisterDump, blocks_of
from mimctl.wire.recorder import Recorder
from mimctl.wire.redact import redacted, sensitive_identity, sensitive_points, version_points
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.transport import Transport


async def survey(reader: RegisterDevice, words: WordSource, unit: int, source: MapSource, *, every_point: bool) -> DeviceReading:
    """One reading of a device on its link.

    Args:
        reader: over a transport that remembers what it reads into `words`.
        every_point: of its SunSpec models too, whatever mimctl makes of them.

    Raises:
        LinkError: it does not answer, or is not what it should be.
    """
    sample = await read_sample(reader)
    found = reader.discovered
    if found is None:
        raise BadReply(reader.device, "its register map changed while it was read")
    reading = _reading(reader.device, unit, source.name, found, sample, words)
    if not isinstance(source, SunSpecSource):
        return reading
    if not every_point:
        return reading
    models = source.models(await source.walk(reader.transport, unit))
    await fetch_models(reader.transport, unit, models, source.max_registers)
    return with_models(reading, models, words, every_point=True)


def with_models(reading: DeviceReading, models: Sequence[ModelBlock], words: WordSource, *, every_point: bool) -> DeviceReading:
    extra = tuple(model_points(models, words, reading.unit)) if every_point else ()
    return replace(reading, models=summaries(models), points=(*reading.points, *extra))


def _reading(device: str, unit: int, name: str, found: Discovered, sample: Sample, words: WordSource) -> DeviceReading:
    return DeviceReading(
        device=device,
        unit=unit,
        map=name,
        device_class=found.compiled.register_map.device_class.value,
        identity=identity_of(found.compiled.register_map, words, unit),
        quality=sample.quality,
        reason=None if sample.reason is None else sample.reason.text,
        points=tuple(mapped_points(found, sample, words, unit)),
        warnings=found.warnings,
        taken_at_s=sample.taken_at_s,
    )


async def take_dump(
    reader: RegisterDevice, recorder: Recorder, unit: int, source: MapSource, *, utc: datetime, note: str = "", redact: bool = True
) -> RegisterDump:
    """Every register that the device's map tells of; of a SunSpec device its whole chain, models nobody described included.

    Args:
        reader: over `recorder`.
        utc: of the dump.
        redact: take out serial numbers, host and network addresses.

    Raises:
        LinkError: the device does not answer, or is not what it should be.
    """
    await read_sample(reader)
    found = reader.discovered
    if found is None:
        raise BadReply(reader.device, "its register map changed while it was read")
    identity = found.compiled.register_map.identity
    secret, versions = sensitive_identity(identity), [point for name, point in identity if name == "version"]
    if isinstance(source, SunSpecSource):
        chain = await source.walk(recorder, unit)
        end = chain.models[-1].end + 2
        await _fetch_all(recorder, unit, chain.base, min(end, 0x10000), source.max_registers)
        secret, versions = [*secret, *sensitive_points(chain.models)], [*versions, *version_points(chain.models)]
    words = {place: space for place, space in recorder.words.items() if place[0] == unit}
    dump = RegisterDump(blocks_of(words), source.name, utc.isoformat(timespec="seconds"), note)
    return redacted(dump, unit, secret, versions) if redact else dump


async def _fetch_all(transport: Transport, unit: int, start: int, end: int, most: int) -> None:
    """Read a stretch in the largest pieces the device gives; what it refuses alone stays unknown."""
    pieces = [(at, min(at + most, end)) for at in range(start, end, most)]
    while pieces:
        first, last = pieces.pop()
        try:
            await transport.read(unit, first, last - first)
        except DeviceRefusal as refusal:
            if refusal.code not in NOT_THESE:
                raise
            if last - first > 1:
                middle = (first + last) // 2
                pieces += [(first, middle), (middle, last)]
