"""What can be wrong with the `sunspec:` section of a profile: one function per thing."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator

from mimctl.config.profiles.schema import ProfileFile
from mimctl.config.profiles.schema_sunspec import ChainPointItem, MeterModel, SunSpecItem
from mimctl.config.validate import did_you_mean
from mimctl.model.problem import Problem, error
from mimctl.model.profile import DeviceClass
from mimctl.model.quantity import QUANTITIES, quantity_of

#: sections that describe registers which the chain itself describes
_INSTEAD = ("identify", "identity", "blocks", "max_gap", "instances", "setpoints", "switches", "failsafe", "variants")
_CLASSES = (DeviceClass.METER, DeviceClass.INVERTER, DeviceClass.ESS)
#: models with registers of more than 16 bits among those that are written
_WIDE = frozenset({704, 715, 802})


def sunspec_problems(file: ProfileFile) -> Iterator[Problem]:
    """Everything about a section `sunspec`; nothing where there is none."""
    item = file.sunspec
    if item is None:
        return
    yield from _sections(file)
    yield from _classes(file, item)
    yield from _conventions(file, item)
    yield from _quantities(item)
    yield from _points(file, item)
    yield from _commands(file, item)


def _sections(file: ProfileFile) -> Iterator[Problem]:
    for key in _INSTEAD:
        if key in file.model_fields_set:
            hint = ": say it in sunspec.common" if key == "identify" else ""
            yield error("profile.sunspec", key, f"a device that tells its own register map has no '{key}'{hint}")
    if file.transport.addressing != "zero_based":
        yield error("profile.sunspec", "transport.addressing", "bases and registers of a SunSpec device are those on the wire")
    for key in ("daily_budget", "order"):
        if key in file.write_policy.model_fields_set:
            yield error("profile.sunspec", f"write_policy.{key}", "the order and kind of SunSpec registers is fixed")


def _classes(file: ProfileFile, item: SunSpecItem) -> Iterator[Problem]:
    kind = file.device_class
    if kind not in _CLASSES:
        yield error("profile.sunspec", "class", f"a chain of SunSpec models is read as meter, inverter or ess, not as {kind}")
        return
    meters = typing.get_args(MeterModel)
    for index, model in enumerate(item.models):
        if (model in meters) is not (kind is DeviceClass.METER):
            what = "meter" if model in meters else "inverter"
            yield error("profile.sunspec", f"sunspec.models[{index}]", f"model {model} is one of a {what}, the class is {kind}")
        if model in item.models[:index]:
            yield error("profile.sunspec", f"sunspec.models[{index}]", f"model {model} is named twice")
        if model in item.ignore:
            yield error("profile.sunspec", "sunspec.ignore", f"model {model} is named among those that are read")


def _conventions(file: ProfileFile, item: SunSpecItem) -> Iterator[Problem]:
    """Signs of SunSpec devices are never guessed."""
    if "reactive_power" not in file.conventions.model_fields_set and "reactive_power" not in item.leave_out:
        text = (
            "the key 'reactive_power' is missing: SunSpec inverters count capacitive_load_positive, meters "
            "inductive_load_positive; leave_out: [reactive_power] where nobody knows"
        )
        yield error("profile.sunspec", "conventions", text)


def _quantities(item: SunSpecItem) -> Iterator[Problem]:
    names: list[tuple[str, Iterable[str]]] = [("leave_out", item.leave_out), ("silent_zeros", item.silent_zeros)]
    for section, listed in names:
        for index, name in enumerate(listed):
            quantity = name if section == "silent_zeros" else name.partition(".")[0]
            if quantity not in QUANTITIES:
                text = f"there is no quantity '{quantity}'{did_you_mean(quantity, QUANTITIES)}"
                yield error("profile.quantity", f"sunspec.{section}[{index}]", text)


def _points(file: ProfileFile, item: SunSpecItem) -> Iterator[Problem]:
    used = {name for point in item.points.values() for name in point.difference or ()}
    for key, point in item.points.items():
        path = f"sunspec.points.{key}"
        if quantity_of(key) is None and key not in used:
            text = f"there is no quantity '{key.partition('.')[0]}'{did_you_mean(key, QUANTITIES)}, and no point uses it"
            yield error("profile.quantity", path, text)
        if key in file.points:
            yield error("profile.sunspec", path, f"'{key}' is among the points of the file too")
        yield from _made_of(item, path, point)


def _made_of(item: SunSpecItem, path: str, point: ChainPointItem) -> Iterator[Problem]:
    if point.difference is None:
        for key in ("model", "point"):
            if getattr(point, key) is None:
                yield error("profile.point", path, f"the key '{key}' is missing: a point needs model and point, or a difference")
        return
    given = point.model_fields_set - {"difference", "sign"}
    if given:
        yield error("profile.point", f"{path}.{min(given)}", f"a difference has no {', '.join(sorted(given))} of its own")
    for index, name in enumerate(point.difference):
        other = item.points.get(name)
        if other is None or other.difference is not None:
            what = f"there is no point '{name}'{did_you_mean(name, item.points)}" if other is None else f"'{name}' is one itself"
            yield error("profile.reference", f"{path}.difference[{index}]", what)


def _commands(file: ProfileFile, item: SunSpecItem) -> Iterator[Problem]:
    """Commands have the signs of SunSpec: a device that measures the other way round may take them the other way round too."""
    for index, command in enumerate(item.commands):
        path = f"sunspec.commands[{index}]"
        if command.model in [c.model for c in item.commands[:index]]:
            yield error("profile.sunspec", f"{path}.model", f"model {command.model} is named twice")
        if command.model in item.ignore:
            yield error("profile.sunspec", f"{path}.model", f"model {command.model} is among those that are ignored")
        if command.write == "single" and command.model in _WIDE:
            yield error("profile.sunspec", f"{path}.write", f"model {command.model} has values of two registers: function 16")
    if not item.commands:
        if "write_policy" in file.model_fields_set:
            yield error("profile.sunspec", "write_policy", "nothing is commanded: name the models in sunspec.commands")
        return
    told = file.conventions
    if not file.device_class.injects:
        yield error("profile.sunspec", "sunspec.commands", f"a {file.device_class} takes no setpoints: inverter or ess")
    elif told.active_power != "generation_positive" or told.reactive_power != "capacitive_load_positive":
        text = "SunSpec setpoints are generation_positive and capacitive_load_positive: another device is not commanded"
        yield error("profile.sunspec", "sunspec.commands", text)
