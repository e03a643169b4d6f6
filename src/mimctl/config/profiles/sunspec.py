"""From the `sunspec:` section of a profile file to the rules for a chain."""

from __future__ import annotations

from mimctl.config.profiles.schema import ProfileFile
from mimctl.config.profiles.signs import convention_sign
from mimctl.model.chain import ChainDifference, ChainPoint, ChainRules, ControlModel
from mimctl.model.setpoints import WritePolicy

#: quantities whose direction the conventions say
_DIRECTED = ("active_power", "reactive_power")


def chain_rules(file: ProfileFile) -> ChainRules | None:
    """The rules; None for a device whose registers the file describes itself."""
    item = file.sunspec
    if item is None:
        return None
    stored = {key: point for key, point in item.points.items() if point.difference is None}
    return ChainRules(
        bases=tuple(item.bases),
        models=tuple(item.models),
        ignored=tuple(item.ignore),
        common=tuple((name, tuple(patterns)) for name, patterns in item.common.items()),
        turned=tuple(q for q in _DIRECTED if convention_sign(file.conventions, q, file.device_class) < 0),
        left_out=tuple(item.leave_out),
        silent_zeros=tuple(item.silent_zeros),
        points=tuple(
            ChainPoint(
                key=key,
                model=point.model or 0,
                path=point.point or "",
                sign=point.sign * convention_sign(file.conventions, key, file.device_class),
                sentinels=tuple(point.nan),
                requires=tuple(point.requires),
            )
            for key, point in stored.items()
        ),
        differences=tuple(
            _difference(file, key, point.difference, point.sign)
            for key, point in item.points.items()
            if point.difference is not None
        ),
        controls=tuple(ControlModel(c.model, c.write == "single") for c in item.commands),
        policy=_policy(file),
    )


def _difference(file: ProfileFile, key: str, pair: list[str], sign: int) -> ChainDifference:
    """The two halves in the order that gives mimctl's sign."""
    plus, minus = pair
    turned = sign * convention_sign(file.conventions, key, file.device_class) < 0
    return ChainDifference(key, minus, plus) if turned else ChainDifference(key, plus, minus)


def _policy(file: ProfileFile) -> WritePolicy:
    policy = file.write_policy
    return WritePolicy(policy.min_interval_s, policy.active_deadband_w, policy.reactive_deadband_var)
