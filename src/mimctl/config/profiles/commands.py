"""From the setpoints of a profile file to the commands of its register map."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from mimctl.config.profiles.checks_setpoints import command_items, default_order
from mimctl.config.profiles.layout import raw_value, wire_address, wire_function
from mimctl.config.profiles.schema import ProfileFile, SetpointItem, SwitchItem
from mimctl.config.profiles.schema_setpoints import CommandItem, HeartbeatItem, ReversionActionItem, ReversionItem
from mimctl.config.profiles.signs import convention_sign
from mimctl.model.points import PointSpec, ReadBlock
from mimctl.model.setpoints import WATCHED, CommandPoint, Failsafe, MimMap, Role, WritePolicy

_PORT = re.compile(r"\.port([0-9]+)\Z")
#: most registers between two command registers that are read along with them
_STATE_GAP = 0


def mim_map(file: ProfileFile) -> MimMap | None:
    """How the device is commanded; None where the file has no setpoints."""
    if not file.setpoints or file.failsafe is None:
        return None
    items = {name: item for name, (_, item) in command_items(file).items()}
    commands = [c for name in file.write_policy.order or default_order(file) for c in _commands(file, name, items[name])]
    policy = file.write_policy
    return MimMap(
        ports=len({_port(key) for key in file.setpoints}),
        commands=tuple(commands),
        state=tuple(_state(commands, file.transport.max_registers)),
        keepalive=_keepalive(file),
        failsafe=file.failsafe.kind,
        failsafe_s=file.failsafe.within_s,
        silent_action=file.failsafe.action,
        policy=WritePolicy(policy.min_interval_s, policy.active_deadband_w, policy.reactive_deadband_var, policy.daily_budget),
    )


def readable_commands(commands: MimMap) -> tuple[PointSpec, ...]:
    """Setpoints and switches that are read along with the measurements: what somebody else writes, or the device takes back, is
    seen."""
    return tuple(c.point for c in commands.of(*WATCHED) if c.readable)


def _keepalive(file: ProfileFile) -> tuple[Role, ...]:
    """What proves that the controller lives. A heartbeat does not restart a reversion timer, so both are written."""
    failsafe = file.failsafe
    if failsafe is None or failsafe.kind is Failsafe.NONE:
        return ()
    beat = (Role.HEARTBEAT,) if failsafe.heartbeat is not None else ()
    values = (Role.ACTIVE, Role.REACTIVE, Role.DIRECTION)
    if failsafe.reversion is not None:
        return (*values, Role.VALIDITY, *beat)
    return (*values, *beat) if failsafe.kind is Failsafe.REPEAT else beat


def _commands(file: ProfileFile, name: str, item: CommandItem) -> Iterable[CommandPoint]:
    if isinstance(item, SetpointItem):
        role = Role.ACTIVE if name.startswith("active_power") else Role.REACTIVE
        if item.direction is not None:
            d = item.direction
            point = _register(file, f"direction.port{_port(name) + 1}", d)
            yield _command(d, point, Role.DIRECTION, _port(name), (d.inject, d.absorb, d.idle))
        yield _command(item, _setpoint(file, name, item), role, _port(name), magnitude=item.direction is not None)
    elif isinstance(item, SwitchItem):
        codes = (item.on,) if item.off is None else (item.on, item.off)
        made = _command(item, _register(file, f"switch_{item.name}", item), Role.SWITCH, codes=codes)
        yield replace(made, always=item.repeat)
    elif isinstance(item, HeartbeatItem):
        yield _command(item, _register(file, "heartbeat", item), Role.HEARTBEAT, codes=tuple(item.words or ()))
    elif isinstance(item, ReversionItem):
        yield _command(item, _register(file, "validity", item, item.scale, item.min, item.max), Role.VALIDITY)
    elif isinstance(item, ReversionActionItem):
        point = _register(file, "expiry_action", item)
        yield CommandPoint(
            point,
            Role.EXPIRY,
            expiry_codes=tuple(item.codes.items()),
            readable=item.readable,
            persistent=item.persistent,
            single=item.write == "single",
        )


def _command(
    item: CommandItem, point: PointSpec, role: Role, port: int = 0, codes: tuple[int, ...] = (), *, magnitude: bool = False
) -> CommandPoint:
    return CommandPoint(
        point,
        role,
        port,
        magnitude=magnitude,
        codes=codes,
        readable=item.readable,
        persistent=item.persistent,
        single=item.write == "single",
    )


def _register(
    file: ProfileFile,
    key: str,
    item: CommandItem,
    scale: float = 1.0,
    minimum: float | None = None,
    maximum: float | None = None,
) -> PointSpec:
    return PointSpec(
        key=key,
        address=wire_address(file, item.address)[0],
        type=item.type,
        function=wire_function(file, item),
        scale=scale,
        word_order=item.word_order or file.defaults.word_order,
        byte_order=item.byte_order or file.defaults.byte_order,
        writable=True,
        minimum=minimum,
        maximum=maximum,
    )


def _setpoint(file: ProfileFile, key: str, item: SetpointItem) -> PointSpec:
    scale = item.scale_register
    size = item.direction is not None
    return PointSpec(
        key=f"setpoint_size.port{_port(key) + 1}" if size else f"setpoint_{key}",
        address=wire_address(file, item.address)[0],
        type=item.type,
        function=wire_function(file, item),
        scale=item.scale,
        scale_address=None if scale is None else wire_address(file, scale.address)[0],
        word_order=item.word_order or file.defaults.word_order,
        byte_order=item.byte_order or file.defaults.byte_order,
        sentinels=tuple(raw_value(item.type, n) for n in item.nan),
        sign=1 if size else item.sign * convention_sign(file.conventions, key, file.device_class),
        unit="W" if key.startswith("active") else "var",
        writable=True,
        minimum=item.min,
        maximum=item.max,
    )


def _port(key: str) -> int:
    match = _PORT.search(key)
    return 0 if match is None else int(match[1]) - 1


def _state(commands: Iterable[CommandPoint], max_registers: int) -> Iterable[ReadBlock]:
    """The fewest reads of readable command registers and their scale registers that touch no other register."""
    spans = {(c.point.function, c.point.address, c.point.end) for c in commands if c.readable}
    spans |= {
        (c.point.function, c.point.scale_address, c.point.scale_address + 1) for c in commands if c.point.scale_address is not None
    }
    open_block: tuple[int, int, int] | None = None
    for function, start, end in sorted(spans):
        if open_block is not None:
            same, first, last = open_block
            if function == same and start <= last + _STATE_GAP and end - first <= max_registers:
                open_block = (same, first, max(last, end))
                continue
            yield ReadBlock(first, last - first, same)
        open_block = (function, start, end)
    if open_block is not None:
        function, start, end = open_block
        yield ReadBlock(start, end - start, function)
