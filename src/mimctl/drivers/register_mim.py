"""A MIM over registers: one write carries setpoints, heartbeat and commit; a restart goes on where the device stands."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from mimctl.drivers.discovery import MapSource
from mimctl.drivers.mim_commands import CommandRegisters, CommandState, newer, next_count
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, Unencodable
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import Mim
from mimctl.wire.transport import Transport


class RegisterMim(RegisterDevice):
    """Implements `model.protocols.MimDriver` over any register map that has a `MimMap`.

    Nothing is written before the first command: expiry action and validity go out with it, so that a run that must not write does
    not. After any trouble on the link the device is asked anew what it holds, because it may have restarted.
    """

    def __init__(self, mim: Mim, transport: Transport, *, source: MapSource, clock: Clock, max_registers: int = 125) -> None:
        super().__init__(mim.id, transport, mim.address.unit, source=source, clock=clock, max_registers=max_registers)
        self._mim = mim
        self._registers: CommandRegisters | None = None
        self._state: CommandState | None = None
        self._acknowledged: int | None = None
        self._busy = asyncio.Lock()

    @property
    def in_force(self) -> CommandState | None:
        """What the command registers were last known to hold; None until the device has been asked."""
        return self._state

    async def read(self) -> Sample:
        try:
            sample = await super().read()
        except BaseException:
            self._state = None
            raise
        acknowledged = sample.get("sequence_ack")
        self._acknowledged = None if acknowledged is None else int(acknowledged)
        async with self._busy:
            state = self._state
            if state is None or self._acknowledged not in (None, state.sequence):
                # first time, or another command is in force than the last one sent: the device restarted, or someone else writes
                await self._adopt()
        return sample

    async def apply(self, command: MimCommand) -> None:
        await self._command(command.inject_w, command.inject_var, command.validity_s, enabled=True)

    async def refresh(self) -> None:
        async with self._busy:
            registers, state = await self._known()
            point = registers.map.heartbeat
            beat = registers.point(state, point, next_count(point, state.heartbeat))
            await self._write(registers, state, point.address, beat)

    async def release(self, reason: Reason) -> None:
        zeros = (0.0,) * len(self._mim.ports)
        await self._command(zeros, zeros, self._mim.validity_s, enabled=False)
        self._log.info("mim.released", reason=str(reason))

    async def _command(self, inject_w: Sequence[float], inject_var: Sequence[float], validity_s: float, *, enabled: bool) -> None:
        ports = len(self._mim.ports)
        if len(inject_w) != ports or len(inject_var) != ports:
            raise Unencodable(self._device, f"{len(inject_w)} and {len(inject_var)} setpoints for {ports} ports")
        async with self._busy:
            registers, state = await self._known()
            frame = registers.frame(state, inject_w, inject_var, enabled=enabled)
            state = await self._arm(registers, state, validity_s)
            await self._write(registers, state, registers.map.command.address, frame)

    async def _known(self) -> tuple[CommandRegisters, CommandState]:
        """The device's command registers, read where they are not known for sure."""
        if self._registers is None or self._state is None:
            return await self._adopt()
        return self._registers, self._state

    async def _adopt(self) -> tuple[CommandRegisters, CommandState]:
        """Take over what the device holds; count on from there."""
        found = await self._ready()
        mim_map = found.compiled.register_map.mim
        if mim_map is None:
            raise BadReply(self._device, "its register map has no setpoints")
        if len(mim_map.setpoint_w) != len(self._mim.ports):
            text = f"the device has {len(mim_map.setpoint_w)} ports, the site file {len(self._mim.ports)}"
            raise BadReply(self._device, text)
        registers = CommandRegisters(self._device, mim_map)
        block = mim_map.state
        self._state = None
        state = registers.state_of(await self._transport.read(self._unit, block.address, block.count, function=block.function))
        if self._acknowledged is not None:
            latest = newer(mim_map.sequence, state.sequence, self._acknowledged)
            state = registers.patched(state, mim_map.sequence.address, registers.point(state, mim_map.sequence, latest))
        self._registers, self._state = registers, state
        return registers, state

    async def _arm(self, registers: CommandRegisters, state: CommandState, validity_s: float) -> CommandState:
        """Expiry action and validity, written where the device has others. The validity is never 0: that would mean for ever."""
        wanted_s = max(1, math.floor(validity_s))
        code = registers.expiry_code(self._mim.expiry_action)
        if state.expiry_code != code:
            point = registers.map.expiry_action
            state = await self._write(registers, state, point.address, registers.point(state, point, code))
        if state.validity_s != wanted_s:
            point = registers.map.validity
            state = await self._write(registers, state, point.address, registers.point(state, point, wanted_s))
        return state

    async def _write(self, registers: CommandRegisters, state: CommandState, address: int, data: bytes) -> CommandState:
        try:
            await self._transport.write(self._unit, address, data)
        except BaseException:
            # it may or may not have arrived
            self._state = None
            raise
        self._state = registers.patched(state, address, data)
        return self._state
