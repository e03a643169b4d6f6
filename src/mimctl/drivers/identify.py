"""Whether a device is what its profile says, which variant of it, and how many of its parts are there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mimctl.model.chain import fits
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.model.instances import instance_names, keep_instances, select_instances
from mimctl.model.points import PointSpec
from mimctl.model.profile import Condition, DeviceProfile, RegisterMap
from mimctl.wire.registers import text_of
from mimctl.wire.sunspec_device import match_common, rules_of, walk_for, wanted_class
from mimctl.wire.sunspec_rules import models_of
from mimctl.wire.transport import Transport


@dataclass(frozen=True, slots=True)
class Match:
    """How far a device fits a profile.

    Args:
        refuted: what speaks against it, one line each; empty = nothing does.
        unanswered: signs that the device refuses to show or leaves empty: they speak neither for it nor against it.
        confirmed: strong signs that were found.
        hints: weak signs that were found.
    """

    refuted: tuple[str, ...]
    unanswered: tuple[str, ...]
    confirmed: int
    hints: int


async def match_profile(transport: Transport, unit: int, profile: DeviceProfile) -> Match:
    """Check a device against the identification rules of a profile. Reads only.

    Raises:
        LinkError: it does not answer.
    """
    if profile.chain is not None:
        return await _match_chain(transport, unit, profile)
    refuted: list[str] = []
    unanswered: list[str] = []
    confirmed = hints = 0
    for rule in profile.identify:
        point = rule.condition.point
        found = await _found(transport, unit, point)
        holds = _holds(rule.condition, found)
        confirmed += holds and not rule.weak
        hints += holds and rule.weak
        if found is None:
            unanswered.append(f"register {point.address} tells nothing; {_wanted(rule.condition)} was expected")
        elif not holds and not rule.weak:
            refuted.append(f"register {point.address} holds {found!r}, {_wanted(rule.condition)} was expected")
    return Match(tuple(refuted), tuple(unanswered), confirmed, hints)


async def _match_chain(transport: Transport, unit: int, profile: DeviceProfile) -> Match:
    """The same for a device that tells its own register map: that it has the models is a hint, since many devices have them."""
    try:
        chain = await walk_for(transport, unit, profile)
    except BadReply as nothing:
        return Match((nothing.what,), (), 0, 0)
    models = models_of(chain, wanted_class(profile), rules_of(profile))
    if models is None:
        return Match((f"its SunSpec models are {', '.join(str(m.id) for m in chain.models)}",), (), 0, 0)
    refuted, unanswered, confirmed = await match_common(transport, unit, chain, models, profile)
    return Match(refuted, unanswered, confirmed, 1)


async def identified_map(
    transport: Transport, unit: int, device: str, profile: DeviceProfile, instances: Sequence[str] = ()
) -> tuple[RegisterMap, tuple[tuple[str, str], ...]]:
    """The register map of this very device, and warnings for people.

    Raises:
        BadReply: the device is another one, or has not the parts that are asked for.
    """
    match = await match_profile(transport, unit, profile)
    if match.refuted:
        raise BadReply(device, f"unit {unit} is no {profile.id}: {match.refuted[0]}")
    warnings = [("profile.unconfirmed", text) for text in match.unanswered]
    register_map = profile.register_map
    for variant in profile.variants:
        if _holds(variant.when, await _found(transport, unit, variant.when.point)):
            register_map = variant.register_map
            warnings.append(("profile.variant", f"the device is the variant '{variant.name}' of {profile.id}"))
            break
    counts = await _counts(transport, unit, profile)
    warnings += [("profile.uncounted", f"it does not tell how many of {name} it has") for name, n in counts.items() if n is None]
    register_map = keep_instances(register_map, {name: n for name, n in counts.items() if n is not None})
    try:
        return (select_instances(register_map, instances) if instances else register_map), tuple(warnings)
    except KeyError as missing:
        known = instance_names(register_map)
        there = f"{known[0]} to {known[-1]}" if known else "none"
        raise BadReply(device, f"unit {unit} has no part {missing} (there are: {there})") from None


async def _counts(transport: Transport, unit: int, profile: DeviceProfile) -> dict[str, int | None]:
    """How many of each repeated part there are; None where the device does not tell."""
    told = [(c.instance, await _found(transport, unit, c.point)) for c in profile.counts]
    return {name: None if found is None or isinstance(found, str) else int(found) for name, found in told}


async def _found(transport: Transport, unit: int, point: PointSpec) -> int | float | str | None:
    """What a register holds; None where the device refuses it or shows nothing."""
    try:
        data = await transport.read(unit, point.address, point.registers, function=point.function)
    except DeviceRefusal as refusal:
        if refusal.code not in (1, 2, 3):
            raise
        return None
    text = text_of(point, data)
    if text is None or point.type.is_text:
        return text
    if not point.type.is_float:
        return int(text)  # exact, however wide
    value = float(text)
    return None if math.isnan(value) else value


def _holds(condition: Condition, found: int | float | str | None) -> bool:
    if found is None:
        return False
    tests = [
        not condition.equals or any(_same(found, value) for value in condition.equals),
        not condition.matches or fits(_text(found), condition.matches),
        condition.at_least is None or _compare(found, condition.at_least) >= 0,
        condition.below is None or _compare(found, condition.below) < 0,
    ]
    return all(tests)


def _same(found: int | float | str, value: int | str) -> bool:
    return found == value if isinstance(found, str) == isinstance(value, str) else _text(found) == str(value)


def _text(found: int | float | str) -> str:
    return str(found)


def _compare(found: int | float | str, bound: str) -> int:
    """−1, 0 or 1: a number against a number, a text as a version (`V1.12b` is 1, 12)."""
    if isinstance(found, str):
        mine, other = ([int(part) for part in re.findall(r"[0-9]+", text)] for text in (found, bound))
        return (mine > other) - (mine < other)
    return (found > float(bound)) - (found < float(bound))


def _wanted(condition: Condition) -> str:
    parts = []
    if condition.equals:
        parts.append(" or ".join(repr(v) for v in condition.equals))
    if condition.matches:
        parts.append(" or ".join(repr(v) for v in condition.matches))
    if condition.at_least is not None:
        parts.append(f"at least {condition.at_least}")
    if condition.below is not None:
        parts.append(f"less than {condition.below}")
    return ", ".join(parts)
