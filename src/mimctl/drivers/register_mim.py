"""A device with setpoints over registers: values first, what enables them last; a restart goes on where the device stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mimctl.drivers.discovery import MapSource
from mimctl.drivers.mim_commands import CommandRegisters, Frame, Wanted
from mimctl.drivers.mim_forming import FormMode
from mimctl.drivers.mim_state import CommandState
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.write_budget import BudgetStore, MemoryBudget
from mimctl.drivers.write_policy import PolicyKeeper
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, Unencodable, WriteHeld
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.protocols import ForeignWrite, FormCommand, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import WATCHED, MimMap, Role
from mimctl.model.site import Mim
from mimctl.wire.transport import Transport

#: a number so much later than our last is a later command; more is not anybody's count
_COUNTED_ON = 1000


class RegisterMim(RegisterDevice):
    """Implements `model.protocols.MimDriver` over any register map that has a `MimMap`, and `Former` where that has a `FormMap`.

    Nothing is written before the first command: expiry action, validity and modes go out with it, so that a run that must not
    write does not. After any trouble on the link the device is asked anew what it holds, because it may have restarted. Where no
    sequence number is echoed, every command is read back.

    Args:
        budget: counts writes of registers with wearing memory.
    """

    def __init__(
        self,
        mim: Mim,
        transport: Transport,
        *,
        source: MapSource,
        clock: Clock,
        max_registers: int = 125,
        slow_period_s: float = 0.0,
        budget: BudgetStore | None = None,
    ) -> None:
        super().__init__(
            mim.id,
            transport,
            mim.address.unit,
            source=source,
            clock=clock,
            max_registers=max_registers,
            slow_period_s=slow_period_s,
        )
        self._mim = mim
        self._registers: CommandRegisters | None = None
        self._state: CommandState | None = None
        self._acknowledged: int | None = None
        self._wanted: Wanted | None = None
        self._lost = False
        self._writes = 0
        self._foreign: ForeignWrite | None = None
        self._sent_sequence: int | None = None
        self._policy = PolicyKeeper(mim.id, clock, MemoryBudget() if budget is None else budget)
        self._busy = asyncio.Lock()
        self._form_mode = FormMode(mim.id, transport, mim.address.unit, lambda: self.mim_map, self._busy)

    @property
    def in_force(self) -> CommandState | None:
        """What the command registers were last known to hold; None until the device has been asked."""
        return self._state

    @property
    def mim_map(self) -> MimMap | None:
        """How the device is commanded; None until it has answered once."""
        return None if self.discovered is None else self.discovered.compiled.register_map.mim

    @property
    def foreign_write(self) -> ForeignWrite | None:
        """How our last command went out of force without our doing; None while it stands."""
        return self._foreign

    def held(self) -> HeldSetpoint | None:
        """What the device was found to hold when last asked; None where it is disabled or that is not known."""
        state = self._state
        if state is None or not state.enabled:
            return None
        inject_w = [0.0 if p is None else v for p, v in zip(state.map.setpoint_w, state.inject_w, strict=True)]
        inject_var = [0.0 if p is None else v for p, v in zip(state.map.setpoint_var, state.inject_var, strict=True)]
        known_w, known_var = [v for v in inject_w if v is not None], [v for v in inject_var if v is not None]
        if len(known_w) != len(inject_w) or len(known_var) != len(inject_var):
            return None
        shares = [part for part in state.harmonics if part is not None]
        return HeldSetpoint(tuple(known_w), tuple(known_var), harmonics=tuple(shares) if len(shares) == len(known_w) else None)

    async def read(self) -> Sample:
        writes = self._writes
        try:
            sample = await super().read()
        except BaseException:
            self._state = None
            raise
        acknowledged = sample.get("sequence_ack")
        self._acknowledged = None if acknowledged is None else int(acknowledged)
        async with self._busy:
            state = self._state
            ours = state if writes == self._writes else None
            if ours is not None and self._shows_other(sample, ours):
                state = None
            if state is None or (self._acknowledged is not None and self._acknowledged != state.sequence):
                # first time, or another command is in force than the last one sent: the device restarted, or someone else writes
                self._lost = self._wanted is not None
                registers, found = await self._adopt()
                self._note_loss(registers, ours, found, sample.taken_at_s)
        return sample

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        wanted = Wanted(
            command.inject_w, command.inject_var, command.validity_s, self._mim.expiry_action, harmonics=command.harmonics
        )
        self._check_ports(wanted)
        async with self._busy:
            registers, state = await self._known()
            frames = registers.frames(state, wanted)
            nothing_new = registers.says_nothing_new(state, frames) or self._policy.is_small(registers.map, state, wanted)
            kept = not self._lost and self._wanted is not None and nothing_new
            if kept:
                await self._keep_alive(registers, state)
            else:
                await self._command(registers, state, frames)
                self._wanted, self._foreign, self._lost = wanted, None, False
            held = self.held() or HeldSetpoint(command.inject_w, command.inject_var, harmonics=command.harmonics)
            return replace(held, kept=kept)

    async def _command(self, registers: CommandRegisters, state: CommandState, frames: Sequence[Frame]) -> None:
        """Send a command that the write policy allows; else a sign of life for the one before, and say so."""
        try:
            self._policy.allow(registers.map, state, frames)
        except WriteHeld as held:
            if self._lost or not state.enabled:
                raise
            await self._keep_alive(registers, state)
            raise WriteHeld(self._device, held.what, passing=held.passing, kept_alive=True) from None
        self._sent_sequence = None  # until it is known to have arrived
        await self._send(registers, state, frames)
        self._sent_sequence = None if self._state is None or registers.map.sequence is None else self._state.sequence

    async def refresh(self) -> None:
        async with self._busy:
            if self._lost:
                raise BadReply(self._device, "another command is in force than ours: it restarted, or somebody else writes to it")
            registers, state = await self._known()
            await self._keep_alive(registers, state)

    @property
    def can_form(self) -> bool | None:
        """See `Former.can_form`."""
        return None if self.mim_map is None else self.mim_map.form is not None

    async def form(self, command: FormCommand) -> None:
        await self._form_mode.begin(command)

    async def keep_forming(self) -> None:
        await self._form_mode.keep()

    async def release(self, reason: Reason) -> None:
        try:
            if self.can_form is None:
                async with self._busy:
                    await self._ready()
            if self.can_form:
                await self._form_mode.end()
        finally:  # whatever becomes of one half, the other is told
            await self._switch_off(reason)

    async def _switch_off(self, reason: Reason) -> None:
        zeros = (0.0,) * len(self._mim.ports)
        silent = tuple(HarmonicShare(0.0, 0) for _ in zeros)
        wanted = Wanted(zeros, zeros, self._mim.validity_s, self._mim.expiry_action, enabled=False, harmonics=silent)
        async with self._busy:
            registers, state = await self._known()
            frames = registers.frames(state, wanted)
            # to make a device safe is never too soon and never too often
            self._policy.note(frames)
            self._wanted, self._foreign, self._lost = None, None, False  # whether it arrives or not: what it takes back is no loss
            await self._send(registers, state, frames)
        self._log.info("mim.released", reason=str(reason))

    def _check_ports(self, wanted: Wanted) -> None:
        ports = len(self._mim.ports)
        if len(wanted.inject_w) != ports or len(wanted.inject_var) != ports:
            text = f"{len(wanted.inject_w)} and {len(wanted.inject_var)} setpoints for {ports} ports"
            raise Unencodable(self._device, text)
        if wanted.harmonics is not None and len(wanted.harmonics) != ports:
            raise Unencodable(self._device, f"{len(wanted.harmonics)} harmonic shares for {ports} ports")

    async def _keep_alive(self, registers: CommandRegisters, state: CommandState) -> None:
        frames = registers.keepalive(state, self._wanted or self._held(registers, state))
        for frame in frames:
            state = await self._write(state, frame)

    def _held(self, registers: CommandRegisters, state: CommandState) -> Wanted:
        """What the device holds, as a command: after a restart that is all there is to refresh."""

        def values(points: Sequence[object | None], held: Sequence[float | None]) -> list[float]:
            known = [0.0 if point is None else value for point, value in zip(points, held, strict=True)]
            if None in known and {Role.ACTIVE, Role.REACTIVE} & set(registers.map.keepalive):
                raise BadReply(self._device, "its setpoints cannot be read: there is nothing to refresh before the next command")
            return [value or 0.0 for value in known]

        inject_w, inject_var = (
            values(registers.map.setpoint_w, state.inject_w),
            values(registers.map.setpoint_var, state.inject_var),
        )
        return Wanted(inject_w, inject_var, self._mim.validity_s, self._mim.expiry_action)

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
        if mim_map.ports != len(self._mim.ports):
            raise BadReply(self._device, f"the device has {mim_map.ports} ports, the site file {len(self._mim.ports)}")
        registers = CommandRegisters(self._device, mim_map)
        self._state = None
        state = await self._read_state(mim_map)
        if self._acknowledged is not None:
            state = registers.counted_on(state, self._acknowledged)
        self._registers, self._state = registers, state
        return registers, state

    async def _read_state(self, mim_map: MimMap, written: CommandState | None = None) -> CommandState:
        data = [await self._transport.read(self._unit, b.address, b.count, function=b.function) for b in mim_map.state]
        return CommandState(mim_map, tuple(data), () if written is None else written.written)

    async def _send(self, registers: CommandRegisters, state: CommandState, frames: Sequence[Frame]) -> None:
        for frame in frames:
            state = await self._write(state, frame)
        if registers.map.sequence is not None or not frames or not registers.map.state:
            return
        self._state = None
        found = await self._read_state(registers.map, state)
        self._state = found
        wrong = registers.differing(state, found)
        if wrong is not None:
            raise BadReply(self._device, f"{wrong}: the device did not take the command")

    async def _write(self, state: CommandState, frame: Frame) -> CommandState:
        self._writes += 1
        try:
            await self._transport.write(self._unit, frame.address, frame.data, function=frame.function)
        except BaseException:
            # it may or may not have arrived
            self._state = None
            raise
        self._state = frame.after(state)
        return self._state

    def _shows_other(self, sample: Sample, state: CommandState) -> bool:
        """Whether a setpoint or a switch reads as we did not leave it: somebody else wrote, or the device fell back by itself."""
        if self._registers is None or self._wanted is None:
            return False
        for command in self._registers.map.of(*WATCHED):
            shown, ours = sample.get(command.point.key), state.number(command.point)
            if shown is not None and ours is not None and abs(shown - ours) > self._registers.tolerance(command, state):
                return True
        return False

    def _note_loss(self, registers: CommandRegisters, ours: CommandState | None, found: CommandState, seen_at_s: float) -> None:
        """Remember how our last command went out of force; where it stands, or nobody can tell, there is nothing to remember.

        Args:
            ours: what the device was left with; None where that is not known, as after any trouble on the link.
        """
        if self._wanted is None:
            return
        idle = not any((*found.inject_w, *found.inject_var))
        text = None if ours is None else self._foreign_in(registers, ours, found)
        if text is not None:
            reads = () if found.map.sequence is not None else (*found.inject_w, *found.inject_var)
            self._foreign = ForeignWrite(text, seen_at_s, reads, idle=idle)
        elif not found.enabled or (idle and any((*self._wanted.inject_w, *self._wanted.inject_var))):
            what = "with every setpoint at zero" if found.enabled else "switched off"
            text = f"found {what}: it restarted or fell back by itself, or somebody else took it back"
            self._foreign = ForeignWrite(text, seen_at_s, (*found.inject_w, *found.inject_var), sure=False, idle=True)
        if text is not None:
            self._log.warning("mim.command_lost", text=text)

    def _foreign_in(self, registers: CommandRegisters, ours: CommandState, found: CommandState) -> str | None:
        """What somebody else wrote, as a second read confirms it; None where it just restarted or fell back, or was misread."""
        point = registers.map.sequence
        if point is not None:
            sent, width = self._sent_sequence, 1 << 16 * point.type.registers
            # whoever else writes counts on from ours; a device that restarts counts anew, or is off
            if sent is None or not found.enabled or not 0 < (found.sequence - sent) % width <= _COUNTED_ON:
                return None
            return f"command {found.sequence} is in force, our last was {sent}: somebody else writes to the device"
        if not found.enabled or not any((*found.inject_w, *found.inject_var)):
            return None  # what a device looks like that fell back by itself: it is told anew
        for command in registers.map.of(Role.ACTIVE, Role.REACTIVE, Role.DIRECTION):
            before, now = ours.number(command.point), found.number(command.point)
            if before is not None and now is not None and abs(now - before) > registers.tolerance(command, found):
                return f"{command.point.key} was left at {before:g} and reads {now:g}: somebody else writes to the device"
        return None
