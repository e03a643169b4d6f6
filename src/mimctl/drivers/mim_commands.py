"""The command registers of a device as bytes: what it holds now, and the frames that carry the next command. No link in here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimctl.drivers.mim_state import CommandState
from mimctl.model.errors import Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.points import PointSpec
from mimctl.model.setpoints import CommandPoint, MimMap, Role
from mimctl.model.site import ExpiryAction
from mimctl.wire.transport import WRITE_MULTIPLE, WRITE_SINGLE
from mimctl.wire.writes import encode_setpoint

#: most registers of one write (Modbus application protocol 1.1b3, function 16)
_MOST = 123
#: less than this to a port that cannot take it is nothing [W or var]
_NOTHING = 1.0
#: words that a device keeps, and that are written only where it has others. The validity is none of them: writing it is what starts
#: a reversion timer again
_KEPT = (Role.SWITCH, Role.EXPIRY)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command asks of a device; injection positive.

    Args:
        enabled: False: the device is given back, and its switches are turned off.
        harmonics: shares of the ports' filters; None = what stands there is left alone.
    """

    inject_w: Sequence[float]
    inject_var: Sequence[float]
    validity_s: float
    expiry: ExpiryAction
    enabled: bool = True
    harmonics: Sequence[HarmonicShare] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One write.

    Args:
        commands: whose registers it carries.
    """

    address: int
    data: bytes
    function: int
    commands: tuple[CommandPoint, ...]

    def after(self, state: CommandState) -> CommandState:
        """The state once the device has taken it."""
        for c in self.commands:
            state = state.patched(c.point.address, self.of(c))
        return state

    def of(self, command: CommandPoint) -> bytes:
        """What it puts into the registers of one of its commands."""
        at = 2 * (command.point.address - self.address)
        return self.data[at : at + 2 * command.point.registers]

    @property
    def persistent(self) -> int:
        """Registers in it whose memory wears."""
        return sum(c.persistent for c in self.commands)


class CommandRegisters:
    """Encodes commands for one device."""

    def __init__(self, device: str, mim_map: MimMap) -> None:
        self.map = mim_map
        self._device = device

    def frames(self, state: CommandState, wanted: Wanted) -> list[Frame]:
        """The writes of a command, in order. What the device holds already and keeps is not written again.

        Raises:
            Unencodable: something that the device's registers cannot hold or its map does not allow.
        """
        self._check_capability(wanted)
        encoded = self._encoded(self.map.commands, state, wanted)
        block = self.map.command
        if block is None:
            zeroed = self._zeroed(state, encoded)
            for frame in zeroed:
                state = frame.after(state)
            due = [(c, data) for c, data in encoded if not (_is_kept(c) and state.raw(c.point) == data)]
            return [*zeroed, *_merged(due)]
        outside = [(c, d) for c, d in encoded if not block.address <= c.point.address < block.end and state.raw(c.point) != d]
        inside = [(c, data) for c, data in encoded if block.address <= c.point.address < block.end]
        whole = bytearray(state.registers(block.address, block.count, block.function))
        for c, data in inside:
            whole[2 * (c.point.address - block.address) : 2 * (c.point.end - block.address)] = data
        apart = [Frame(c.point.address, data, _function(c), (c,)) for c, data in outside]
        return [*apart, Frame(block.address, bytes(whole), WRITE_MULTIPLE, tuple(c for c, _ in inside))]

    def says_nothing_new(self, state: CommandState, frames: Sequence[Frame]) -> bool:
        """Whether a device holds every setpoint and switch of a command already. A new sequence number is always news."""
        told = (Role.ACTIVE, Role.REACTIVE, Role.DIRECTION, Role.SWITCH, Role.EXPIRY, Role.VALIDITY, Role.SEQUENCE)
        carried = ((frame, c) for frame in frames for c in frame.commands if c.role in told)
        return all(frame.of(c) == state.raw(c.point) for frame, c in carried)

    def keepalive(self, state: CommandState, wanted: Wanted) -> list[Frame]:
        """The writes that prove that the controller lives."""
        roles = self.map.keepalive
        chosen = [c for c in self.map.commands if (c.role in roles or (c.always and roles)) and not c.persistent]
        encoded = self._encoded(chosen, state, wanted)
        return [*self._zeroed(state, encoded), *_merged(encoded)]

    def _zeroed(self, state: CommandState, encoded: Sequence[tuple[CommandPoint, bytes]]) -> list[Frame]:
        """What goes ahead where a direction turns: its size becomes 0 first. Whichever frame is lost then, the device never drives
        the new size the old way, or the old size the new way."""
        return list(_merged((c, self._encode(c, state, 0.0)) for c in self._to_zero_first(state, encoded)))

    def _to_zero_first(self, state: CommandState, encoded: Sequence[tuple[CommandPoint, bytes]]) -> Iterable[CommandPoint]:
        """Sizes that are not known to be 0 where the word for the direction changes."""
        turning = {c.port for c, data in encoded if c.role is Role.DIRECTION and state.raw(c.point) != data}
        return (c for c, _ in encoded if c.magnitude and c.port in turning and state.number(c.point) != 0)

    def _encoded(self, commands: Iterable[CommandPoint], state: CommandState, wanted: Wanted) -> list[tuple[CommandPoint, bytes]]:
        filters = (Role.HARMONIC_SHARE, Role.HARMONIC_ORDERS)
        values = ((c, (_harmonic if c.role in filters else self._value)(c, state, wanted)) for c in commands)
        return [(c, self._encode(c, state, value)) for c, value in values if value is not None]

    def counted_on(self, state: CommandState, acknowledged: int) -> CommandState:
        """The state with the later of the commanded and the acknowledged sequence number."""
        point = self.map.sequence
        if point is None:
            return state
        latest = newer(point, state.sequence, acknowledged)
        return state.patched(point.address, encode_setpoint(self._device, point, latest))

    def differing(self, wrote: CommandState, found: CommandState) -> str | None:
        """What a device holds that it was not told; None: it holds what was written."""
        for c in self.map.of(Role.ACTIVE, Role.REACTIVE, Role.DIRECTION, Role.SWITCH):
            if not c.readable or wrote.raw(c.point) == found.raw(c.point):
                continue
            ours, theirs = wrote.number(c.point), found.number(c.point)
            if ours is None or (theirs is not None and abs(ours - theirs) <= self.tolerance(c, found)):
                continue
            return f"{c.point.key} was written as {ours:g} and reads {'no value' if theirs is None else f'{theirs:g}'}"
        return None

    def tolerance(self, command: CommandPoint, state: CommandState) -> float:
        """What a device may round a setpoint by: one count, or the deadband."""
        policy = self.map.policy
        if command.role not in (Role.ACTIVE, Role.REACTIVE):
            return 0.0
        count = command.point.scale * 10.0 ** (state.exponent(command.point) or 0)
        return max(count, policy.deadband_w if command.role is Role.ACTIVE else policy.deadband_var)

    def _check_capability(self, wanted: Wanted) -> None:
        for what, points, values in (
            ("active power", self.map.setpoint_w, wanted.inject_w),
            ("reactive power", self.map.setpoint_var, wanted.inject_var),
        ):
            for port, (point, value) in enumerate(zip(points, values, strict=True), start=1):
                if point is None and not abs(value) < _NOTHING:
                    raise Unencodable(self._device, f"port {port} takes no {what} setpoint; {value:g} cannot be written")

    def _value(self, command: CommandPoint, state: CommandState, wanted: Wanted) -> float | None:
        """What belongs in a register; None: it is left alone."""
        role = command.role
        if role in (Role.ACTIVE, Role.REACTIVE):
            value = (wanted.inject_w if role is Role.ACTIVE else wanted.inject_var)[command.port]
            return abs(value) if command.magnitude else value
        if role is Role.DIRECTION:
            return _direction(command, wanted.inject_w[command.port])
        if role is Role.SWITCH:
            return _switch(command, wanted.enabled)
        if role is Role.EXPIRY:
            return self._expiry(command, wanted.expiry)
        if role is Role.VALIDITY:
            return self._validity(command.point, wanted.validity_s)
        return float(_next(command, state))

    def _expiry(self, command: CommandPoint, action: ExpiryAction) -> float:
        codes = dict(command.expiry_codes)
        if action not in codes:
            raise Unencodable(self._device, f"its expiry action can be {', '.join(codes)}; '{action}' cannot be set")
        return float(codes[action])

    def _validity(self, point: PointSpec, validity_s: float) -> float:
        """Whole counts of the register, never more than asked for and never 0: that would mean for ever."""
        count = max(1, math.floor(validity_s / point.scale + 1e-9))
        value = max(count * point.scale, point.minimum or 0.0)
        return value if point.maximum is None else min(value, point.maximum)

    def _encode(self, command: CommandPoint, state: CommandState, value: float) -> bytes:
        return encode_setpoint(self._device, command.point, value, state.exponent(command.point))


def _harmonic(command: CommandPoint, state: CommandState, wanted: Wanted) -> float | None:
    """Share [%] or orders of a filter; None where nothing is wanted or the device has none."""
    if wanted.harmonics is None or not state.can_filter(command.port):
        return None
    part = wanted.harmonics[command.port]
    if command.role is Role.HARMONIC_SHARE:
        return 100 * part.share
    return float(part.orders) if state.number(command.point) is not None else None


def _direction(command: CommandPoint, inject_w: float) -> float:
    inject, absorb, idle = command.codes
    return float(idle if inject_w == 0 else inject if inject_w > 0 else absorb)


def _switch(command: CommandPoint, on: bool) -> float | None:
    """The word of a switch; None where the device keeps its setting when it is given back."""
    if on:
        return float(command.codes[0])
    return float(command.codes[1]) if len(command.codes) > 1 else None


def _is_kept(command: CommandPoint) -> bool:
    return (command.role in _KEPT or command.persistent) and not command.always


def _merged(due: Iterable[tuple[CommandPoint, bytes]]) -> Iterable[Frame]:
    """Registers that follow each other, in the order of writing and by address, share a frame."""
    address, data, commands = 0, b"", list[CommandPoint]()
    for command, more in due:
        last = commands[-1] if commands else None
        joins = last is not None and last.point.end == command.point.address and not (last.single or command.single)
        if joins and len(data) + len(more) <= 2 * _MOST:
            data += more
            commands.append(command)
            continue
        if last is not None:
            yield Frame(address, data, _function(last), tuple(commands))
        address, data, commands = command.point.address, more, [command]
    if commands:
        yield Frame(address, data, _function(commands[-1]), tuple(commands))


def _function(command: CommandPoint) -> int:
    return WRITE_SINGLE if command.single else WRITE_MULTIPLE


def _next(command: CommandPoint, state: CommandState) -> int:
    """The count, or the other of two words, that follows the one in the register."""
    now = state.whole(command.point) or 0
    if len(command.codes) == 2:
        return command.codes[1] if now == command.codes[0] else command.codes[0]
    return next_count(command.point, now)


def next_count(point: PointSpec, count: int) -> int:
    """The counter after `count`, modulo the width of its register, past the pattern that means “no value”."""
    low, high = point.type.bounds
    following = count + 1
    while following > high or following in point.sentinels:
        following = max(low, 0) if following > high else following + 1
    return following


def newer(point: PointSpec, a: int, b: int) -> int:
    """Which of two counts came later, a counter's wrap considered."""
    width = 1 << 16 * point.type.registers
    return a if (a - b) % width < width // 2 else b
