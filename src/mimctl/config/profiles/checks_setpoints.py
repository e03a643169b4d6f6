"""What can be wrong with the setpoints of a profile."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mimctl.config.profiles.layout import address_problems
from mimctl.config.profiles.schema import ProfileFile, SetpointItem
from mimctl.config.profiles.schema_setpoints import CommandItem, FailsafeItem
from mimctl.config.profiles.signs import convention_sign
from mimctl.config.validate import did_you_mean
from mimctl.model.problem import Problem, error
from mimctl.model.setpoints import Failsafe

_KEY = re.compile(r"(active_power|reactive_power)\.port([1-9])\Z")
_UNITS = {"active_power": "W", "reactive_power": "var"}


def command_items(file: ProfileFile) -> dict[str, tuple[str, CommandItem]]:
    """Name in `write_policy.order` → (path, register) of everything that is written."""
    found: dict[str, tuple[str, CommandItem]] = {}
    for key, item in file.setpoints.items():
        found[key] = (f"setpoints.{key}", item)
    for index, switch in enumerate(file.switches):
        found[switch.name] = (f"switches[{index}]", switch)
    failsafe = file.failsafe
    if failsafe is not None:
        for name in ("reversion_action", "reversion", "heartbeat"):
            item = getattr(failsafe, name)
            if item is not None:
                found[name] = (f"failsafe.{name}", item)
    return found


def default_order(file: ProfileFile) -> list[str]:
    """Values and reversion first, what enables them last."""
    before = [s.name for s in file.switches if s.when == "before"]
    after = [s.name for s in file.switches if s.when == "after"]
    known = command_items(file)
    return [n for n in (*before, "reversion_action", "reversion", *file.setpoints, *after, "heartbeat") if n in known]


def _keys(file: ProfileFile) -> Iterator[Problem]:
    ports: set[int] = set()
    for key, item in file.setpoints.items():
        path = f"setpoints.{key}"
        match = _KEY.match(key)
        if match is None:
            yield error("profile.setpoint", path, f"'{key}' is no setpoint: active_power.port1, reactive_power.port1, …")
            continue
        ports.add(int(match[2]))
        if item.unit is not None and item.unit != _UNITS[match[1]]:
            yield error("profile.unit", f"{path}.unit", f"a setpoint of {match[1]} is in {_UNITS[match[1]]}: scale it to that")
        yield from _limits(item, path)
        yield from _room(item, path, item.sign * convention_sign(file.conventions, key, file.device_class))
    if ports and ports != set(range(1, len(ports) + 1)):
        yield error("profile.setpoint", "setpoints", f"the ports are {sorted(ports)}: count them from 1 without a gap")


def _limits(item: SetpointItem, path: str) -> Iterator[Problem]:
    if item.min >= item.max or item.max <= 0:
        yield error("profile.setpoint", f"{path}.min", f"{item.min:g} to {item.max:g} is no range that a setpoint can move in")
    if item.min > 0:
        yield error("profile.setpoint", f"{path}.min", "0 must be allowed: it is what the device is brought back to")
    if item.scale == 0:
        yield error("profile.point", f"{path}.scale", "a scale of 0 makes every value 0")
    if item.direction is not None and item.min < 0:
        text = "the register takes a size; its least value is 0, and 'direction' says the rest"
        yield error("profile.setpoint", f"{path}.min", text)
    if item.direction is not None and item.sign == -1:
        yield error("profile.setpoint", f"{path}.sign", "a size has no sign; turn the words of 'direction' instead")


def _room(item: SetpointItem, path: str, sign: int) -> Iterator[Problem]:
    """Limits that the register itself can hold; where another register scales it, that is known when it is written."""
    if item.type.is_text or item.type.is_float or item.scale_register is not None or item.scale == 0:
        return
    factor = item.scale if item.direction is not None else item.scale * sign
    low, high = sorted(bound * factor for bound in item.type.bounds)
    for key, limit in (("min", item.min), ("max", item.max)):
        if not low <= limit <= high:
            text = f"{limit:g} does not fit the register: {item.type} with this scale and sign holds {low:g} to {high:g}"
            yield error("profile.setpoint", f"{path}.{key}", text)


def _registers(file: ProfileFile) -> Iterator[Problem]:
    """What is written is a number, and fits the way in which it is written."""
    paths = list(command_items(file).values())
    paths += [(f"setpoints.{k}.direction", i.direction) for k, i in file.setpoints.items() if i.direction is not None]
    for path, item in paths:
        yield from address_problems(file, f"{path}.address", item.address, item.type.registers or 1, item.function)
        if item.type.is_text:
            yield error("profile.point", f"{path}.type", "a text is no command")
        if item.count is not None:
            yield error("profile.point", f"{path}.count", f"{item.type} has {item.type.registers} registers; drop the count")
        if item.write == "single" and item.type.registers > 1:
            yield error(
                "profile.setpoint", f"{path}.write", f"function 6 writes one register; {item.type} has {item.type.registers}"
            )
        if item.function == 4:
            yield error("profile.setpoint", f"{path}.function", "input registers (function 4) cannot be written")
        if item.persistent and file.write_policy.daily_budget is None:
            text = "the key 'daily_budget' of write_policy is missing: writes to wearing memory are limited"
            yield error("profile.setpoint", f"{path}.persistent", text)


def _failsafe(file: ProfileFile) -> Iterator[Problem]:
    if not file.setpoints:
        for key in ("switches", "failsafe"):
            if getattr(file, key):
                yield error("profile.setpoint", key, f"{key} without setpoints: there is nothing to command")
        return
    if not file.device_class.injects:
        yield error("profile.setpoint", "class", f"a {file.device_class} takes no setpoints: inverter, ess or mim")
    failsafe = file.failsafe
    if failsafe is None:
        text = "the key 'failsafe' is missing: say what the device does when nobody commands it, or kind: none"
        yield error("profile.failsafe", "setpoints", text)
        return
    yield from _kind(failsafe)


def _kind(failsafe: FailsafeItem) -> Iterator[Problem]:
    needs = {Failsafe.REVERSION: "reversion", Failsafe.HEARTBEAT: "heartbeat", Failsafe.REPEAT: "within_s", Failsafe.NONE: None}
    need = needs[failsafe.kind]
    if need is not None and getattr(failsafe, need) is None:
        yield error("profile.failsafe", "failsafe", f"the key '{need.removesuffix('_s')}' is missing for kind: {failsafe.kind}")
    if failsafe.kind is Failsafe.HEARTBEAT and failsafe.within_s is None and failsafe.reversion is None:
        yield error("profile.failsafe", "failsafe", "the key 'within' is missing: how long the device waits for a heartbeat")
    if failsafe.kind is Failsafe.NONE:
        for key in ("within_s", "action", "heartbeat", "reversion", "reversion_action"):
            if getattr(failsafe, key) is not None:
                text = f"kind: none has no {key.removesuffix('_s')}"
                yield error("profile.failsafe", f"failsafe.{key.removesuffix('_s')}", text)
    if failsafe.action is not None and failsafe.reversion_action is not None:
        yield error("profile.failsafe", "failsafe.action", "what the device does is fixed, or set by reversion_action, not both")


def _order(file: ProfileFile) -> Iterator[Problem]:
    known = default_order(file)
    order = file.write_policy.order
    if not order:
        return
    for index, name in enumerate(order):
        if name not in known:
            yield error("profile.order", f"write_policy.order[{index}]", f"nothing is called '{name}'{did_you_mean(name, known)}")
        elif name in order[:index]:
            yield error("profile.order", f"write_policy.order[{index}]", f"'{name}' is named twice")
    missing = [name for name in known if name not in order]
    if missing:
        yield error("profile.order", "write_policy.order", f"not in the order: {', '.join(missing)}")


SETPOINT_CHECKS = (_keys, _registers, _failsafe, _order)
