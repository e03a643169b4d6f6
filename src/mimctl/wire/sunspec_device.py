"""From a device that tells its own register map to that map: walk the chain, choose the device in it, ask what it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mimctl.model.chain import ChainRules, fits
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.model.profile import DeviceClass, DeviceProfile, RegisterMap
from mimctl.model.setpoints import Failsafe
from mimctl.wire.registers import CompiledMap, text_of
from mimctl.wire.sunspec import BASES, Chain, ModelBlock, walk
from mimctl.wire.sunspec_keys import METER_MODELS
from mimctl.wire.sunspec_map import identity_points, model_map, register_map_of
from mimctl.wire.sunspec_rules import corrected, models_of, narrowed
from mimctl.wire.sunspec_setpoints import CONTROL_MODELS, as_mim, inverter_commands
from mimctl.wire.transport import Transport

#: the rules of a device without a profile
NO_RULES = ChainRules()

_Warnings = tuple[tuple[str, str], ...]


def rules_of(profile: DeviceProfile | None) -> ChainRules:
    return NO_RULES if profile is None or profile.chain is None else profile.chain


def bases_of(profile: DeviceProfile | None, base: int | None) -> tuple[int, ...]:
    """Where the chain is looked for: where the site says, else where the profile says, else at the usual places."""
    return (base,) if base is not None else rules_of(profile).bases or BASES


async def map_of_chain(
    transport: Transport,
    unit: int,
    device: str,
    wanted: DeviceClass,
    chain: Chain,
    *,
    profile: DeviceProfile | None = None,
    max_registers: int = 125,
) -> tuple[RegisterMap, _Warnings]:
    """The register map of one device of a chain, and warnings for people.

    Args:
        wanted: METER, INVERTER, or MIM for one that is commanded.
        profile: with rules for a chain; None: none are known.

    Raises:
        BadReply: the device is another one, or cannot be commanded though it should be.
        LinkError: it does not answer.
    """
    rules = rules_of(profile)
    models = models_of(chain, wanted, rules)
    if models is None:
        raise BadReply(device, _absent(unit, wanted, chain, profile))
    warnings = list(chain.warnings)
    if profile is not None:
        warnings += await _who_it_is(transport, unit, device, chain, models, profile)
    models = narrowed(models, rules)
    found = register_map_of(models, device)
    if profile is not None:
        found = corrected(found, models, rules, profile.register_map)
    if wanted is DeviceClass.MIM and found.device_class is not DeviceClass.MIM:
        found, more = await _commanded(transport, unit, device, found, models, rules, max_registers)
        warnings += more
    if len(chain.devices) > 1:
        text = f"the chain holds {len(chain.devices)} devices; the first {wanted} in it is taken"
        warnings.append(("sunspec.several_devices", text))
    return found, tuple(warnings)


def _absent(unit: int, wanted: DeviceClass, chain: Chain, profile: DeviceProfile | None) -> str:
    there = f"its SunSpec models are {', '.join(str(m.id) for m in chain.models)}"
    if profile is None:
        return f"unit {unit} is no {wanted}: {there}"
    needed = " or ".join(map(str, rules_of(profile).models))
    return f"unit {unit} is no {profile.id}, which measures with model {needed}: {there}"


async def _who_it_is(
    transport: Transport, unit: int, device: str, chain: Chain, models: Sequence[ModelBlock], profile: DeviceProfile
) -> _Warnings:
    refuted, unanswered, _ = await match_common(transport, unit, chain, models, profile)
    if refuted:
        raise BadReply(device, f"unit {unit} is no {profile.id}: {refuted[0]}")
    return tuple(("profile.unconfirmed", text) for text in unanswered)


async def match_common(
    transport: Transport, unit: int, chain: Chain, models: Sequence[ModelBlock], profile: DeviceProfile
) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """What speaks against the profile in the common model of the device and of the chain, what is not told, and how much fits."""
    refuted: list[str] = []
    unanswered: list[str] = []
    confirmed = 0
    for name, patterns in rules_of(profile).common:
        texts = [t for m in (models, chain.devices[0]) if (t := await _common_text(transport, unit, m, name)) is not None]
        wanted = " or ".join(repr(p) for p in patterns)
        if not texts:
            unanswered.append(f"it does not tell its {name}; {wanted} was expected")
        elif any(fits(text, patterns) for text in texts):
            confirmed += 1
        else:
            refuted.append(f"its {name} is {texts[0]!r}, {wanted} was expected")
    return tuple(refuted), tuple(unanswered), confirmed


async def _common_text(transport: Transport, unit: int, models: Sequence[ModelBlock], name: str) -> str | None:
    point = dict(identity_points(models)).get(name)
    if point is None:
        return None
    try:
        data = await transport.read(unit, point.address, point.registers, function=point.function)
    except DeviceRefusal:
        return None
    return text_of(point, data)


async def _commanded(
    transport: Transport,
    unit: int,
    device: str,
    found: RegisterMap,
    models: Sequence[ModelBlock],
    rules: ChainRules,
    max_registers: int,
) -> tuple[RegisterMap, _Warnings]:
    """The same map as a MIM with one port."""
    commands = inverter_commands(models, await _controls(transport, unit, models, max_registers), rules)
    if commands is None:
        raise BadReply(device, f"unit {unit} is an inverter without controls that mimctl knows (704, or 121 with 123 or 124)")
    warnings: _Warnings = ()
    if commands.failsafe is Failsafe.NONE:
        text = "it has neither a reversion timer nor a heartbeat: it would keep a setpoint"
        warnings = (("sunspec.no_failsafe", text),)
    return as_mim(found, replace(commands, policy=rules.policy)), warnings


async def _controls(
    transport: Transport, unit: int, models: Sequence[ModelBlock], max_registers: int
) -> dict[int, dict[str, float]]:
    """What the control models of an inverter hold: what it can be told, and its ratings. A model that it refuses is not there."""
    found: dict[int, dict[str, float]] = {}
    for block in models:
        if block.id not in CONTROL_MODELS:
            continue
        compiled = CompiledMap(model_map(block), max_registers)
        try:
            data = [await transport.read(unit, r.address, r.count, function=r.function) for r in compiled.reads]
        except DeviceRefusal:
            continue
        found[block.id] = dict(zip(compiled.keys, compiled.decode(data).tolist(), strict=True))
    return found


async def walk_for(
    transport: Transport, unit: int, profile: DeviceProfile | None = None, base: int | None = None, max_registers: int = 125
) -> Chain:
    """The chain of a device. Raises: as `walk`."""
    return await walk(transport, unit, bases_of(profile, base), max_registers=max_registers)


def wanted_class(profile: DeviceProfile) -> DeviceClass:
    """Which device of a chain a profile is for, where it is only read."""
    meter = any(model in METER_MODELS for model in rules_of(profile).models)
    return DeviceClass.METER if meter else DeviceClass.INVERTER
