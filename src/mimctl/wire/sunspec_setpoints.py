"""Commands of SunSpec inverters: immediate controls (704, or 123 and 124) with their reversion timers, heartbeats (715, 802).

The models command an inverter as a whole: it is a MIM with one port. What a device shows as “not implemented” is left out: vars
that it cannot set, and a reversion timer that it lacks, which leaves it without a failsafe.

Reference: SunSpec DER Information Models (700 series) and models 121 to 124: values and reversion first, the enable last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mimctl.model.chain import ChainRules
from mimctl.model.points import PointSpec, ReadBlock
from mimctl.model.profile import RegisterMap
from mimctl.model.setpoints import WATCHED, CommandPoint, Failsafe, MimMap, Role
from mimctl.model.site import ExpiryAction
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_models import Leaf, definition_of, leaves, point_spec

CONTROLS, LEGACY_CONTROLS, STORAGE = 704, 123, 124
RATINGS, LEGACY_RATINGS = 702, 121
DER_HEARTBEAT, BATTERY = 715, 802
#: what is read once to know what an inverter can be told
CONTROL_MODELS = frozenset({CONTROLS, LEGACY_CONTROLS, STORAGE, RATINGS, LEGACY_RATINGS, DER_HEARTBEAT, BATTERY})

#: of these, what only tells the ratings
_TELLING = frozenset({RATINGS, LEGACY_RATINGS})

#: point path → value, by model; NaN where the device has none
Values = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Model:
    """One control model of a device, as it was read."""

    block: ModelBlock
    values: Mapping[str, float]

    def has(self, path: str) -> bool:
        return not math.isnan(self.values.get(path, math.nan))

    def spec(self, path: str, key: str) -> PointSpec:
        definition = definition_of(self.block.id)
        found: Iterable[Leaf] = [] if definition is None else leaves(definition, self.block.length, dict(self.block.counts))
        leaf = next(leaf for leaf in found if leaf.path == path)
        made = point_spec(leaf, key, self.block.address)
        if made is None:
            raise ValueError(f"model {self.block.id} has no value {path}")
        return made

    def switch(self, path: str, *codes: int) -> list[CommandPoint]:
        if not self.has(path):
            return []
        return [CommandPoint(self.spec(path, path), Role.SWITCH, codes=codes)]

    def timer(self, path: str) -> list[CommandPoint]:
        """A reversion timer; none where the device shows none."""
        return [CommandPoint(self.spec(path, f"validity_{path}"), Role.VALIDITY)] if self.has(path) else []

    def holds(self, point: PointSpec) -> bool:
        return self.block.address <= point.address < self.block.end

    @property
    def state(self) -> ReadBlock:
        return ReadBlock(self.block.address, min(self.block.length + 2, 125))


def inverter_commands(models: Sequence[ModelBlock], values: Values, rules: ChainRules | None = None) -> MimMap | None:
    """How an inverter is commanded; None where it has no controls that mimctl knows and `rules` allow."""
    rules = ChainRules() if rules is None else rules
    readable = {m for m in CONTROL_MODELS if m in _TELLING or rules.allows(m)}
    by_id = {m.id: _Model(m, values[m.id]) for m in reversed(models) if m.id in readable and m.id in values}
    if CONTROLS in by_id and by_id[CONTROLS].has("WSet"):
        commands, action = _der(by_id[CONTROLS], by_id.get(RATINGS)), None
    else:
        commands, action = _legacy(by_id), ExpiryAction.REVERT
    if not any(c.role is Role.ACTIVE for c in commands):
        return None
    beats = _heartbeats(by_id)
    timers = any(c.role is Role.VALIDITY for c in commands)
    failsafe = Failsafe.REVERSION if timers else Failsafe.HEARTBEAT if beats else Failsafe.NONE
    values_and_timer = (Role.ACTIVE, Role.REACTIVE, Role.VALIDITY) if timers else ()
    singles = [m for m in by_id.values() if rules.singly(m.block.id)]
    commands = [replace(c, single=any(m.holds(c.point) for m in singles)) for c in commands]
    used = {c.point.address for c in (*commands, *beats)}
    blocks = [m.state for m in by_id.values() if any(m.state.address <= a < m.state.end for a in used)]
    return MimMap(
        ports=1,
        commands=(*commands, *beats),
        state=tuple(sorted(blocks, key=lambda b: b.address)),
        keepalive=(*values_and_timer, *([Role.HEARTBEAT] if beats else [])),
        failsafe=failsafe,
        silent_action=action if timers else None,
    )


def as_mim(register_map: RegisterMap, mim_map: MimMap) -> RegisterMap:
    """The map of an inverter with its measurements at the one port that is commanded."""
    keys = {p.key for p in register_map.points}
    place = "total" if "active_power.total" in keys else "L1"
    quantities = ("active_power", "reactive_power", "apparent_power", *(("voltage", "current") if place == "L1" else ()))
    renamed = {f"{q}.{place}": f"{q}.port1" for q in quantities}
    points = [replace(p, key=renamed.get(p.key, p.key)) for p in register_map.points]
    watched = {c.point.key: c.point for c in mim_map.of(*WATCHED)}
    return replace(register_map, points=(*points, *watched.values()), mim=mim_map)


def _der(controls: _Model, ratings: _Model | None) -> list[CommandPoint]:
    """Model 704: set active and reactive power in W and var."""
    before = [*controls.switch("WSetMod", 1), *controls.switch("WSetRvrt", 0)]
    if controls.has("WSetEnaRvrt"):
        codes = ((ExpiryAction.ZERO, 1), (ExpiryAction.REVERT, 0))
        before.append(CommandPoint(controls.spec("WSetEnaRvrt", "expiry_action"), Role.EXPIRY, expiry_codes=codes))
    before += controls.timer("WSetRvrtTms")
    most = _rated(ratings, ("WDisChaRteMax", "WDisChaRteMaxRtg", "WMax", "WMaxRtg"))
    charge = _rated(ratings, ("WChaRteMax", "WChaRteMaxRtg"))
    # an inverter that tells its ratings, and no charging rate among them, cannot absorb
    values = [_setpoint(controls, "WSet", Role.ACTIVE, None if ratings is None else -(charge or 0.0), most)]
    after = controls.switch("WSetEna", 1, 0)
    if controls.has("VarSet"):
        before += [*controls.switch("VarSetMod", 4), *controls.switch("VarSetRvrt", 0), *controls.timer("VarSetRvrtTms")]
        inject, absorb = _rated(ratings, ("VarMaxInj", "VarMaxInjRtg")), _rated(ratings, ("VarMaxAbs", "VarMaxAbsRtg"))
        values.append(_setpoint(controls, "VarSet", Role.REACTIVE, None if absorb is None else -absorb, inject))
        after += controls.switch("VarSetEna", 1, 0)
    return [*before, *values, *after]


def _legacy(by_id: Mapping[int, _Model]) -> list[CommandPoint]:
    """Models 124 (storage) and 123 (limits), whose setpoints are shares of what model 121 and 124 call the maximum."""
    storage, controls, ratings = by_id.get(STORAGE), by_id.get(LEGACY_CONTROLS), by_id.get(LEGACY_RATINGS)
    w_max = _rated(ratings, ("WMax",))
    before: list[CommandPoint] = []
    values: list[CommandPoint] = []
    after: list[CommandPoint] = []
    charge_max = _rated(storage, ("WChaMax",))
    if storage is not None and charge_max is not None and storage.has("OutWRte") and storage.has("InWRte"):
        before += storage.timer("InOutWRte_RvrtTms")
        # discharging at x: a window from x to x, which charging at −x describes from the other side
        values.append(_share(storage, "OutWRte", Role.ACTIVE, charge_max, 1, -charge_max))
        values.append(_share(storage, "InWRte", Role.ACTIVE, charge_max, -1, -charge_max))
        after += storage.switch("StorCtl_Mod", 3, 0)
    elif controls is not None and w_max is not None and controls.has("WMaxLimPct"):
        before += controls.timer("WMaxLimPct_RvrtTms")
        values.append(_share(controls, "WMaxLimPct", Role.ACTIVE, w_max, 1, 0.0))
        after += controls.switch("WMaxLim_Ena", 1, 0)
    if controls is not None and w_max is not None and controls.has("VArWMaxPct"):
        before += [*controls.switch("VArPct_Mod", 1), *controls.timer("VArPct_RvrtTms")]
        values.append(_share(controls, "VArWMaxPct", Role.REACTIVE, w_max, 1, -w_max))
        after += controls.switch("VArPct_Ena", 1, 0)
    return [*before, *values, *after]


def _heartbeats(by_id: Mapping[int, _Model]) -> list[CommandPoint]:
    found: list[CommandPoint] = []
    for model_id, path in ((DER_HEARTBEAT, "ControllerHb"), (BATTERY, "CtrlHb")):
        model = by_id.get(model_id)
        if model is not None and model.has(path):
            found.append(CommandPoint(model.spec(path, f"heartbeat_{model_id}"), Role.HEARTBEAT))
    return found


def _setpoint(model: _Model, path: str, role: Role, low: float | None, high: float | None) -> CommandPoint:
    return CommandPoint(replace(model.spec(path, f"setpoint_{role}.port1"), minimum=low, maximum=high), role)


def _share(model: _Model, path: str, role: Role, whole: float, sign: int, low: float) -> CommandPoint:
    """A setpoint in percent of a rating."""
    key = f"setpoint_{role}.port1" if sign > 0 else f"mirror_{role}.port1"
    point = model.spec(path, key)
    scale = point.scale * whole / 100.0
    unit = "W" if role is Role.ACTIVE else "var"
    return CommandPoint(replace(point, scale=scale, sign=sign, unit=unit, minimum=low, maximum=whole), role)


def _rated(model: _Model | None, paths: Sequence[str]) -> float | None:
    """The first of some ratings that the device tells; a rating of 0 is none."""
    for path in paths:
        if model is not None and model.has(path) and model.values[path] > 0:
            return model.values[path]
    return None
