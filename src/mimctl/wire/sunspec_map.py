"""From the models of one SunSpec device to its register map, with mimctl's keys, units and signs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mimctl.model.errors import BadReply
from mimctl.model.profile import DeviceClass, Guard, PointSpec, ReadBlock, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.model.setpoints import CommandPoint, Failsafe, FormMap, MimMap, Role
from mimctl.model.site import ExpiryAction
from mimctl.wire.sunspec import COMMON, ModelBlock
from mimctl.wire.sunspec_keys import (
    INVERTER_MODELS,
    METER_MODELS,
    MIM_CONTROL,
    MIM_FORM,
    MIM_MEASUREMENT,
    identity_names,
    keys_of,
)
from mimctl.wire.sunspec_models import Leaf, definition_of, leaves, point_spec

#: symbols of WdAct in the definition of the MIM control model
_EXPIRY_SYMBOLS = {
    "HOLD": ExpiryAction.HOLD,
    "ZERO_PQ": ExpiryAction.ZERO,
    "REVERT": ExpiryAction.REVERT,
    "DISCONNECT": ExpiryAction.DISCONNECT,
}
#: most registers of one write frame (Modbus application protocol 1.1b3, function 16)
MAX_WRITE = 123


def class_of(models: Sequence[ModelBlock]) -> DeviceClass:
    """What a sub-device of a chain is, by the models it has."""
    if any(_name(m) == MIM_CONTROL for m in models):
        return DeviceClass.MIM
    if any(m.id in METER_MODELS for m in models):
        return DeviceClass.METER
    if any(m.id in INVERTER_MODELS for m in models):
        return DeviceClass.INVERTER
    return DeviceClass.OTHER


def register_map_of(models: Sequence[ModelBlock], device: str) -> RegisterMap:
    """The register map of one device of a chain.

    A MIM tells its ports in its own models, so the inverter models that it may have beside them are not read.

    Raises:
        BadReply: the models do not fit together.
    """
    device_class = class_of(models)
    skipped = INVERTER_MODELS if device_class is DeviceClass.MIM else frozenset()
    points: dict[str, PointSpec] = {}
    for block in models:
        if block.id in skipped:
            continue
        for spec in _mapped(block):
            points.setdefault(spec.key, spec)
    mim = _mim_map(models, device) if device_class is DeviceClass.MIM else None
    return RegisterMap(
        device_class=device_class,
        points=tuple(points.values()),
        identity=tuple(identity_points(models)),
        guards=tuple(guard_of_model(m) for m in models),
        max_gap=MAX_CHAIN_GAP,
        mim=mim,
    )


#: a chain has no holes: any register between two models may be read
MAX_CHAIN_GAP = 125


def model_map(block: ModelBlock) -> RegisterMap:
    """Every point of one model under its SunSpec name (`Ph[0].W`), scale factors included; nothing is left to read once."""
    definition = definition_of(block.id)
    found = leaves(definition, block.length, dict(block.counts)) if definition is not None else []
    specs = [point_spec(leaf, leaf.path, block.address) for leaf in found]
    points = tuple(replace(s, static=False) for s in specs if s is not None)
    guard = guard_of_model(block)
    return RegisterMap(DeviceClass.OTHER, points, guards=(guard,), max_gap=MAX_CHAIN_GAP)


def guard_of_model(block: ModelBlock) -> Guard:
    """ID and L (where it is known), in the same reply as the values: a shifted or moved answer gives itself away."""
    header = (block.id, block.length) if block.length_told else (block.id,)
    return Guard(block.address, header, block.address, block.end)


def _name(block: ModelBlock) -> str:
    definition = definition_of(block.id)
    return "" if definition is None else str(definition["group"]["name"])


def _leaves(block: ModelBlock) -> list[Leaf]:
    definition = definition_of(block.id)
    return [] if definition is None else leaves(definition, block.length, dict(block.counts))


def _mapped(block: ModelBlock) -> Iterable[PointSpec]:
    keys = keys_of(block.id, _name(block))
    if not keys:
        return
    for leaf in _leaves(block):
        key = keys.get(leaf.path)
        spec = None if key is None else point_spec(leaf, key, block.address)
        if spec is not None and not spec.type.is_text:
            quantity = quantity_of(spec.key)
            yield replace(spec, unit=quantity.unit if quantity is not None else "", writable=False)


def identity_points(models: Sequence[ModelBlock]) -> Iterable[tuple[str, PointSpec]]:
    """Where the common model of a device says who it is."""
    common = next((m for m in models if m.id == COMMON), None)
    if common is None:
        return
    for leaf in _leaves(common):
        name = identity_names().get(leaf.path)
        spec = None if name is None else point_spec(leaf, f"identity.{name}", common.address)
        if name is not None and spec is not None:
            yield name, spec


def _mim_map(models: Sequence[ModelBlock], device: str) -> MimMap:
    control = next(m for m in models if _name(m) == MIM_CONTROL)
    if not any(_name(m) == MIM_MEASUREMENT for m in models):
        raise BadReply(device, f"model {control.id} has no measurement model beside it")
    by_path = {leaf.path: leaf for leaf in _leaves(control)}
    ports = dict(control.counts).get("NPh", 0)

    def spec(path: str, key: str) -> PointSpec:
        leaf = by_path.get(path)
        made = None if leaf is None else point_spec(leaf, key, control.address)
        if made is None:
            raise BadReply(device, f"model {control.id} (L = {control.length}) has no {path}")
        return made

    ports_w = [CommandPoint(spec(f"Ph[{n}].W", f"setpoint_active_power.port{n + 1}"), Role.ACTIVE, n) for n in range(ports)]
    ports_var = [CommandPoint(spec(f"Ph[{n}].Var", f"setpoint_reactive_power.port{n + 1}"), Role.REACTIVE, n) for n in range(ports)]
    shares = [
        CommandPoint(spec(f"Ph[{n}].{name}", f"{role}.port{n + 1}"), role, n)
        for n in range(ports)
        for name, role in (("HarmShr", Role.HARMONIC_SHARE), ("HarmOrd", Role.HARMONIC_ORDERS))
        if f"Ph[{n}].{name}" in by_path
    ]
    sequence = spec("Cmt.SeqCmd", "sequence")
    if not ports_w or sequence.end - ports_w[0].point.address > MAX_WRITE:
        raise BadReply(device, f"model {control.id} has {ports} ports: no single write can carry them")
    codes = tuple((_EXPIRY_SYMBOLS[s["name"]], int(s["value"])) for s in by_path["WdAct"].definition["symbols"])
    first = ports_w[0].point.address
    return MimMap(
        ports=ports,
        commands=(
            CommandPoint(spec("WdAct", "expiry_action"), Role.EXPIRY, expiry_codes=codes),
            CommandPoint(spec("WdTms", "validity"), Role.VALIDITY),
            *ports_w,
            *ports_var,
            *shares,
            CommandPoint(spec("Cmt.Ena", "enable"), Role.SWITCH, codes=(1, 0)),
            CommandPoint(spec("Cmt.CtlHb", "heartbeat"), Role.HEARTBEAT),
            CommandPoint(sequence, Role.SEQUENCE),
        ),
        state=(ReadBlock(control.address, sequence.end - control.address),),
        command=ReadBlock(first, sequence.end - first),
        keepalive=(Role.HEARTBEAT,),
        failsafe=Failsafe.HEARTBEAT,
        form=_form_map(models, device),
    )


def _form_map(models: Sequence[ModelBlock], device: str) -> FormMap | None:
    """Form mode of a MIM that has the model for it."""
    block = next((m for m in models if _name(m) == MIM_FORM), None)
    if block is None:
        return None
    by_path = {leaf.path: leaf for leaf in _leaves(block)}

    def spec(path: str) -> PointSpec:
        leaf = by_path.get(path)
        made = None if leaf is None else point_spec(leaf, f"form_{path}", block.address)
        if made is None:
            raise BadReply(device, f"model {block.id} (L = {block.length}) has no {path}")
        return made

    first, last = spec("FmTms"), spec("Cmt.SeqCmd")
    return FormMap(
        validity=first,
        voltage=spec("V"),
        frequency=spec("Hz"),
        angle=spec("Ang"),
        mode=spec("Cmt.Mode"),
        heartbeat=spec("Cmt.CtlHb"),
        sequence=last,
        state=ReadBlock(block.address, last.end - block.address),
        command=ReadBlock(first.address, last.end - first.address),
    )
