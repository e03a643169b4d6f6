"""Form mode over registers: one frame begins it or ends it, a change of its own heartbeat keeps it going.

What stands in the registers is read anew before each command, so that counters go on from where the device is, whoever wrote last.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import structlog

from mimctl.drivers.mim_commands import next_count
from mimctl.drivers.mim_state import CommandState
from mimctl.model.errors import BadReply
from mimctl.model.points import PointSpec
from mimctl.model.protocols import FormCommand
from mimctl.model.setpoints import FormMap, MimMap
from mimctl.wire.transport import WRITE_MULTIPLE, Transport
from mimctl.wire.writes import encode_setpoint

_FOLLOW, _FORM = 0, 1


class FormRegisters:
    """Of one device that has them."""

    def __init__(self, device: str, transport: Transport, unit: int, form_map: FormMap) -> None:
        self.map = form_map
        self._device, self._transport, self._unit = device, transport, unit
        #: as last written; None = not known
        self._heartbeat: int | None = None

    async def begin(self, command: FormCommand) -> None:
        """Form the bus from now on, in one frame."""
        state = await self._read()
        # whole seconds, never more than asked for, and never 0: that would mean for ever
        wanted = {
            self.map.validity: float(max(1, math.floor(command.validity_s))),
            self.map.voltage: command.voltage_ln_v,
            self.map.frequency: command.frequency_hz,
            self.map.angle: command.angle_deg,
        }
        for point, value in wanted.items():
            state = self._with(state, point, value)
        await self._commit(state, _FORM)

    async def keep(self) -> None:
        """One sign of life; it writes the heartbeat and nothing else."""
        if self._heartbeat is None:
            self._heartbeat = self._count(await self._read(), self.map.heartbeat)
        beat, self._heartbeat = next_count(self.map.heartbeat, self._heartbeat), None
        await self._write(self.map.heartbeat.address, encode_setpoint(self._device, self.map.heartbeat, beat))
        self._heartbeat = beat

    async def end(self) -> None:
        """Form nothing any more."""
        await self._commit(await self._read(), _FOLLOW)

    async def _commit(self, state: CommandState, mode: int) -> None:
        beat = next_count(self.map.heartbeat, self._count(state, self.map.heartbeat))
        sequence = next_count(self.map.sequence, self._count(state, self.map.sequence))
        for point, value in ((self.map.mode, mode), (self.map.heartbeat, beat), (self.map.sequence, sequence)):
            state = self._with(state, point, value)
        block, self._heartbeat = self.map.command, None
        await self._write(block.address, state.registers(block.address, block.count, block.function))
        self._heartbeat = beat

    async def _read(self) -> CommandState:
        block = self.map.state
        data = await self._transport.read(self._unit, block.address, block.count, function=block.function)
        return CommandState(MimMap(0, (), (block,)), (data,))

    async def _write(self, address: int, data: bytes) -> None:
        await self._transport.write(self._unit, address, data, function=WRITE_MULTIPLE)

    def _with(self, state: CommandState, point: PointSpec, value: float) -> CommandState:
        return state.patched(point.address, encode_setpoint(self._device, point, value, state.exponent(point)))

    def _count(self, state: CommandState, point: PointSpec) -> int:
        found = state.whole(point)
        if found is None:
            raise BadReply(self._device, f"{point.key} reads as no value")
        return found


class FormMode:
    """Of one device, which may turn out to have none, or to have been exchanged.

    Args:
        mim_map: how it is commanded, as far as it has told.
        busy: whoever writes to the device holds it.
    """

    def __init__(
        self, device: str, transport: Transport, unit: int, mim_map: Callable[[], MimMap | None], busy: asyncio.Lock
    ) -> None:
        self._device, self._transport, self._unit = device, transport, unit
        self._mim_map, self._busy = mim_map, busy
        self._registers: FormRegisters | None = None
        self._log = structlog.get_logger("mimctl.mim").bind(device=device)

    async def begin(self, command: FormCommand) -> None:
        """See `FormRegisters.begin`."""
        async with self._busy:
            await self._found().begin(command)
        self._log.info("mim.forms", voltage_v=command.voltage_ln_v, frequency_hz=command.frequency_hz, reason=str(command.reason))

    async def keep(self) -> None:
        """See `FormRegisters.keep`."""
        async with self._busy:
            await self._found().keep()

    async def end(self) -> None:
        """See `FormRegisters.end`."""
        async with self._busy:
            await self._found().end()

    def _found(self) -> FormRegisters:
        mim_map = self._mim_map()
        if mim_map is None or mim_map.form is None:
            raise BadReply(self._device, "it has no registers for form mode, as far as it has told")
        if self._registers is None or self._registers.map != mim_map.form:
            self._registers = FormRegisters(self._device, self._transport, self._unit, mim_map.form)
        return self._registers
