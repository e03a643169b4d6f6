"""The command registers of a MIM as bytes: what it holds now, and the one frame that carries the next command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mimctl.model.profile import DeviceClass, MimMap, PointSpec, RegisterMap
from mimctl.model.site import ExpiryAction
from mimctl.wire.registers import CompiledMap
from mimctl.wire.writes import encode_setpoint, exponent_in

ENABLED, DISABLED = 1, 0


@dataclass(frozen=True, slots=True)
class CommandState:
    """What the command registers of a device hold.

    Args:
        data: the registers of `MimMap.state` as read: what mimctl does not command is sent back as it stands.
        inject_w, inject_var: setpoints, injection positive [W], [var]; None where the device shows none.
        expiry_code, validity_s: None where the device shows none.
    """

    data: bytes
    inject_w: tuple[float | None, ...]
    inject_var: tuple[float | None, ...]
    enabled: bool
    heartbeat: int
    sequence: int
    expiry_code: int | None
    validity_s: int | None


class CommandRegisters:
    """Reads and writes the command registers of one device; no link in here."""

    def __init__(self, device: str, mim_map: MimMap) -> None:
        self.map = mim_map
        self._device = device
        points = (*mim_map.setpoint_w, *mim_map.setpoint_var, mim_map.enable, mim_map.heartbeat, mim_map.sequence)
        points = (*points, mim_map.expiry_action, mim_map.validity)
        self._compiled = CompiledMap(RegisterMap(DeviceClass.MIM, points, blocks=(mim_map.state,)))

    def state_of(self, data: bytes) -> CommandState:
        """Decode the registers of `MimMap.state`."""
        values = dict(zip(self._compiled.keys, self._compiled.decode([data]).tolist(), strict=True))

        def number(point: PointSpec) -> float | None:
            value = values[point.key]
            return None if math.isnan(value) else value

        def whole(point: PointSpec) -> int | None:
            value = number(point)
            return None if value is None else int(value)

        return CommandState(
            data=data,
            inject_w=tuple(number(p) for p in self.map.setpoint_w),
            inject_var=tuple(number(p) for p in self.map.setpoint_var),
            enabled=whole(self.map.enable) == ENABLED,
            heartbeat=whole(self.map.heartbeat) or 0,
            sequence=whole(self.map.sequence) or 0,
            expiry_code=whole(self.map.expiry_action),
            validity_s=whole(self.map.validity),
        )

    def patched(self, state: CommandState, address: int, data: bytes) -> CommandState:
        """The state after `data` was written at `address`."""
        at = 2 * (address - self.map.state.address)
        return self.state_of(state.data[:at] + data + state.data[at + len(data) :])

    def expiry_code(self, action: ExpiryAction) -> int:
        return dict(self.map.expiry_codes)[action]

    def point(self, state: CommandState, point: PointSpec, value: float) -> bytes:
        """One point, ready to be written."""
        exponent = exponent_in(point, state.data, self.map.state.address)
        return encode_setpoint(self._device, point, value, exponent)

    def frame(self, state: CommandState, inject_w: Sequence[float], inject_var: Sequence[float], *, enabled: bool) -> bytes:
        """The registers of `MimMap.command`: setpoints, and the next heartbeat and sequence number.

        Raises:
            Unencodable: a setpoint that the device's registers cannot hold.
        """
        parts = [
            *zip(self.map.setpoint_w, inject_w, strict=True),
            *zip(self.map.setpoint_var, inject_var, strict=True),
            (self.map.enable, float(ENABLED if enabled else DISABLED)),
            (self.map.heartbeat, float(next_count(self.map.heartbeat, state.heartbeat))),
            (self.map.sequence, float(next_count(self.map.sequence, state.sequence))),
        ]
        start = self.map.command.address
        at = 2 * (start - self.map.state.address)
        frame = bytearray(state.data[at : at + 2 * self.map.command.count])
        for point, value in parts:
            frame[2 * (point.address - start) : 2 * (point.end - start)] = self.point(state, point, value)
        return bytes(frame)


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
