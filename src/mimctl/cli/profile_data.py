"""A device profile as plain data: what `mimctl profile show` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mimctl.model.points import PointSpec
    from mimctl.model.profile import DeviceProfile, RegisterMap
    from mimctl.model.setpoints import CommandPoint, MimMap


def described(profile: DeviceProfile) -> dict[str, Any]:
    """A profile as plain data: what `show` prints."""
    register_map = profile.register_map
    return {
        **brief(profile),
        "source": profile.provenance.source,
        "transport": profile.hints,
        "max_registers": register_map.max_registers,
        "identity": {name: f"{p.address} {p.type}" for name, p in register_map.identity},
        "sunspec": profile.chain,
        "points": point_rows(register_map),
        "setpoints": None if register_map.mim is None else _setpoints(register_map.mim),
        "variants": [v.name for v in profile.variants],
        "gaps": profile.gaps,
        "golden_vectors": [v.name for v in profile.vectors],
        "golden_commands": [v.name for v in profile.command_vectors],
    }


def brief(profile: DeviceProfile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "vendor": profile.vendor,
        "models": profile.models,
        "class": profile.register_map.device_class,
        "use": profile.use,
        "confidence": profile.provenance.confidence,
        "verified": profile.provenance.verified,
    }


def point_rows(register_map: RegisterMap) -> list[dict[str, Any]]:
    signs = {s.key: f"sign of {s.by}" + (f" bit {s.bit}" if s.bit is not None else "") for s in register_map.signed}
    rows: list[dict[str, Any]] = [
        {
            "key": p.key,
            "function": p.function,
            "address": p.address,
            "type": p.type.value,
            "scale": p.scale * p.sign,
            "scale_register": p.scale_address,
            "unit": p.unit,
            "word_order": p.word_order.value,
            "byte_order": p.byte_order.value,
            "nan": p.sentinels,
            "names": dict(p.names),
            "static": p.static,
            "note": ", ".join(_notes(p, signs)),
        }
        for p in register_map.points
    ]
    for d in register_map.differences:
        unit = next((p.unit for p in register_map.points if p.key == d.plus), "")
        rows.append({"key": d.key, "note": f"{d.plus} − {d.minus}", "unit": unit})
    return rows


def _notes(point: PointSpec, signs: dict[str, str]) -> Iterator[str]:
    """What is out of the ordinary about a point."""
    if point.key in signs:
        yield signs[point.key]
    if point.static:
        yield "read once"
    if point.registers > 1 and point.word_order == "lsw":
        yield "low word first"
    if point.byte_order == "little":
        yield "low byte first"
    if point.sentinels:
        yield f"no value: {' or '.join(_pattern(point, n) for n in point.sentinels)}"


def _pattern(point: PointSpec, raw: float) -> str:
    """A raw value as it stands in the registers."""
    return f"{raw:g}" if point.type.is_float else f"0x{int(raw) % (1 << 16 * point.registers):0{4 * point.registers}X}"


def _setpoints(mim_map: MimMap) -> dict[str, Any]:
    return {
        "ports": mim_map.ports,
        "active_power": [p is not None for p in mim_map.setpoint_w],
        "reactive_power": [p is not None for p in mim_map.setpoint_var],
        "order": [command_row(c) for c in mim_map.commands],
        "keepalive": mim_map.keepalive,
        "failsafe": mim_map.failsafe,
        "failsafe_s": mim_map.failsafe_s,
        "silent_action": mim_map.silent_action,
        "policy": mim_map.policy,
    }


def command_row(command_point: CommandPoint) -> dict[str, Any]:
    point = command_point.point
    return {
        "key": point.key,
        "role": command_point.role,
        "address": point.address,
        "type": point.type.value,
        "scale": point.scale * point.sign,
        "minimum": point.minimum,
        "maximum": point.maximum,
        "codes": command_point.codes or None,
        "persistent": command_point.persistent,
    }
