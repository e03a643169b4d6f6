"""A meter, or anything else with registers: discovery, one set of reads, one sample. Any register map, no vendor code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import structlog

from mimctl.drivers.discovery import Discovered, MapSource, discover
from mimctl.drivers.slow_reads import SlowReads
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkError
from mimctl.model.layout import FloatArray
from mimctl.model.points import ReadBlock
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality, Sample
from mimctl.wire.registers import CompiledMap
from mimctl.wire.transport import Transport

#: exceptions that say “not these registers”, rather than “not now”: 2 illegal address, 3 illegal value, 4 device failure
_NOT_THESE = (2, 3, 4)
#: a device whose map moves is asked again, but not in every cycle
RESCAN_EVERY_S = 10.0


class RegisterDevice:
    """One device on a link. Implements `model.protocols.Driver`.

    Args:
        device: its id in the site file.
        unit: Modbus unit id.
        source: where its register map comes from.
        max_registers: most registers that the link gives in one read.
        slow_period_s: how often values are read that control does not decide on; 0 = with every reading [s].
    """

    def __init__(
        self,
        device: str,
        transport: Transport,
        unit: int,
        *,
        source: MapSource,
        clock: Clock,
        max_registers: int = 125,
        slow_period_s: float = 0.0,
    ) -> None:
        self._device = device
        self._transport = transport
        self._unit = unit
        self._source = source
        self._clock = clock
        self._max_registers = max_registers
        self._found: Discovered | None = None
        self._slow = SlowReads(device, slow_period_s)
        self._next_scan_s = -np.inf
        self._log = structlog.get_logger().bind(device=device, link=transport.link)

    @property
    def device(self) -> str:
        return self._device

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def unit(self) -> int:
        return self._unit

    @property
    def source(self) -> MapSource:
        return self._source

    def over(self, transport: Transport) -> RegisterDevice:
        """A reader of the same device over another transport, such as one that remembers every register; it always reads all."""
        return RegisterDevice(
            self._device, transport, self._unit, source=self._source, clock=self._clock, max_registers=self._max_registers
        )

    @property
    def discovered(self) -> Discovered | None:
        """What the device is; None until it has answered once."""
        return self._found

    async def read(self) -> Sample:
        found = await self._ready()
        compiled = found.compiled
        started_s = self._clock.monotonic_s()
        fast = [await self._ask(found, read) for read in compiled.reads[: compiled.fast_reads]]
        ended_s = self._clock.monotonic_s()
        await self._read_slow(found)
        blocks = [*(b if isinstance(b, bytes) else None for b in fast), *self._slow.blocks(ended_s)]
        refusals = [b for b in fast if isinstance(b, DeviceRefusal)]
        if refusals and not any(blocks):
            raise refusals[-1]
        moved = found.compiled.mismatch(blocks)
        if moved is not None:
            self._found = None
            raise BadReply(self._device, moved)
        return self._sample(compiled, compiled.decode(blocks), (started_s + ended_s) / 2, len(refusals) + self._slow.refused)

    async def _ready(self) -> Discovered:
        """The device's map, asked for where there is none."""
        if self._found is not None:
            return self._found
        now_s = self._clock.monotonic_s()
        if now_s < self._next_scan_s:
            raise BadReply(self._device, f"its register map changed; it is asked again in {self._next_scan_s - now_s:.0f} s")
        found = await discover(self._transport, self._unit, self._device, self._source, self._max_registers)
        self._next_scan_s = self._clock.monotonic_s() + RESCAN_EVERY_S
        for code, text in found.warnings:
            self._log.warning(code, text=text)
        self._log.info("device.found", **dict(found.identity), points=len(found.compiled.keys))
        self._found = found
        return found

    async def _ask(self, found: Discovered, read: ReadBlock) -> bytes | DeviceRefusal:
        """One reply; the refusal where the device has not these registers, whatever else it answers."""
        try:
            return await self._transport.read(self._unit, read.address, read.count, function=read.function)
        except DeviceRefusal as error:
            if error.code not in _NOT_THESE:
                raise
            self._read_smaller(found)
            return error

    async def _read_slow(self, found: Discovered) -> None:
        """What is due now of the values that control does not decide on. That they do not come spoils none of the others."""
        compiled = found.compiled
        for n in self._slow.due(compiled, self._clock.monotonic_s()):
            asked_s = self._clock.monotonic_s()
            try:
                data = await self._ask(found, compiled.reads[compiled.fast_reads + n])
            except LinkError as error:
                self._log.warning("device.slow_read_failed", error=error.what)
                self._slow.missed(n, self._clock.monotonic_s())
            else:
                now_s = self._clock.monotonic_s()
                self._slow.took(n, data if isinstance(data, bytes) else None, (asked_s + now_s) / 2)

    def _read_smaller(self, found: Discovered) -> None:
        """Next time read less at once: first no register that is not a point's own (the refused read may have run over a hole),
        then nothing together that need not be (one model that refuses must not take its neighbour along)."""
        for gap in (0, -1):
            smaller = CompiledMap(found.compiled.register_map, self._max_registers, max_gap=gap)
            if len(smaller.reads) > len(found.compiled.reads):
                self._log.warning("device.reads_split", reads=len(smaller.reads))
                self._found = replace(found, compiled=smaller)
                return

    def _sample(self, compiled: CompiledMap, values: FloatArray, taken_at_s: float, refused: int) -> Sample:
        quality, reason = Quality.GOOD, None
        if np.isnan(values).all():
            quality, reason = Quality.BAD, Reason("device.no_values", "the device answers, but gives no value")
        elif refused:
            quality = Quality.SUSPECT
            reason = Reason("device.registers_refused", f"{refused} of {len(compiled.reads)} reads were refused")
        elif missing := sum(b is None for b in self._slow.blocks(taken_at_s)):
            reason = Reason("device.slow_values_missing", f"{missing} of the reads that are made now and then bring nothing")
        return Sample(self._device, taken_at_s, compiled.keys, values, quality, reason, self._slow.older_s())
