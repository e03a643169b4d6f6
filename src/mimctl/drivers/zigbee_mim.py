"""A MIM over Zigbee: one atomic command, taken only when its answer names its number."""

from __future__ import annotations

import asyncio
import math

from mimctl.drivers.zigbee_device import ZigbeeDevice
from mimctl.drivers.zigbee_mim_map import mim_map
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout, Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.protocols import ForeignWrite, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import MimMap
from mimctl.model.site import Mim
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.mim_layout import SetPower

_WORDS = {layout.REJECTED: "it rejects the command", layout.STALE: "it holds a later command", layout.REVERTED: "it fell back"}


class ZigbeeMim(ZigbeeDevice):
    """Implements `model.protocols.MimDriver` and `Commanded`.

    Nothing is written before the first command. A command whose answer is lost is followed by a later one, whatever became of it.
    """

    def __init__(self, mim: Mim, bridge: ZigbeeBridge, clock: Clock) -> None:
        ports = len(mim.ports)
        super().__init__(mim.id, mim.address.eui, mim_map(ports, mim.latency.report_every_s), bridge, clock)
        self._mim = mim
        self._held: HeldSetpoint | None = None
        self._sequence: int | None = None
        self._sent_at_s = -math.inf
        self._validity_s = _whole(mim.validity_s)
        self._foreign: ForeignWrite | None = None
        self._busy = asyncio.Lock()

    @property
    def mim_map(self) -> MimMap | None:
        """It has no registers; its validity and expiry action are those that each command carries."""
        return None

    @property
    def foreign_write(self) -> ForeignWrite | None:
        """How our last command went out of force without our doing; None while it stands."""
        return self._foreign

    def held(self) -> HeldSetpoint | None:
        """What it holds by its own word, or by ours since; None where it is off or that is not known."""
        if self._sequence is not None and self._foreign is None:
            return self._held
        if self._told(layout.STATE) != layout.FOLLOW:
            return None
        ports = range(len(self._mim.ports))
        watts = [self._told(layout.port_attribute(port, layout.SETPOINT_W)) for port in ports]
        vars_ = [self._told(layout.port_attribute(port, layout.SETPOINT_VAR)) for port in ports]
        known_w, known_var = [float(w) for w in watts if w is not None], [float(v) for v in vars_ if v is not None]
        if len(known_w) != len(watts) or len(known_var) != len(vars_):
            return None
        return HeldSetpoint(tuple(known_w), tuple(known_var))

    async def read(self) -> Sample:
        try:
            sample = await super().read()
        except Exception:
            # away for a while: it may have restarted, and what it holds is asked for anew
            self._forget()
            raise
        self._compare()
        return sample

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        self._check(command)
        async with self._busy:
            validity_s = _whole(command.validity_s)
            w, var = (tuple(math.trunc(v) for v in values) for values in (command.inject_w, command.inject_var))
            await self._send(w, var, validity_s, enable=True, shares=command.harmonics)
            self._validity_s = validity_s
            self._held = HeldSetpoint(tuple(map(float, w)), tuple(map(float, var)), harmonics=command.harmonics)
            return self._held

    async def refresh(self) -> None:
        async with self._busy:
            mine = self._in_force() if self._sequence is None else self._sequence
            in_force, status = await self._bridge.keep_alive(self._eui, mine, self._validity_s)
            if in_force != mine or status == layout.STALE:
                self._lost(in_force)
                raise BadReply(self._device, f"command {mine} is not in force any more, {in_force} is")

    async def release(self, reason: Reason) -> None:
        async with self._busy:
            zeros = (0,) * len(self._mim.ports)
            await self._send(zeros, zeros, self._validity_s, enable=False, shares=None)
            self._held = None

    async def _send(
        self,
        w: tuple[int, ...],
        var: tuple[int, ...],
        validity_s: int,
        *,
        enable: bool,
        shares: tuple[HarmonicShare, ...] | None,
    ) -> None:
        """Raises LinkError where the command is not known to be in force."""
        before = self._in_force() if self._sequence is None else self._sequence
        mine = (before + 1) % layout.SEQUENCE_MODULO
        # from here on a later number is right, whether this one arrives or not
        self._sequence, self._held, self._sent_at_s = mine, None, self._clock.monotonic_s()
        told = SetPower(mine, validity_s, self._mim.expiry_action, enable, w, var, shares)
        in_force, status = await self._bridge.set_power(self._eui, told)
        self._sent_at_s = self._clock.monotonic_s()
        if in_force != mine:
            self._sequence = in_force
            raise DeviceRefusal(self._device, f"{_WORDS.get(status, 'it did not take the command')} (in force: {in_force})", status)
        self._foreign = None

    def _in_force(self) -> int:
        """The number that it says is in force.

        Raises:
            LinkTimeout: it has not said so yet: nobody knows which number would be a later one.
        """
        told = self._told(layout.SEQUENCE_ACK)
        if told is None:
            raise LinkTimeout(self._device, "it has not told yet which command is in force")
        return told

    def _told(self, attribute: int) -> int | None:
        held = self._watched.values.get((1, layout.CLUSTER, layout.MANUFACTURER, attribute))
        return None if held is None else held.raw

    def _compare(self) -> None:
        """Whether what it told since our last command is still that command."""
        spot = (1, layout.CLUSTER, layout.MANUFACTURER, layout.SEQUENCE_ACK)
        held = self._watched.values.get(spot)
        if self._sequence is None or self._held is None or held is None or held.raw is None:
            return
        if held.at_s > self._sent_at_s and held.raw != self._sequence and self._foreign is None:
            self._lost(held.raw)

    def _lost(self, in_force: int) -> None:
        idle = self._told(layout.STATE) != layout.FOLLOW
        text = "it restarted" if idle else f"command {in_force} is in force, not ours"
        self._foreign = ForeignWrite(text, self._clock.monotonic_s(), sure=not idle, idle=idle)
        self._sequence, self._held = in_force, None

    def _forget(self) -> None:
        self._sequence, self._held = None, None

    def _check(self, command: MimCommand) -> None:
        """Raises Unencodable: the frame cannot carry it. Nothing is sent then."""
        ports = len(self._mim.ports)
        if len(command.inject_w) != ports or len(command.inject_var) != ports:
            raise Unencodable(self._device, f"it has {ports} ports, the command has {len(command.inject_w)}")
        for value in (*command.inject_w, *command.inject_var):
            if not abs(value) <= layout.MOST_W:
                raise Unencodable(self._device, f"{value:g} does not fit into a command")


def _whole(validity_s: float) -> int:
    """Whole seconds, never more than given and never 0: that would mean for ever."""
    return max(1, min(layout.MOST_VALIDITY_S, math.floor(validity_s)))
